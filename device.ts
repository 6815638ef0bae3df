/**
 * What to ask of one device, once: whether it computes rightly ({@linkcode verifyModel}, {@linkcode verifyAttention}), and which kernel
 * variants are the fastest there ({@linkcode tune}, for the works of a model, {@linkcode trainingWorks}); what that answers is given
 * to an engine, or kept as a file and read again.
 *
 * Apart from `mod.ts`, so that pages which train or sample do not load it.
 *
 * @module
 */

export {
  type AttentionWork,
  type LinearWork,
  type Measured,
  nameOfWork,
  type Trial,
  tune,
  type TuneOptions,
  type TuneWork,
  worksOf,
} from "./src/engines/webgpu/tuning/tune.ts";
export {
  type Choice,
  formatTuning,
  isOutdated,
  mergeTunings,
  parseTuning,
  type Problem,
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
