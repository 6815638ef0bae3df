/**
 * A worker's script: training beside the page (train_page.ts). It reads a file, trains, and sends the curve, samples and, when asked, the checkpoint.
 *
 * @module
 */

import { zipSync } from "npm:fflate@0.8.3";
import { type BackendName, checkTrain, type ModelConfig, pickBackend, presetFor, type Progress, train, type TrainConfig } from "../mod.ts";
import {
  checkDataset,
  type DataKind,
  type Dataset,
  encodeWav,
  entropy0,
  type ImageShape,
  loadDataset,
  SOUND_RATE,
  TextStream,
} from "../data.ts";
import { type Checkpoint, fitWarmup, identifyDataset, parameterCount, Run, type RunConfig, runFiles, sha256 } from "../files.ts";
import { Decoder, type Engine, samples, scheduleOf } from "../ops.ts";
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
/** Windows of what is held out that are looked at each time but the last. */
const GLANCED = 4;
/** The folder in the zip archive of a run. */
const FOLDER = "longstride-run";

const isTextual = (kind: DataKind) => kind === "text" || kind === "bytes";

/** The model of a page's size: of its layers the first and the last, and of text 256 bytes of context. */
function smaller(config: ModelConfig): ModelConfig {
  const layers = [config.attention].flat();
  return { ...config, n_layer: 2, attention: [layers[0], layers.at(-1)!], n_ctx: 256, d_model: 64, d_ff: 256, d_qk: 64 };
}

/** What the page asks to be trained. */
type Asked = Extract<Question, { ask: "train" }>;

/** What is trained on data of a kind, and how. */
function choose({ small, train: asked }: Asked, kind: DataKind, shape?: ImageShape): RunConfig {
  const { preset: { model, train } } = presetFor(kind, shape);
  return {
    config: isTextual(kind) && small ? smaller(model) : model,
    // A warm-up that was asked for is as long as that.
    train: checkTrain({ ...fitWarmup({ ...train, ...asked }), ...asked }),
  };
}

/** A run folder in a zip archive, as the command line saves and resumes one. */
async function zipOf(checkpoint: Checkpoint): Promise<Uint8Array<ArrayBuffer>> {
  const zipped: Record<string, Uint8Array> = {}, files = runFiles(checkpoint);
  for (let next = files.next(); !next.done;) {
    const { name, chunks } = next.value, blob = new Blob([...chunks] as Uint8Array<ArrayBuffer>[]);
    const bytes = zipped[`${FOLDER}/${name}`] = new Uint8Array(await blob.arrayBuffer());
    next = files.next(await sha256(bytes));
  }
  return zipSync(zipped, { level: 0 }) as Uint8Array<ArrayBuffer>;
}

async function layoutOf(config: ModelConfig): Promise<string> {
  const { n_ctx, n_layer, n_head } = config, schedule = scheduleOf(config.attention, { n: n_ctx, layers: n_layer, heads: n_head });
  const one = [config.attention].flat().at(-1)!, drawn = Math.min(n_ctx, Math.max(64, 4 * (one.stride || n_ctx)));
  const maps = await Promise.all(panelsOf(schedule).slice(0, 5).map(({ title, set }) => patternMap(title, [set], drawn, 160)));
  maps.push(await patternMap("all layers and heads together", schedule.flat(), drawn, 160));
  return patternSvg(maps, `the first ${drawn} of ${n_ctx} positions`);
}

/** What a report says in numbers. */
function numbersOf({ step, steps, loss, tokensPerSecond, secondsLeft, phase, last }: Progress, heldOut: number | undefined): string {
  return [
    `step ${step} of ${steps}`,
    ...phase.of > 1 ? [`phase ${phase.index + 1} of ${phase.of}`] : [],
    `loss ${loss.toFixed(3)} bits/byte`,
    ...heldOut === undefined ? [] : [`held out ${heldOut.toFixed(3)}`],
    `${Math.round(tokensPerSecond).toLocaleString("en")} tokens/s`,
    ...last ? [] : [`${Math.ceil(secondsLeft)} s left`],
  ].join(", ");
}

