/**
 * Longstride: Sparse Transformers (arXiv:1904.10509) trained and sampled anywhere WebGPU or WebAssembly runs.
 *
 * Sample from a trained model with {@linkcode openModel}; train with {@linkcode train}; look at a pattern with
 * {@linkcode patternMap} and {@linkcode checkReach}. Whether a device computes rightly, and which kernels are the fastest
 * there, is asked through `device.ts`.
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

export * from "./src/base/errors.ts";
export {
  checkCausal,
  checkConfig,
  formatConfig,
  type Initialisation,
  INITIALISATIONS,
  type ModelConfig,
  parseConfig,
  type PositionConfig,
} from "./src/files/model_config.ts";
export {
  checkTrain,
  type OptimizerName,
  OPTIMIZERS,
  type Phase,
  type ScheduleName,
  SCHEDULES,
  TRAIN_DEFAULTS,
  type TrainConfig,
} from "./src/files/train_config.ts";
export { type PhaseAt, phaseAt, phasesOf } from "./src/files/phases.ts";
export { type Preset, preset, presetFor, PRESETS } from "./src/files/presets.ts";
export {
  attends,
  type AttentionConfig,
  type AttentionSet,
  type BlockLists,
  type Integration,
  type PatternName,
  PATTERNS,
  resolveSets,
  setKey,
} from "./src/pattern/sets.ts";
export { CachePlan } from "./src/pattern/cache.ts";
export { buildLayout, type Layout, type LayoutPart, type TileList } from "./src/pattern/layout.ts";
export { checkReach, factorsOf, type Reach, type ReachFrom, type Schedule, scheduleOf } from "./src/pattern/reach.ts";
export {
  cellColor,
  DRAWN_LIMIT,
  type Panel,
  panelsOf,
  patternImage,
  type PatternMap,
  patternMap,
  patternSvg,
} from "./src/pictures/layouts.ts";
export { type Color, COLORS } from "./src/pictures/colors.ts";
export { type CurveMark, type CurvePoint, lossCurveSvg } from "./src/pictures/curves.ts";
export type * from "./src/ops/mod.ts";
export { type BackendName, BACKENDS, pickBackend, type Picked, type PickOptions } from "./src/run/backend.ts";
export type { DeviceOptions, TilePreference, WebGpuEngine, WebGpuOptions } from "./src/engines/webgpu/engine.ts";
export type { Choice as TunedChoice, Problem, Tuning } from "./src/engines/webgpu/tuning/tuning.ts";
export { useKernels } from "./src/base/kernels.ts";
export { Parameters } from "./src/model/parameters.ts";
export { type Measured, type Progress, type Snapshot, train, type TrainedPhase, Trainer, type TrainOptions } from "./src/run/train.ts";
export type { LearningRate } from "./src/model/optimizer.ts";
export { type MemoryPlan, memoryPlan } from "./src/run/memory.ts";
export { type EvaluateOptions, type Evaluation, Scorer, type Tokens } from "./src/run/evaluate.ts";
export { attentionImage, attentionOverImage } from "./src/pictures/maps.ts";
export { type AttentionMap, attentionMaps, type AttentionRow, type MapOptions, ROWS_LIMIT } from "./src/run/maps.ts";
export { type Choice, Decoder, sample, type SampleOptions, samples, type SamplesOptions, type Stoppable } from "./src/run/sample.ts";
export { OpenedModel, openModel, type OpenOptions, type TextOptions } from "./src/run/open.ts";
export { type Checkpoint, type Digests, formatRunState, type HistoryEntry, parseRunState, type RunState } from "./src/files/run_state.ts";
export { type Model, modelChunks, momentChunks, readModel, readMoments } from "./src/files/weights.ts";
export { parameterCount, parameterShapes } from "./src/files/parameter_shapes.ts";
export {
  parseSafetensors,
  type Safetensors,
  safetensorsChunks,
  type SavedTensor,
  type SavedType,
  type TensorToSave,
} from "./src/files/safetensors.ts";
export { checkSameData, DATA_KINDS, type DataIdentity, type DataKind, type DataSource, identify } from "./src/data/identity.ts";
export { entropy0, entropyOf, histogram } from "./src/data/entropy.ts";
export { splitHeldOut } from "./src/data/held_out.ts";
export { gunzip } from "./src/data/gzip.ts";
export { unzip, zipEntries, type ZipEntry, type ZipPlace } from "./src/data/zip.ts";
export { encodeText, TextStream, visible } from "./src/data/text.ts";
export { wrapText } from "./src/base/wrap.ts";
export { contactSheet, imagesOf, tileImages } from "./src/pictures/sheets.ts";
export { decodeCifar10 } from "./src/data/cifar.ts";
export { decodePng, encodePng } from "./src/data/png.ts";
export type { Image, ImageShape } from "./src/data/image.ts";
export { decodeMulaw, encodeMulaw, mulaw, mulawAmplitude, SILENCE } from "./src/data/mulaw.ts";
export { decodeWav, encodeWav } from "./src/data/wav.ts";
export { orderG711 } from "./src/data/g711.ts";
export { type Sound, SOUND_RATE, type SoundEncoding, type SoundLevels, type WavFormat } from "./src/data/sound.ts";
export { type Envelope, envelope, type Wave, waveformImage, waveformSvg } from "./src/pictures/waveform.ts";
export { checkDataset, type Dataset, type DatasetOptions, type Skipped } from "./src/data/dataset.ts";
export { isHidden } from "./src/data/members.ts";
export { loadDataset } from "./src/data/load.ts";
export type { Bytes, DataFile, Sliceable } from "./src/data/reader.ts";
export type { Notify } from "./src/data/notices.ts";
