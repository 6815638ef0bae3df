/**
 * What to ask of one device, once: whether it computes rightly ({@linkcode verifyModel}, {@linkcode verifyAttention}), which kernel
 * variants are the fastest there ({@linkcode tune}, for the works of a model, {@linkcode trainingWorks}), and whether training fits it
 * ({@linkcode memoryPlan}). What `tune` answers is given to an engine, or kept as a file and read again.
 *
 * @example What training takes, before it begins
 * ```ts
 * import { preset } from "./mod.ts";
 * import { memoryPlan } from "./device.ts";
 *
 * const { model, train } = preset("text"), { state, activations } = memoryPlan(model, train);
 * console.log(state + activations, "bytes");
 * ```
 *
 * @module
 */

// What is planned here is planned at once, and may have any layer.
import "./src/model/routed.ts";

export {
  type AttentionWork,
  type LinearWork,
  nameOfWork,
  type Trial,
  type TriedVariant,
  tune,
  type TuneOptions,
  type TuneWork,
  worksOf,
} from "./src/engines/webgpu/tuning/tune.ts";
export type { Problem } from "./src/engines/webgpu/tuning/problems.ts";
export {
  formatTuning,
  isOutdated,
  mergeTunings,
  parseTuning,
  type TunedVariant,
  type Tuning,
  TUNING_VERSION,
} from "./src/engines/webgpu/tuning/tuning.ts";
export { trainingWorks } from "./src/run/works.ts";
export {
  type GoldenCase,
  goldenCases,
  type GoldenIndex,
  type GoldenModel,
  type Verified,
  verifyAttention,
  verifyModel,
} from "./src/run/verify.ts";
export { type MemoryPlan, memoryPlan } from "./src/run/memory.ts";
export type { DeviceOptions, GpuSource } from "./src/engines/webgpu/device.ts";
export type { TilePreference } from "./src/engines/webgpu/plan/plan.ts";
export type { WebGpuEngine, WebGpuExecutable, WebGpuOptions } from "./src/engines/webgpu/engine.ts";