/** What the model makes of nothing. */
async function make(
  engine: Engine,
  { step, phase: { params } }: Progress,
  { kind, shape, rate = SOUND_RATE }: Dataset,
  whole: number,
): Promise<Made> {
  const decoder = await Decoder.create(engine, params), isText = isTextual(kind);
  try {
    // A phase's context may be a part of the model's: of images so many rows, of sound as long a piece as always.
    const { n_ctx } = params.config, made: number[] = [], length = isText ? SAMPLE_TEXT : shape ? n_ctx : whole;
    for await (const [token] of samples(decoder, { length, temperature: isText ? 0.8 : 1, seed: step })) made.push(token);
    const bytes = Uint8Array.from(made), stream = new TextStream();
    if (isText) return { kind, step, text: stream.push(bytes) + stream.end() };
    if (shape) return { kind, step, image: { shape: [Math.floor(n_ctx / (shape[1] * shape[2])), shape[1], shape[2]], row: bytes } };
    return { kind, step, wav: await encodeWav(bytes, rate) };
  } finally {
    decoder.dispose();
  }
}

/** What of a worker's global scope is used. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Question>) => void) | null;
  postMessage(answer: Answer): void;
}

/** Trains on one file and answers a page's questions meanwhile. */
class Training {
  readonly #stopper = new AbortController();
  /** Whether the page asks for a zip archive of the run. */
  #isWanted = false;
  /** The run at its end. */
  #final: Checkpoint | undefined;

  constructor(readonly say: (answer: Answer) => void) {}

  /** Stops after the step under way. */
  stop(): void {
    this.#stopper.abort();
  }

  /** Sends the run: now where it has ended, else at the next report, since between reports there is nothing whole to save. */
  async save(): Promise<void> {
    if (this.#final) await this.#send(this.#final);
    else this.#isWanted = true;
  }

  async #send(checkpoint: Checkpoint): Promise<void> {
    this.#isWanted = false;
    this.say({ is: "saved", zip: await zipOf(checkpoint), step: checkpoint.step });
  }

  /** Reads the file and trains to the end, or until it is stopped. */
  async train(asked: Asked): Promise<void> {
    const { file } = asked, nCtx = (kind: DataKind, shape?: ImageShape) => choose(asked, kind, shape).config.n_ctx;
    const dataset = await loadDataset([{ name: file.name, data: file.stream() }], { nCtx }, file.name);
    const chosen = choose(asked, dataset.kind, dataset.shape), { config } = chosen;
    checkDataset(dataset, config);
    const data = await identifyDataset(dataset, { path: file.name }), { engine, why } = await pickBackend(asked.backend);
    try {
      this.say({
        is: "begun",
        about: `${dataset.about}; ${parameterCount(config).toLocaleString("en")} parameters`,
        engine: `${engine.description} (${why})`,
        layout: await layoutOf(config),
      });
      await this.#follow(engine, dataset, chosen, new Run({ ...chosen, engine: engine.name, data }));
    } finally {
      engine.dispose();
    }
  }

  async #follow(engine: Engine, dataset: Dataset, chosen: RunConfig, run: Run): Promise<void> {
    const { config } = chosen, marks = [{ label: "order-0 entropy", bits: entropy0(dataset.heldOut) }];
    const reports = train({
      engine,
      ...chosen,
      data: dataset.train,
      unit: dataset.unit,
      heldOut: dataset.heldOut,
      signal: this.#stopper.signal,
      reportSeconds: 0.5,
      evaluationTokens: GLANCED * config.n_ctx,
    });
    let shown = performance.now();
    for await (const progress of reports) {
      const { step, steps, last } = progress;
      run.report(progress);
      const numbers = numbersOf(progress, run.heldOut), curve = lossCurveSvg(dataset.name, run.history, steps, marks);
      const checkpoint = last || this.#isWanted ? await run.checkpoint(progress) : undefined;
      if (last) this.#final = checkpoint;
      this.say({ is: "report", step, steps, numbers, last, curve });
      if (checkpoint && this.#isWanted) await this.#send(checkpoint);
      if (last ? step === steps : performance.now() - shown > SAMPLE_SECONDS * 1000) {
        this.say({ is: "sample", made: await make(engine, progress, dataset, config.n_ctx) });
        shown = performance.now();
      }
    }
  }
}

function serveTraining(scope: WorkerScope): void {
  const say = (answer: Answer) => scope.postMessage(answer), training = new Training(say);
  const failed = (error: unknown) => say({ is: "error", message: error instanceof Error ? error.message : String(error) });
  scope.onmessage = ({ data }) => {
    if (data.ask === "stop") training.stop();
    else (data.ask === "save" ? training.save() : training.train(data)).catch(failed);
  };
}

serveTraining(globalThis as unknown as WorkerScope);
