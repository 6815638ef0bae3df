/** Choosing a token in float64. @module */

import type { ChoiceNumbers, Choose } from "../../ops/mod.ts";
import { STREAM, threefry } from "../../base/random.ts";
import type { Values } from "./values.ts";

/**
 * Draws a token.
 *
 * @param logits [vocabulary]
 * @param uniform a number in [0, 1)
 * @param choice see {@linkcode Choose}
 */
export function chooseToken(
  logits: ArrayLike<number>,
  uniform: number,
  { temperature = 1, topK = 0, topP = 1, minP = 0 }: Partial<ChoiceNumbers> = {},
): number {
  const order = Array.from(logits, (_, token) => token).sort((a, b) => logits[b] - logits[a] || a - b);
  if (temperature === 0) return order[0];
  const kept = topK > 0 ? order.slice(0, topK) : order;
  const weights = kept.map((token) => Math.exp((logits[token] - logits[order[0]]) / temperature));
  const all = weights.reduce((a, b) => a + b);
  let reach = 0, count = 0;
  while (count < kept.length && (count === 0 || (reach < topP * all && weights[count] >= minP))) reach += weights[count++];
  let rest = uniform * reach;
  for (let at = 0; at < count - 1; at++) {
    rest -= weights[at];
    if (rest < 0) return kept[at];
  }
  return kept[count - 1];
}

/** Logits with those of the tokens that were there made less likely. */
export function penalised(logits: ArrayLike<number>, there: Iterable<number>, repetitionPenalty: number): ArrayLike<number> {
  const less = Float64Array.from(logits);
  for (const token of there) less[token] = logits[token] > 0 ? logits[token] / repetitionPenalty : logits[token] * repetitionPenalty;
  return less;
}

/** The token of a position, unless it is given; then the next position. */
export function choose(op: Choose, values: Values): void {
  const logits = values(op.logits), tape = values(op.tape), position = values(op.position), [given] = values(op.given);
  const [temperature, topK, topP, minP, repetitionPenalty] = values(op.choice),
    seeds = values(op.seeds),
    [batch, vocabulary] = op.logits.shape,
    [i] = position;
  for (let b = 0; b < batch && i >= given; b++) {
    const [word] = threefry(seeds[0], STREAM.tokens + b, i, seeds[1]);
    const row = logits.subarray(b * vocabulary, (b + 1) * vocabulary), there = Array.from({ length: i }, (_, at) => tape[at * batch + b]);
    tape[i * batch + b] = chooseToken(penalised(row, there, repetitionPenalty), word / 2 ** 32, { temperature, topK, topP, minP });
  }
  position[0] = i + 1;
}
