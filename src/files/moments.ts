/**
 * `optimizer.safetensors`, read and written: the moments of a model's optimizer.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import type { ModelConfig } from "./model_config.ts";
import { parameterShapes } from "./parameter_shapes.ts";
import { safetensorsChunks } from "./write_safetensors.ts";
import { byMuon, type OptimizerName, type TrainConfig } from "./train_config.ts";
import { take } from "./weights.ts";
import { give } from "./write_weights.ts";

/** Shapes of the parameters that have a second moment. */
function secondMoments(config: ModelConfig, optimizer: OptimizerName): Map<string, number[]> {
  return new Map([...parameterShapes(config)].filter(([name, shape]) => !byMuon(name, shape, optimizer)));
}

/**
 * Reads the moments of an optimizer.
 *
 * @throws {CheckpointError} as {@linkcode readModel}
 */
export function readMoments(
  config: ModelConfig,
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
  optimizer: OptimizerName,
): { m: Map<string, Float32Array>; v: Map<string, Float32Array> } {
  const [m, v] = take(config, bytes, name, { "m.": parameterShapes(config), "v.": secondMoments(config, optimizer) }, ["F32"]).taken;
  return { m, v } as { m: Map<string, Float32Array>; v: Map<string, Float32Array> };
}

/**
 * `optimizer.safetensors` in pieces: tensors `m.<parameter>`, and `v.<parameter>` of those that AdamW updates.
 *
 * @throws {CheckpointError} where a moment is missing, or holds a number that is not finite
 * @throws {ShapeError} where one has another length than its shape
 */
export function momentChunks(
  moments: {
    config: ModelConfig;
    train: Pick<TrainConfig, "optimizer">;
    m: ReadonlyMap<string, Float32Array>;
    v: ReadonlyMap<string, Float32Array>;
  },
): Iterable<Uint8Array> {
  expect("Cannot save the checkpoint", { checkpoint: [moments, "an object"], train: [moments?.train, "an object"] });
  const { m, v, train: { optimizer } } = moments, second = (of: ModelConfig) => secondMoments(of, optimizer);
  return safetensorsChunks(give(moments, { "m.": { values: m, shapes: parameterShapes }, "v.": { values: v, shapes: second } }));
}
