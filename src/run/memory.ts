/**
 * How much memory training takes, known before any is asked for.
 *
 * @module
 */

import { parameterCount } from "../files/parameter_shapes.ts";
import { checkConfig, type ModelConfig } from "../files/model_config.ts";
import { checkTrain, type TrainConfig } from "../files/train_config.ts";
import { phasesOf } from "../files/phases.ts";
import { Parameters } from "../model/parameters.ts";
import { trainingProgram } from "../model/train.ts";
import { lifetimes, size } from "../ops/mod.ts";
import { optimizerTensors } from "../model/optimizer.ts";

/** Bytes of a training run. Lists of tiles and an engine's own workspace come on top. */
export interface MemoryPlan {
  /** Numbers in all parameters. */
  readonly parameters: number;
  /** Bytes of weights, gradients and moments. */
  readonly state: number;
  /** Bytes of activations and their gradients alive at once, at the worst moment of a step of any phase. */
  readonly activations: number;
}

/**
 * Plans a step without an engine.
 *
 * @throws {ConfigError} where a field is out of range
 *
 * @example
 * ```ts
 * import { preset } from "../../mod.ts";
 * import { memoryPlan } from "../../device.ts";
 * const { model } = preset("text");
 * const kept = memoryPlan(model, {}), recomputed = memoryPlan(model, { recompute: true });
 * console.log(kept.activations / recomputed.activations > 1);
 * ```
 */
export function memoryPlan(config: ModelConfig, train: Partial<TrainConfig>): MemoryPlan {
  const checked = checkConfig(config), constants = checkTrain(train), params = new Parameters(checked);
  const optimizer = optimizerTensors(params.all, constants.optimizer);
  let activations = 0;
  for (const phase of phasesOf(checked, constants)) {
    const of = new Parameters(phase.config, params);
    const { program } = trainingProgram(of, optimizer, { ...constants, batch: phase.batch }),
      change = new Float64Array(program.ops.length + 1);
    for (const [t, [first, last]] of lifetimes(program)) {
      const bytes = size(t) * (t.dtype === "f16" ? 2 : 4);
      change[first] += bytes;
      change[last + 1] -= bytes;
    }
    let alive = 0;
    for (const bytes of change) activations = Math.max(activations, alive += bytes);
  }
  const state = [params.all, optimizer.grads, optimizer.m, optimizer.v].flat().reduce((sum, t) => sum + 4 * size(t), 0);
  return { parameters: parameterCount(checked), state, activations };
}
