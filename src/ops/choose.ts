/**
 * Choosing the token of a decoded position.
 *
 * @module
 */

import { fail, holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import { size, type Tensor } from "./tensor.ts";

/**
 * Chooses the token of one decoded position i of every sequence b, and goes on: where i ≥ given, tape[i, b] becomes a token
 * drawn from softmax(logits[b] / temperature), cut to the topK likeliest and of those to the likeliest that together reach
 * topP; then position becomes i + 1. Temperature 0 takes the likeliest, topK 0 means all; of equal logits the lower token
 * goes first. The draw is word 0 of Threefry with key (seeds[0], {@linkcode ../base/random.ts!STREAM}.tokens + b) and counter
 * (i, seeds[1]), so it does not depend on how many positions are run at a time.
 */
export interface Choose {
  /** Which operation. */
  readonly op: "choose";
  /** f32 [batch, vocabulary] */
  readonly logits: Tensor;
  /** u32 [n, batch], in and out */
  readonly tape: Tensor;
  /** u32 [1], in and out: i. */
  readonly position: Tensor;
  /** u32 [1]: the first so many positions of the tape are given, not chosen. */
  readonly given: Tensor;
  /** f32 [3]: temperature, topK, topP. */
  readonly choice: Tensor;
  /** u32 [2] */
  readonly seeds: Tensor;
}

/** What {@linkcode Choose} says of itself. */
export const choose: Descriptor<Choose> = {
  reads: ["logits", "position", "given", "choice", "seeds"],
  writes: ["tape", "position"],
  activations: [],
  check(op) {
    const [batch, vocabulary] = op.logits.shape;
    matrix(op, op.logits, batch, vocabulary);
    if (op.tape.shape.length !== 2 || op.tape.shape[1] !== batch) fail(op, `needs a tape of ${batch} sequences`, op.tape);
    for (const [t, count] of [[op.tape, size(op.tape)], [op.position, 1], [op.given, 1], [op.seeds, 2]] as const) {
      holds(op, t, count, "u32");
    }
    holds(op, op.choice, 3);
  },
};
