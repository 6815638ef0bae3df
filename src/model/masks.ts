/**
 * What is masked of a sequence: BERT's recipe (arXiv:1810.04805, section 3.1), counted instead of drawn where it can be.
 *
 * @module
 */

import { Random, STREAM } from "../base/random.ts";
import { NO_TARGET } from "../ops/mod.ts";

/** The part of the positions that is to be predicted. */
const PART = 0.15;
/** Of these the parts that become the mask token, and some token; the rest is left as it is. */
const MASKED = 0.8, EXCHANGED = 0.1;

/** Positions of n that are to be predicted: round(0.15·n), at least 1. */
export const maskedCount = (n: number): number => Math.max(1, Math.round(PART * n));

/** Sequences with gaps. */
export interface Masked {
  /** u32 [R]: tokens, some of them the mask token, which is the vocabulary's size, or another. */
  readonly inputs: Uint32Array;
  /** u32 [R]: the token of a position that is to be predicted, {@linkcode NO_TARGET} elsewhere. */
  readonly targets: Uint32Array;
}

/**
 * Chooses {@linkcode maskedCount} positions of each sequence, of which 80 % get the mask token, 10 % some token and 10 % are left: what is
 * chosen follows from the numbers given alone.
 *
 * @param tokens [sequences · n]
 * @param which of the seed's draws: a step's micro-batch
 */
export function maskTokens(
  tokens: ArrayLike<number>,
  n: number,
  vocabulary: number,
  { seed, step, micro }: { seed: number; step: number; micro: number },
): Masked {
  const random = new Random(seed, STREAM.masks + micro, step),
    count = maskedCount(n),
    places = Uint32Array.from({ length: n }, (_, i) => i);
  const inputs = Uint32Array.from(tokens), targets = new Uint32Array(tokens.length).fill(NO_TARGET);
  for (let row = 0; row < tokens.length; row += n) {
    // The first of a shuffle (Fisher and Yates); where it begins does not matter.
    for (let at = 0; at < count; at++) {
      const other = at + random.below(n - at), place = places[other];
      places[other] = places[at];
      places[at] = place;
      targets[row + place] = tokens[row + place];
      const kind = random.uniform();
      if (kind < MASKED) inputs[row + place] = vocabulary;
      else if (kind < MASKED + EXCHANGED) inputs[row + place] = random.below(vocabulary);
    }
  }
  return { inputs, targets };
}
