/** Gated branches in float64. @module */

import type { Add, Mix, MixBackward } from "../../ops/mod.ts";
import { dot } from "./attention.ts";
import type { Values } from "./values.ts";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** The gated sum. */
export function mix({ gates, parts, y, heads }: Mix, values: Values): void {
  const [rows, width] = y.shape, d = width / heads, z = values(gates), to = values(y).fill(0);
  parts.forEach((part, p) => {
    const from = values(part);
    for (let at = 0; at < rows * width; at++) {
      to[at] += sigmoid(z[(Math.floor(at / width) * parts.length + p) * heads + Math.floor(at % width / d)]) * from[at];
    }
  });
}

/** dz = σ′(z)·(dy · part), dpart = σ(z)·dy. */
export function mixBackward({ gates, parts, dy, dGates, dParts, heads }: MixBackward, values: Values): void {
  const [rows, width] = dy.shape, d = width / heads, z = values(gates), dz = values(dGates), from = values(dy);
  parts.forEach((part, p) => {
    const branch = values(part), to = values(dParts[p]);
    for (let line = 0; line < rows * heads; line++) {
      const at = (Math.floor(line / heads) * parts.length + p) * heads + line % heads, gate = sigmoid(z[at]);
      dz[at] = gate * (1 - gate) * dot(from, line * d, branch, line * d, d);
      for (let c = line * d; c < (line + 1) * d; c++) to[c] = gate * from[c];
    }
  });
}

/** y += x. */
export function add({ x, y }: Add, values: Values): void {
  const from = values(x), to = values(y);
  for (let at = 0; at < to.length; at++) to[at] += from[at];
}
