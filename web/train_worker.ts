/**
 * A worker's script: training beside the page (train_page.ts). It reads a file, trains, and sends the curve, samples and, when asked, the checkpoint.
 *
 * @module
 */

import { zipSync } from "npm:fflate@0.8.3";
import { type BackendName, checkTrain, type ModelConfig, pickBackend, presetFor, type Progress, train, type TrainConfig } from "../mod.ts";
import {
  checkDataset,
  type DataIdentity,
  type DataKind,
  encodeWav,
  entropy0,
  identify,
  loadDataset,
  SOUND_RATE,
  TextStream,
} from "../data.ts";
import { type Checkpoint, formatConfig, formatRunState, type HistoryEntry, modelChunks, momentChunks, parameterCount } from "../files.ts";
import { Decoder, type Engine, type Parameters, samples, scheduleOf } from "../ops.ts";
import { lossCurveSvg, panelsOf, patternMap, patternSvg } from "../pictures.ts";

/** What the page asks for. */
export type Question =
  | {
    readonly ask: "train";
    readonly file: File;
    readonly backend: BackendName;
    readonly small: boolean;
    readonly train: Partial<TrainConfig>;
  }
  | { readonly ask: "stop" }
  | { readonly ask: "save" };

/** What was made of nothing, and in what form. */
export interface Made {
  readonly kind: DataKind;
  readonly step: number;
  readonly text?: string;
  readonly image?: { readonly shape: readonly number[]; readonly row: Uint8Array };
  readonly wav?: Uint8Array<ArrayBuffer>;
}

/** What the worker answers. */
export type Answer =
  | { readonly is: "begun"; readonly about: string; readonly engine: string; readonly layout: string }
  | {
    readonly is: "report";
    readonly step: number;
    readonly steps: number;
    readonly numbers: string;
    readonly last: boolean;
    readonly curve: string;
  }
  | { readonly is: "sample"; readonly made: Made }
  | { readonly is: "saved"; readonly zip: Uint8Array<ArrayBuffer>; readonly step: number }
  | { readonly is: "error"; readonly message: string };

/** Seconds between samples; they and the training take turns. */
const SAMPLE_SECONDS = 10;
/** Bytes of a sample of text. */
const SAMPLE_TEXT = 240;

/** The model of a page's size: of its layers the first and the last, and of text 256 bytes of context. */
function smaller(config: ModelConfig): ModelConfig {
  const layers = [config.attention].flat();
  return { ...config, n_layer: 2, attention: [layers[0], layers.at(-1)!], n_ctx: 256, d_model: 64, d_ff: 256, d_qk: 64 };
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return (await identify("", bytes, 0)).sha256;
}

