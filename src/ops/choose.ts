/**
 * Choosing the token of a decoded position.
 *
 * @module
 */

import { fail, holds, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import { size, type Tensor } from "./tensor.ts";

/** What a {@linkcode Choose} goes by, in the order of its numbers. */
export const CHOICE = ["temperature", "topK", "topP", "minP", "repetitionPenalty"] as const;

/** The numbers of a {@linkcode Choose} by their names. */
export type ChoiceNumbers = Readonly<Record<typeof CHOICE[number], number>>;

/**
 * Chooses the token of one decoded position i of every sequence b, and goes on: where i ≥ given, tape[i, b] becomes a token
 * drawn from softmax(x / temperature), then position becomes i + 1. Here x is logits[b], but for tokens in tape[0 … i − 1, b], whose
 * logits are divided by repetitionPenalty where above 0 and multiplied by it elsewhere (arXiv:1909.05858, Eq. 2 and after); 1 is none.
 *
 * Of the tokens by falling x, of equal ones the lower first, those are kept which are among the topK first; of these the first that
 * together reach topP of what they weigh; and of these the ones at least minP as probable as the first, which is always kept. Temperature
 * 0 takes the first, topK 0 means all, minP 0 cuts nothing. The draw is word 0 of Threefry with key (seeds[0], {@linkcode ../base/random.ts!STREAM}.tokens + b) and counter
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
  /** f32 [5]: temperature, topK, topP, minP, repetitionPenalty. */
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
    holds(op, op.choice, CHOICE.length);
  },
};
