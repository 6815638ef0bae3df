/**
 * Measuring which kernel variants are the fastest on a WebGPU device: {@linkcode tune}, for the works of a model
 * ({@linkcode trainingWorks}); what it answers is given to an engine, or kept as a file and read again.
 *
 * Apart from `mod.ts`, so that pages which only sample do not load it.
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
} from "./src/webgpu/tune.ts";
export { type Choice, formatTuning, mergeTunings, parseTuning, type Problem, type Tuning, TUNING_VERSION } from "./src/webgpu/tuning.ts";
export { trainingWorks } from "./src/works.ts";
