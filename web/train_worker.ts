/**
 * A worker's script: training beside the page (train_page.ts). It reads a file, trains, keeps the run in the browser, and sends the curve,
 * samples, what heads attend to and, when asked, the run's zip.
 *
 * @module
 */

import { checkTrain, ConfigError, DataError, type ModelConfig, pickBackend, presetFor, type Progress, train } from "../mod.ts";
import { checkDataset, type DataKind, encodeWav, entropy0, loadDataset, SOUND_RATE, TextStream, zipChunks } from "../data.ts";
import {
  type Checkpoint,
  fitWarmup,
  type HistoryEntry,
  identifyDataset,
  isSameData,
  parameterCount,
  readRun,
  Run,
  runFiles,
  sha256,
} from "../files.ts";
import { Decoder, type Engine, layersIn, type Parameters, samples } from "../ops.ts";
import { type AttentionMap, attentionMaps, type CurveMark } from "../pictures.ts";
import { readZip } from "./run_zip.ts";
import { type Chosen, findData, findRun, keepRun, RUN_FOLDER } from "./runs.ts";

/** What the page asks for. */
export type Question =
  /** A run of that name: a new one, or, where there is one, to go on with. A file is needed where none is kept. */
  | { readonly ask: "train"; readonly id: string; readonly file?: File; readonly chosen?: Chosen }
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

/** What one head weighs, coarsely: of side × side cells each 0 after the query, 1 outside the pattern, then from 2 to 255 by its weight. */
export interface HeadMap {
  readonly layer: number;
  readonly head: number;
  readonly side: number;
  readonly cells: Uint8Array;
}

/** Where a run is. */
export interface Report {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly heldOut?: number;
  readonly tokensPerSecond: number;
  readonly secondsLeft: number;
  readonly phase: string;
  readonly last: boolean;
  readonly history: readonly HistoryEntry[];
}

/** What the worker answers. */
export type Answer =
  | {
    readonly is: "begun";
    readonly name: string;
    readonly kind: DataKind;
    readonly about: string;
    readonly engine: string;
    readonly notices: readonly string[];
    readonly marks: readonly CurveMark[];
    readonly from: number;
  }
  | ({ readonly is: "report" } & Report)
  | { readonly is: "sample"; readonly made: Made; readonly heads: readonly HeadMap[]; readonly positions: number }
  /** The run's zip, kept in the browser; `why` says why it is not. */
  | { readonly is: "kept"; readonly zip: Blob; readonly step: number; readonly why?: string }
  | { readonly is: "saved"; readonly zip: Blob; readonly step: number }
  | { readonly is: "error"; readonly message: string };

/** Seconds between samples; they and the training take turns. */
const SAMPLE_SECONDS = 10;
/** Seconds to the first sample. */
const FIRST_SAMPLE = 2;
/** Bytes of a sample of text. */
const SAMPLE_TEXT = 240;
/** Seconds between two savings in the browser, and how many times as long as one takes: a twentieth of the time at most. */
const KEEP = { seconds: 10, times: 20 };
/** Cells per side of a head's map, and the most heads of a view. */
const CELLS = 48, HEADS = 24;

/** The model of a page's size: of its layers the first and the last, and of text 256 bytes of context. */
function smaller(config: ModelConfig): ModelConfig {
  const layers = layersIn(config.attention);
  return { ...config, n_layer: 2, attention: [layers[0], layers.at(-1)!], n_ctx: 256, d_model: 64, d_ff: 256, d_qk: 64 };
}

/** A map in few cells; each query's largest weight is full, and small ones show by their square root. */
function coarse({ layer, head, n, causal, rows }: AttentionMap): HeadMap {
  const side = Math.min(CELLS, rows.length),
    cells = new Uint8Array(side * side).fill(1),
    at = (place: number) => Math.floor(place * side / n);
  rows.forEach(({ query, keys, weights }, row) => {
    const most = weights.reduce((a, b) => Math.max(a, b), 0);
    if (causal) cells.fill(0, row * side + at(query) + 1, (row + 1) * side);
    keys.forEach((key, i) => {
      const cell = row * side + at(key);
      cells[cell] = Math.max(cells[cell], 2 + Math.round(253 * Math.sqrt(weights[i] / most)));
    });
  });
  return { layer, head, side, cells };
}

