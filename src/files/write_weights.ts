/**
 * `model.safetensors` written.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { CheckpointError } from "../base/errors.ts";
import { toHalves } from "../base/half.ts";
import type { ModelConfig } from "./model_config.ts";
import { parameterShapes } from "./parameter_shapes.ts";
import { safetensorsChunks, type TensorToSave } from "./write_safetensors.ts";
import { finite, isInt8, type Model, SCALE } from "./weights.ts";

/** From here on the nearest f16 is infinity. */
const F16_END = 65520;

/**
 * Says what to do instead of training or saving with weights of int8.
 *
 * @param weights by name, of whatever type
 * @throws {CheckpointError} where some are of int8
 */
export function refuseInt8(cannot: string, weights: Iterable<readonly [string, unknown]>): void {
  for (const [name, numbers] of weights) {
    if (!isInt8(numbers)) continue;
    throw new CheckpointError(
      `${cannot}: ${name} is int8, which is for sampling and scoring; go on from the f32 model that it was made of, and convert again`,
    );
  }
}

/** Each of {@linkcode SavedWeights}. */
const SAVED_WEIGHTS: readonly SavedWeights[] = ["F32", "F16", "I8"];

/** How the weights of a model may be saved. */
export type SavedWeights = "F32" | "F16" | "I8";

/** Tensors to save, each parameter of those shapes once under its prefix. */
export function give(
  of: { config: ModelConfig },
  sources: Record<
    string,
    { readonly values: Model["weights"]; readonly shapes: (of: ModelConfig) => Map<string, number[]> }
  >,
): Map<string, TensorToSave> {
  expect("Cannot save the checkpoint", { checkpoint: [of, "an object"] });
  for (const [name, { values }] of Object.entries(sources)) {
    expect("Cannot save the checkpoint", { [name || "weights"]: [values, "a Map"] });
    refuseInt8("Cannot save the checkpoint", values);
  }
  const tensors = new Map<string, TensorToSave>();
  for (const [prefix, { values, shapes }] of Object.entries(sources)) {
    for (const [parameter, shape] of shapes(of.config)) {
      const data = values.get(parameter);
      if (!data) throw new CheckpointError(`Cannot save the checkpoint: ${prefix}${parameter} is missing`);
      expect("Cannot save the checkpoint", { [prefix + parameter]: [data, "an array of floats"] });
      tensors.set(prefix + parameter, { shape, data: finite(data as Float32Array, "Cannot save the checkpoint", prefix + parameter) });
    }
  }
  return tensors;
}

/** Whole numbers from −127 to 127 and a scale per row, of which each number is the nearest that the row's largest allows. */
function toInt8(data: Float32Array, rows: number): { numbers: Int8Array; scales: Float32Array } {
  const width = data.length / rows, numbers = new Int8Array(data.length), scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const from = row * width, end = from + width;
    let most = 0;
    for (let at = from; at < end; at++) most = Math.max(most, Math.abs(data[at]));
    const scale = scales[row] = most / 127 || 1;
    for (let at = from; at < end; at++) numbers[at] = Math.max(-127, Math.min(127, Math.round(data[at] / scale)));
  }
  return { numbers, scales };
}

/**
 * `model.safetensors` in pieces.
 *
 * @param dtype for a model that is finished, since training goes on from F32 alone: `F16` halves the file, `I8` makes a quarter of it, each
 * matrix int8 beside an F32 `<name>_scale` [rows, 1], vectors F32
 * @throws {CheckpointError} where a parameter is missing, is int8 already, or holds a number that is not finite or that F16 has no room for
 * @throws {ShapeError} where one has another length than its shape
 */
export function modelChunks(
  model: Pick<Model, "config" | "weights">,
  dtype: SavedWeights = "F32",
): Iterable<Uint8Array> {
  // "pt" is what other programs look for to take the tensors as PyTorch's.
  const tensors = give(model, { "": { values: model?.weights, shapes: parameterShapes } });
  expect("Cannot save the checkpoint", { "the type": [dtype, { oneOf: SAVED_WEIGHTS }] });
  if (dtype === "I8") {
    for (const [name, { shape, data }] of [...tensors]) {
      if (shape.length === 1) continue;
      const { numbers, scales } = toInt8(data as Float32Array, shape[0]);
      tensors.set(name, { shape, data: numbers });
      tensors.set(name + SCALE, { shape: [shape[0], 1], data: scales });
    }
  }
  if (dtype === "F16") {
    for (const [name, { shape, data }] of tensors) {
      const at = data.findIndex((x) => Math.abs(x) >= F16_END);
      if (at >= 0) throw new CheckpointError(`Cannot save ${name} as F16: its number ${data[at]} at ${at} is beyond ±65,504; save as F32`);
      tensors.set(name, { shape, data: toHalves(data) });
    }
  }
  return safetensorsChunks(tensors, { format: "pt" });
}
