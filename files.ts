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

export { GENERATION_FIELDS, GENERATION_FILE } from "./src/files/generation_config.ts";
export { formatGenerationConfig, parseGenerationConfig } from "./src/files/generation_file.ts";
export { type Initialisation, INITIALISATIONS } from "./src/files/model_config.ts";
export { checkCausal, checkNext, checkTrainable, LOSS_UNITS, objectiveOf } from "./src/files/objective.ts";
export { type OptimizerName, OPTIMIZERS, type ScheduleName, SCHEDULES, WINDOW_ORDERS, type WindowOrder } from "./src/files/train_config.ts";
export { formatRecipe, parseRecipe, type Recipe, RECIPE_FILE } from "./src/files/recipe.ts";
export { type PhaseAt, phaseAt, phasesOf } from "./src/files/phases.ts";
export { type Checkpoint, type Digests, formatRunState, type HistoryEntry, parseRunState, type RunState } from "./src/files/run_state.ts";
export { formatConfig, parseConfig } from "./src/files/model_config.ts";
export { eventFileHeader, eventFileName, scalarEvent, sessionStart } from "./src/files/tensorboard.ts";
export { codecOf } from "./src/files/codec.ts";
export { momentChunks, readMoments } from "./src/files/moments.ts";
export { readModel } from "./src/files/weights.ts";
export { modelChunks, type SavedWeights } from "./src/files/write_weights.ts";
export { parameterCount, parameterShapes } from "./src/files/parameter_shapes.ts";
export { parseSafetensors, type Safetensors, type SavedTensor, type SavedType } from "./src/files/safetensors.ts";
export { safetensorsChunks, type TensorToSave } from "./src/files/write_safetensors.ts";

// What a run is, and the files it is kept as.
export {
  CONFIG_FILE,
  type FileContent,
  keptAs,
  MODEL_FILE,
  readRun,
  readTrained,
  type RunFile,
  runFiles,
  type RunReader,
  type Saved,
  stateFile,
  statesIn,
  TOKENIZER_FILE,
  type Trained,
} from "./src/run/folder.ts";
export { Run, type RunOptions } from "./src/run/run.ts";
export { checkResume, type RunConfig } from "./src/run/resume.ts";
export { Cadence, type Every } from "./src/run/every.ts";
export { fitPhases, fitWarmup, stepsFor, stepsPerEpoch } from "./src/run/fit.ts";
export { bitsPerByte, encodeParts, inBytes, type TokenParts } from "./src/run/tokens.ts";
export { identifyDataset, tokensOf } from "./src/run/identity.ts";
export { isSameData } from "./src/data/identity.ts";
export { sha256 } from "./src/base/digest.ts";

// What fields and options may be, and the words that refuse what they may not.
export { MODEL_FIELDS } from "./src/files/model_config.ts";
export { TRAIN_FIELDS } from "./src/files/train_config.ts";
export {
  type Allowed,
  type Choices,
  type Kind,
  type ListOf,
  mustBe,
  type NumberRange,
  type ObjectOf,
  type TextForm,
  whole,
  wrongOf,
} from "./src/base/check.ts";
export { jsonOf } from "./src/base/json.ts";
