/**
 * What a run keeps, and what each of its files may hold: `config.json`, `model.safetensors`, `optimizer.safetensors` and `run.json`,
 * written and read; and any other file of safetensors.
 *
 * @example A model folder's two files, written and read again
 * ```ts
 * import { preset } from "./mod.ts";
 * import { formatConfig, modelChunks, parameterShapes, readModel } from "./files.ts";
 *
 * const attention = { pattern: "fixed", stride: 16, c: 4 } as const;
 * const config = { ...preset("text").model, n_ctx: 64, n_layer: 1, n_head: 1, d_model: 16, d_ff: 16, d_qk: 16, attention };
 * const weights = new Map(
 *   [...parameterShapes(config)].map(([name, shape]) => [name, new Float32Array(shape.reduce((a, b) => a * b))]),
 * );
 * const file = new Blob([...modelChunks({ config, weights })] as Uint8Array<ArrayBuffer>[]);
 * const model = readModel(formatConfig(config), new Uint8Array(await file.arrayBuffer()));
 * console.log(model.weights.size, "tensors");
 * ```
 *
 * @module
 */

export {
  checkCausal,
  type Initialisation,
  INITIALISATIONS,
  type OptimizerName,
  OPTIMIZERS,
  type PhaseAt,
  phaseAt,
  phasesOf,
  type ScheduleName,
  SCHEDULES,
} from "./src/files/config.ts";
export {
  type Checkpoint,
  type Digests,
  formatConfig,
  formatRunState,
  type HistoryEntry,
  modelChunks,
  momentChunks,
  parameterCount,
  parameterShapes,
  parseConfig,
  parseRunState,
  readModel,
  readMoments,
  type RunState,
} from "./src/files/checkpoint.ts";
export {
  parseSafetensors,
  type Safetensors,
  safetensorsChunks,
  type SavedTensor,
  type SavedType,
  type TensorToSave,
} from "./src/files/safetensors.ts";