/** A run as the command line saves and resumes one, in a zip. */
async function zipRun(checkpoint: Checkpoint): Promise<Blob> {
  const files = new Map<string, Uint8Array>(), saving = runFiles(checkpoint);
  for (let next = saving.next(); !next.done;) {
    const { name, chunks } = next.value, bytes = new Uint8Array(await new Blob([...chunks] as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    files.set(`${RUN_FOLDER}/${name}`, bytes);
    next = saving.next(await sha256(bytes));
  }
  return new Blob([...zipChunks(files)] as Uint8Array<ArrayBuffer>[], { type: "application/zip" });
}

/** What of a worker's global scope is used. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Question>) => void) | null;
  postMessage(answer: Answer): void;
}

/** A sample of the model as it is, and what its heads attended to on the way. */
async function sampleOf(
  engine: Engine,
  params: Parameters,
  { kind, shape, rate, step, whole }: { kind: DataKind; shape?: readonly number[]; rate?: number; step: number; whole: number },
): Promise<{ made: Made; heads: HeadMap[]; positions: number }> {
  const decoder = await Decoder.create(engine, params), textual = kind === "text" || kind === "bytes", tokens: number[] = [];
  const { config } = params, { n_ctx, n_layer, n_head } = config;
  try {
    // A phase's context may be a part of the model's: of images so many rows, of sound as long a piece as always.
    const length = textual ? SAMPLE_TEXT : shape ? n_ctx : whole;
    for await (const [token] of samples(decoder, { length, temperature: textual ? 0.8 : 1, seed: step })) tokens.push(token);
  } finally {
    decoder.dispose();
  }
  const heads: HeadMap[] = [], seen = tokens.slice(0, n_ctx), cells = Math.min(CELLS, seen.length);
  const queries = Array.from({ length: cells }, (_, cell) => Math.floor((cell + 1) * seen.length / cells) - 1);
  // Of a deep model layers spread evenly.
  const shown = Math.max(1, Math.min(n_layer, Math.floor(HEADS / n_head)));
  const layers = Array.from({ length: shown }, (_, at) => Math.round(at * (n_layer - 1) / Math.max(1, shown - 1)));
  for await (const map of attentionMaps(engine, params, seen, { layers, queries })) heads.push(coarse(map));
  const bytes = Uint8Array.from(tokens), stream = new TextStream();
  const form = textual
    ? { text: stream.push(bytes) + stream.end() }
    : shape
    ? { image: { shape: [Math.floor(n_ctx / (shape[1] * shape[2])), shape[1], shape[2]], row: bytes } }
    : { wav: await encodeWav(bytes, rate ?? SOUND_RATE) };
  return { made: { kind, step, ...form }, heads, positions: seen.length };
}

/** What a run begins with: its data, its model, and where it was before. */
async function prepare({ id, file: given, chosen: asked }: Extract<Question, { ask: "train" }>) {
  const before = asked ? undefined : await findRun(id), data = before && await findData(id), file = given ?? data?.file;
  const chosen = asked ?? before?.chosen;
  if (!chosen) throw new ConfigError("Cannot go on with the run: it is not in this browser any more; begin a new one");
  if (!file) {
    throw new DataError(`Cannot go on with the run: ${before!.name} was too large to be kept with it; choose the file again first`);
  }
  const checkpoint = data && readRun(await readZip(data.zip, before!.name));
  const choose = (kind: DataKind, shape?: readonly [number, number, number]) => {
    const { preset } = presetFor(kind, shape), textual = kind === "text" || kind === "bytes";
    return { config: textual && chosen.small ? smaller(preset.model) : preset.model, train: preset.train };
  };
  const dataset = await loadDataset([{ name: file.name, data: file.stream() }], {
    nCtx: (kind, shape) => choose(kind, shape).config.n_ctx,
  }, file.name);
  const { kind, shape } = dataset, { steps, seed, lr } = chosen, preset = choose(kind, shape), config = checkpoint?.config ?? preset.config;
  const constants = checkpoint?.train ?? checkTrain({ ...fitWarmup({ ...preset.train, steps }), seed, ...lr === undefined ? {} : { lr } });
  checkDataset(dataset, config);
  const identity = await identifyDataset(dataset, { path: file.name });
  if (checkpoint && !isSameData(identity, checkpoint.data)) {
    throw new DataError(
      `Cannot go on with the run: ${file.name} is not the file that it began with, ${checkpoint.data.name}; choose that one`,
    );
  }
  const notices = [
    ...dataset.notices,
    ...kind === "bytes" ? [`${file.name} is no text, image or sound that is known: its bytes are learnt as they are.`] : [],
  ];
  return { file, chosen, dataset, config, constants, identity, checkpoint, notices };
}

/** Trains on one file and answers a page's questions meanwhile. */
function serveTraining(scope: WorkerScope): void {
  const stopper = new AbortController();
  let wanted = false, final: Checkpoint | undefined;
  const say = (answer: Answer) => scope.postMessage(answer);

  async function save(checkpoint: Checkpoint): Promise<void> {
    wanted = false;
    say({ is: "saved", zip: await zipRun(checkpoint), step: checkpoint.step });
  }

  async function run(question: Extract<Question, { ask: "train" }>): Promise<void> {
    const { id } = question, { file, chosen, dataset, config, constants, identity, checkpoint: from, notices } = await prepare(question);
    const { kind, shape, rate } = dataset, { engine, why } = await pickBackend(chosen.backend);
    const about = `${dataset.about}; ${parameterCount(config).toLocaleString("en")} parameters`;
    const kept = new Run({ config, train: constants, engine: engine.name, data: identity }, from?.history);
    const marks = [{ label: "order-0 entropy", bits: entropy0(dataset.heldOut) }];
    let sampleAt = performance.now() + FIRST_SAMPLE * 1000, keepAt = performance.now() + KEEP.seconds * 1000;

    const keep = async (checkpoint: Checkpoint) => {
      const begun = performance.now(), { step } = checkpoint, { steps } = constants;
      const record = { id, name: file.name, about, kind, rate, chosen, kept: Date.now(), step, steps, history: checkpoint.history };
      const zip = await zipRun(checkpoint);
      await keepRun(record, zip, file).then(
        () => say({ is: "kept", zip, step }),
        ({ message }) => say({ is: "kept", zip, step, why: message }),
      );
      keepAt = performance.now() + Math.max(KEEP.seconds * 1000, KEEP.times * (performance.now() - begun));
    };
    const report = async (progress: Progress) => {
      const { step, steps, loss, tokensPerSecond, secondsLeft, last, phase } = progress, now = performance.now();
      kept.report(progress);
      const checkpoint = last || wanted || now > keepAt ? await kept.checkpoint(progress) : undefined;
      if (last) final = checkpoint;
      const place = phase.of > 1 ? `phase ${phase.index + 1} of ${phase.of}` : "", { heldOut, history } = kept;
      say({ is: "report", step, steps, loss, heldOut, tokensPerSecond, secondsLeft, phase: place, last, history });
      if (checkpoint && (last || now > keepAt)) await keep(checkpoint);
      if (wanted) await save(checkpoint!);
      if (last ? step === steps : now > sampleAt) {
        say({ is: "sample", ...await sampleOf(engine, phase.params, { kind, shape, rate, step, whole: config.n_ctx }) });
        sampleAt = performance.now() + SAMPLE_SECONDS * 1000;
      }
    };
    try {
      const { name } = file;
      say({ is: "begun", name, kind, about, engine: `${engine.description} (${why})`, notices, marks, from: from?.step ?? 0 });
      const reports = train({
        engine,
        config,
        train: constants,
        data: dataset.train,
        unit: dataset.unit,
        heldOut: dataset.heldOut,
        from,
        signal: stopper.signal,
        reportSeconds: 0.5,
        evaluationTokens: 4 * config.n_ctx,
      });
      for await (const progress of reports) await report(progress);
    } finally {
      engine.dispose();
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
    // One tab at a time trains a run; where there are no locks, as without https, nothing keeps two from it.
    const alone = async (lock: unknown) => {
      if (lock === null) throw new ConfigError("Cannot go on with the run: another tab of this browser trains it; stop it there first");
      await run(data);
    };
    const running = navigator.locks ? navigator.locks.request(`longstride-${data.id}`, { ifAvailable: true }, alone) : alone(undefined);
    running.catch((error: unknown) => say({ is: "error", message: error instanceof Error ? error.message : String(error) }));
  };
}

serveTraining(globalThis as unknown as WorkerScope);
