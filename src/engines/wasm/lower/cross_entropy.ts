/** Calls of cross-entropy. @module */

import type { CrossEntropy } from "../../../ops/mod.ts";
import type { Call } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

/** A row at a time. */
export function lowerCrossEntropy({ logits, targets, losses, dLogits, lossScale, scale }: CrossEntropy): Call[] {
  const [rows, vocabulary] = logits.shape, args = { logits, targets, losses, dLogits, lossScale, vocabulary, meanScale: scale };
  return [call("cross_entropy", { units: rows, grain: PIECE / 2 / vocabulary, args })];
}