/** A run folder in a zip, as the command line saves and resumes one. */
async function zipOf(checkpoint: Checkpoint): Promise<Uint8Array<ArrayBuffer>> {
  const join = async (chunks: Iterable<Uint8Array>) =>
    new Uint8Array(await new Blob([...chunks] as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  const model = await join(modelChunks(checkpoint)), optimizer = await join(momentChunks(checkpoint));
  const utf8 = (text: string) => new TextEncoder().encode(text), config = utf8(formatConfig(checkpoint.config));
  const digests = { config: await sha256(config), model: await sha256(model), optimizer: await sha256(optimizer) };
  const state = `longstride-run/state-${checkpoint.step}`;
  return zipSync({
    "longstride-run/config.json": config,
    "longstride-run/model.safetensors": model,
    [`${state}/optimizer.safetensors`]: optimizer,
    [`${state}/run.json`]: utf8(formatRunState(checkpoint, digests)),
  }, { level: 0 }) as Uint8Array<ArrayBuffer>;
}

async function layoutOf(config: ModelConfig): Promise<string> {
  const { n_ctx, n_layer, n_head } = config, schedule = scheduleOf(config.attention, { n: n_ctx, layers: n_layer, heads: n_head });
  const one = [config.attention].flat().at(-1)!, drawn = Math.min(n_ctx, Math.max(64, 4 * (one.stride || n_ctx)));
  const maps = await Promise.all(panelsOf(schedule).slice(0, 5).map(({ title, set }) => patternMap(title, [set], drawn, 160)));
  maps.push(await patternMap("all layers and heads together", schedule.flat(), drawn, 160));
  return patternSvg(maps, `the first ${drawn} of ${n_ctx} positions`);
}

/** What of a worker's global scope is used. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Question>) => void) | null;
  postMessage(answer: Answer): void;
}

/** Trains on one file and answers a page's questions meanwhile. */
function serveTraining(scope: WorkerScope): void {
  const stopper = new AbortController();
  let wanted = false, final: Checkpoint | undefined;
  const say = (answer: Answer) => scope.postMessage(answer);

  async function save(checkpoint: Checkpoint): Promise<void> {
    wanted = false;
    say({ is: "saved", zip: await zipOf(checkpoint), step: checkpoint.step });
  }

  async function run({ file, backend, small, train: asked }: Extract<Question, { ask: "train" }>): Promise<void> {
    const choose = (kind: DataKind, shape?: readonly [number, number, number]) => {
      const { preset } = presetFor(kind, shape), textual = kind === "text" || kind === "bytes";
      return { config: textual && small ? smaller(preset.model) : preset.model, train: preset.train };
    };
    const dataset = await loadDataset([{ name: file.name, data: file.stream() }], {
      nCtx: (kind, shape) => choose(kind, shape).config.n_ctx,
    }, file.name);
    const { kind, shape, rate } = dataset, chosen = choose(kind, shape), { config } = chosen;
    const steps = asked.steps ?? chosen.train.steps!, warmup = Math.min(chosen.train.warmup ?? Infinity, Math.ceil(steps / 10));
    const constants = checkTrain({ ...chosen.train, warmup, ...asked });
    checkDataset(dataset, config);
    const all = new Uint8Array(dataset.train.length + dataset.heldOut.length);
    all.set(dataset.train);
    all.set(dataset.heldOut, dataset.train.length);
    const identity: DataIdentity = {
      ...await identify(file.name, all, dataset.heldOut.length),
      source: { kind, path: file.name, shape, rate },
    };
    const { engine, why } = await pickBackend(backend);
    const history: HistoryEntry[] = [], begun = performance.now(), marks = [{ label: "order-0 entropy", bits: entropy0(dataset.heldOut) }];
    let told = begun, held: number | undefined;
    const checkpointOf = async (progress: Progress): Promise<Checkpoint> => ({
      ...await progress.snapshot(),
      config,
      train: constants,
      engine: engine.name,
      data: identity,
      history: [...history],
    });
    try {
      say({
        is: "begun",
        about: `${dataset.about}; ${parameterCount(config).toLocaleString("en")} parameters`,
        engine: `${engine.description} (${why})`,
        layout: await layoutOf(config),
      });
      const reports = train({
        engine,
        config,
        train: constants,
        data: dataset.train,
        unit: dataset.unit,
        heldOut: dataset.heldOut,
        signal: stopper.signal,
        reportSeconds: 0.5,
        evaluationTokens: 4 * config.n_ctx,
      });
      for await (const progress of reports) {
        const { step, loss, heldOut, tokensPerSecond, secondsLeft } = progress;
        held = heldOut ?? held;
        if (history.at(-1)?.step === step) history.pop();
        history.push({ step, loss, heldOut, ms: Math.round(performance.now() - begun) });
        const numbers = [
          `step ${step} of ${steps}`,
          ...progress.phase.of > 1 ? [`phase ${progress.phase.index + 1} of ${progress.phase.of}`] : [],
          `loss ${loss.toFixed(3)} bits/byte`,
          ...held === undefined ? [] : [`held out ${held.toFixed(3)}`],
          `${Math.round(tokensPerSecond).toLocaleString("en")} tokens/s`,
          ...progress.last ? [] : [`${Math.ceil(secondsLeft)} s left`],
        ].join(", ");
        const curve = lossCurveSvg(file.name, history, steps, marks);
        const checkpoint = progress.last || wanted ? await checkpointOf(progress) : undefined;
        if (progress.last) final = checkpoint;
        say({ is: "report", step, steps, numbers, last: progress.last, curve });
        if (wanted) await save(checkpoint!);
        if (progress.last ? step === steps : performance.now() - told > SAMPLE_SECONDS * 1000) {
          say({ is: "sample", made: await sample(engine, progress.phase.params, { kind, shape, rate, step, whole: config.n_ctx }) });
          told = performance.now();
        }
      }
    } finally {
      engine.dispose();
    }
  }

  async function sample(
    engine: Engine,
    params: Parameters,
    { kind, shape, rate, step, whole }: { kind: DataKind; shape?: readonly number[]; rate?: number; step: number; whole: number },
  ): Promise<Made> {
    const decoder = await Decoder.create(engine, params), textual = kind === "text" || kind === "bytes";
    try {
      // A phase's context may be a part of the model's: of images so many rows, of sound as long a piece as always.
      const { n_ctx } = params.config, made: number[] = [], length = textual ? SAMPLE_TEXT : shape ? n_ctx : whole;
      for await (const [token] of samples(decoder, { length, temperature: textual ? 0.8 : 1, seed: step })) made.push(token);
      const bytes = Uint8Array.from(made), stream = new TextStream();
      if (textual) return { kind, step, text: stream.push(bytes) + stream.end() };
      if (shape) return { kind, step, image: { shape: [Math.floor(n_ctx / (shape[1] * shape[2])), shape[1], shape[2]], row: bytes } };
      return { kind, step, wav: await encodeWav(bytes, rate ?? SOUND_RATE) };
    } finally {
      decoder.dispose();
    }
  }

  scope.onmessage = ({ data }) => {
    if (data.ask === "stop") return stopper.abort();
    if (data.ask === "save") {
      // Between reports there is nothing whole to save; after the last one there is.
      if (final) void save(final);
      else wanted = true;
      return;
    }
    run(data).catch((error) => say({ is: "error", message: error instanceof Error ? error.message : String(error) }));
  };
}

serveTraining(globalThis as unknown as WorkerScope);
