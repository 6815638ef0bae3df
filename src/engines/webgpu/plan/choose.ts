/**
 * Dispatches of choosing a token.
 *
 * @module
 */

import { ShapeError } from "../../../base/errors.ts";
import { STREAM } from "../../../base/random.ts";
import type { Choose } from "../../../ops/mod.ts";
import type { Plan } from "./plan.ts";

// The kernel keeps a bit per token in 128 words, and compares every token with every other: 4,096 take 16,384 turns of its loop, of the 65,535 that some software
// GPUs allow.
const LARGEST_VOCABULARY = 4096;

/** A token of each sequence, then the next position */
export function planChoose(plan: Plan, op: Choose): void {
  const { logits, tape, position, given, choice, seeds } = op, [batch, vocabulary] = logits.shape, fours = Math.ceil(vocabulary / 4);
  if (vocabulary > LARGEST_VOCABULARY) {
    throw new ShapeError(
      `Cannot plan ${op.op}: the vocabulary has ${vocabulary} tokens, the WebGPU engine has a kernel up to ${LARGEST_VOCABULARY}; ` +
        `use the wasm backend`,
    );
  }
  plan.dispatch({
    kernel: "choose",
    values: {},
    bindings: { logits, tape, position, given, choice, seeds, tokens: plan.temporary("tokens by weight", batch * fours * 16) },
    params: { batch, vocabulary, fours, stream: STREAM.tokens },
    grid: [batch, 1, 1],
  });
  plan.dispatch({ kernel: "choose_advance", values: {}, bindings: { position }, params: { by: 1 }, grid: [1, 1, 1] });
}
