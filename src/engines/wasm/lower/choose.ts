/** Calls that choose a token. @module */

import { STREAM } from "../../../base/random.ts";
import type { Choose } from "../../../ops/mod.ts";
import type { Call } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

/** A sequence at a time; the position goes on when all have chosen. */
export function lowerChoose({ logits, tape, position, given, choice, seeds }: Choose): Call[] {
  const [batch, vocabulary] = logits.shape;
  const args = { logits, tape, position, given, choice, seeds, batch, vocabulary, stream: STREAM.tokens };
  return [call("choose", { units: batch, grain: PIECE / 8 / vocabulary, args }), call("choose_advance", { units: 1, args: { position } })];
}
