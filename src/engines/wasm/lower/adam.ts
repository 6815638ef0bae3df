/** Calls of Adam. @module */

import type { Adam } from "../../../ops/mod.ts";
import { type Call, Table } from "../plan.ts";
import { chunked } from "./chunks.ts";
import { call } from "./lowering.ts";

// Elements of a unit.
const CHUNK = 8192;

/** Chunks of all tensors. */
export function lowerAdam({ params, grads, m, v, decay, factor, hyper, beta1, beta2, eps, weightDecay }: Adam): Call[] {
  const chunks = chunked(params, CHUNK);
  const table = new Table(chunks.flatMap(({ which, offset, count }) => [
    ...[params, grads, m, v].map((list) => ({ tensor: list[which], offset })),
    ...[count, decay[which] ? 1 : 0],
  ]));
  return [call("adam", { units: chunks.length, args: { table, factor, hyper, beta1, beta2, eps, weightDecay } })];
}
