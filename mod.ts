/**
 * Longstride: Sparse Transformers (arXiv:1904.10509) trained and sampled anywhere WebGPU or WebAssembly runs.
 *
 * Train with {@linkcode train}, sample from a trained model with {@linkcode openModel}, measure one with {@linkcode Scorer}. Other
 * concerns have faces of their own:
 *
 * | face          |                                                                                        |
 * | ------------- | -------------------------------------------------------------------------------------- |
 * | `ops.ts`      | what models are made of: sparse attention alone, programs of operations, trainers      |
 * | `data.ts`     | text, images and sound as tokens, and a data set of files                              |
 * | `pictures.ts` | patterns, loss curves, attention, images and waveforms drawn                           |
 * | `files.ts`    | what a run keeps: configuration, weights, optimizer state, history                     |
 * | `device.ts`   | whether a device computes rightly, its fastest kernels, the memory that training takes |
 *
 * @example Train a few steps, then sample
 * ```ts
 * import { openModel, pickBackend, preset, train, type Snapshot } from "./mod.ts";
 *
 * const text = new TextEncoder().encode("to be or not to be, that is the question. ".repeat(20));
 * const attention = { pattern: "strided", stride: 8 } as const;
 * const config = { ...preset("text").model, n_ctx: 32, n_layer: 1, n_head: 2, d_model: 16, d_ff: 32, d_qk: 16, attention };
 * const { engine } = await pickBackend("wasm", { threads: 1 });
 * let trained: Snapshot | undefined;
 * for await (const report of train({ engine, config, train: { steps: 4, batch: 2, lr: 0.01 }, data: text })) {
 *   console.log(report.step, report.loss.toFixed(2), "bits/byte");
 *   if (report.last) trained = await report.snapshot();
 * }
 * engine.dispose();
 *
 * const model = await openModel({ config, weights: trained!.weights }, { backend: "wasm", threads: 1 });
 * for await (const piece of model.text({ prompt: "to be", length: 8, seed: 1 })) console.log(piece);
 * model.dispose();
 * ```
 *
 * @module
 */

export {
  BackendError,
  CheckpointError,
  ConfigError,
  DataError,
  DivergedError,
  KernelError,
  LongstrideError,
  OutOfMemoryError,
  ShapeError,
} from "./src/base/errors.ts";
export { useKernels } from "./src/base/kernels.ts";
export {
  type AttentionConfig,
  type HeadsAttention,
  type Integration,
  INTEGRATIONS,
  type LayerAttention,
  type LayersAttention,
  type ModelAttention,
  type PatternName,
  PATTERNS,
} from "./src/pattern/sets.ts";
export { checkConfig, type ModelConfig, type Objective, OBJECTIVES, type PositionConfig } from "./src/files/model_config.ts";
export { checkTrain, type Phase, TRAIN_DEFAULTS, type TrainConfig } from "./src/files/train_config.ts";
export { type Preset, preset, presetFor, PRESETS } from "./src/files/presets.ts";
export type { Model } from "./src/files/weights.ts";
export { encodeText } from "./src/data/text.ts";
export type { GpuSource } from "./src/engines/webgpu/device.ts";
export { type BackendName, BACKENDS, PICK_FIELDS, pickBackend, type Picked, type PickOptions } from "./src/run/backend.ts";
export { type Progress, type Snapshot, train, type TrainedPhase, type TrainOptions } from "./src/run/train.ts";
export { type EvaluateOptions, type Evaluation, type ScoredWindows, Scorer } from "./src/run/evaluate.ts";
export type { SampleOptions, SamplesOptions } from "./src/run/sample.ts";
export type { Embeddings, EmbedOptions, ScoreOptions, Scores } from "./src/run/passes.ts";
export type { GenerationOptions } from "./src/files/generation_config.ts";
export type { BatchOptions, GenerateOptions, TextOptions, TextsOptions, TokenOptions } from "./src/run/generate.ts";
export {
  compress,
  COMPRESS_FIELDS,
  type Compressed,
  type CompressedHeader,
  compressedHeader,
  type Compressing,
  type CompressOptions,
  type CompressProgress,
  decompress,
  type DecompressOptions,
} from "./src/run/compress.ts";
export { fetchModel, type FetchModelOptions } from "./src/run/fetch_model.ts";
export {
  Encoder,
  type Filled,
  type FillOptions,
  openEncoder,
  type ReadOptions,
  type Rows,
  scoreEntries,
  type ScoreEntriesOptions,
  type StateOptions,
} from "./src/run/encoder.ts";
export { type Targets, type WindowLoss, WindowScorer } from "./src/run/window_scorer.ts";
export { OpenedModel, openModel, type OpenOptions } from "./src/run/open.ts";
