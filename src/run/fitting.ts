/**
 * Whether a run fits in an engine's memory, known before any is taken, and what would.
 *
 * @module
 */

import { ConfigError, OutOfMemoryError } from "../base/errors.ts";
import type { ModelConfig } from "../files/model_config.ts";
import type { TrainConfig } from "../files/train_config.ts";
import type { Engine } from "../ops/mod.ts";
import { memoryPlan } from "./memory.ts";

const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(bytes < 10 * 2 ** 30 ? 2 : 1)} GiB`;

/** Bytes of a run's step; those of f16 activations where an engine keeps them in f32 are counted as f32. */
function bytesOf(config: ModelConfig, train: TrainConfig): number {
  const { state, activations } = memoryPlan(config, { ...train, precision: "f32" });
  return state + activations;
}

/** What else would fit, in words: recomputation, one sequence at a time, or a shorter context, the first of them that does. */
function smaller(config: ModelConfig, train: TrainConfig, room: number): string | undefined {
  const fits = (config: ModelConfig, train: TrainConfig) => bytesOf(config, train) <= room;
  const again = { ...train, recompute: true }, one = { ...again, batch: 1 };
  if (!train.recompute && fits(config, again)) return "recomputation (--recompute)";
  for (let batch = Math.floor(train.batch / 2); batch >= 1; batch = Math.floor(batch / 2)) {
    if (fits(config, { ...again, batch })) return `recomputation and a batch of ${batch}`;
  }
  for (let n_ctx = Math.floor(config.n_ctx / 2); n_ctx >= 16; n_ctx = Math.floor(n_ctx / 2)) {
    try {
      if (fits({ ...config, n_ctx }, { ...one, phases: [] })) {
        return `n_ctx ${n_ctx.toLocaleString("en-US")}, a batch of 1 and recomputation`;
      }
    } catch (error) {
      // A pattern or images that have no such context.
      if (!(error instanceof ConfigError)) throw error;
      return undefined;
    }
  }
}

/**
 * Refuses a run that cannot fit.
 *
 * @throws {OutOfMemoryError} saying what a step takes, what the engine has, and what would fit
 */
export function checkRoom({ room, description }: Engine, config: ModelConfig, train: TrainConfig): void {
  if (room === undefined) return;
  const needed = bytesOf(config, train);
  if (needed <= room) return;
  const fits = smaller(config, train, room);
  throw new OutOfMemoryError(
    `Cannot train: a step takes ${gibibytes(needed)} of weights, moments and activations, and ${description} has ${gibibytes(room)}; ` +
      (fits === undefined ? "use a smaller model, or a GPU" : `what fits is ${fits}, or use a GPU`),
  );
}
