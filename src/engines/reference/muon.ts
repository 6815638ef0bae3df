/** Muon in float64: momentum whose singular values are brought near 1 by Newton–Schulz iterations. @module */

import type { Muon } from "../../ops/mod.ts";
import { NEWTON_SCHULZ } from "../../ops/newton_schulz.ts";
import type { Values } from "./values.ts";

/** A matrix as rows. */
type Matrix = number[][];

const transpose = (x: Matrix): Matrix => x[0].map((_, j) => x.map((row) => row[j]));

/** x·yᵀ */
const timesTransposed = (x: Matrix, y: Matrix): Matrix => x.map((a) => y.map((b) => a.reduce((sum, value, k) => sum + value * b[k], 0)));

/** Σ factors[i]·terms[i] */
const combine = (factors: readonly number[], terms: readonly Matrix[]): Matrix =>
  terms[0].map((row, i) => row.map((_, j) => factors.reduce((sum, factor, at) => sum + factor * terms[at][i][j], 0)));

/** Five times A = X·Xᵀ, X ← a·X + (b·A + c·A·A)·X, from X = u/(‖u‖ + 1e-7). */
function orthogonalise(u: Matrix): Matrix {
  if (u.length > u[0].length) return transpose(orthogonalise(transpose(u)));
  const { a, b, c, times } = NEWTON_SCHULZ, norm = Math.sqrt(u.flat().reduce((sum, x) => sum + x * x, 0));
  let x = combine([1 / (norm + 1e-7)], [u]);
  for (let time = 0; time < times; time++) {
    const gram = timesTransposed(x, x), polynomial = combine([b, c], [gram, timesTransposed(gram, gram)]);
    x = combine([a, 1], [x, timesTransposed(polynomial, transpose(x))]);
  }
  return x;
}

/** m ← μ·m + g; p ← p − η·(√max(1, out/in)·X + wd·p) */
export function muon(op: Muon, values: Values): void {
  const [factor] = values(op.factor), rate = values(op.hyper)[3];
  if (factor === 0) return;
  op.params.forEach((t, at) => {
    const p = values(t), g = values(op.grads[at]), m = values(op.m[at]), [out, inner] = t.shape;
    for (let i = 0; i < p.length; i++) m[i] = op.momentum * m[i] + g[i] * factor;
    const u = Array.from(
      { length: out },
      (_, r) => Array.from({ length: inner }, (_, c) => g[r * inner + c] * factor + op.momentum * m[r * inner + c]),
    );
    const x = orthogonalise(u).flat(), scale = Math.sqrt(Math.max(1, out / inner));
    for (let i = 0; i < p.length; i++) p[i] -= rate * (scale * x[i] + op.weightDecay * p[i]);
  });
}
