/** Calls of gated branches. @module */

import type { Add, Mix, MixBackward } from "../../../ops/mod.ts";
import type { Call } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

/** A branch after the other. */
export function lowerMix({ gates, parts, y, heads }: Mix): Call[] {
  const [rows, width] = y.shape, columns = gates.shape[1], d = width / heads;
  return parts.map((part, p) =>
    call("mix", { units: rows, grain: PIECE / width, args: { gates, part, y, heads, d, columns, first: p * heads } })
  );
}

/** Branches have nothing to do with each other. */
export function lowerMixBackward({ gates, parts, dy, dGates, dParts, heads }: MixBackward): Call[] {
  const [rows, width] = dy.shape, columns = gates.shape[1], d = width / heads;
  return parts.map((part, p) => {
    const args = { gates, part, dy, dGates, dPart: dParts[p], heads, d, columns, first: p * heads };
    return { ...call("mix_backward", { units: rows, grain: PIECE / width, args }), joined: p > 0 };
  });
}

/** A row at a time. */
export function lowerAdd({ x, y }: Add): Call[] {
  const [rows, width] = y.shape;
  return [call("add", { units: rows, grain: PIECE / width, args: { x, y, width } })];
}
