/**
 * Cases of the matrix products: on both sides of the tiles' boundaries, with every optional operand and without; with the norm before
 * them as decoding has it; and several of one x, which engines may join.
 *
 * @module
 */

import { Case, type Problem } from "../case.ts";
import type { Tensor } from "../../src/ops/mod.ts";

const cases: Case[] = [];

// The last three have tensors of more than 128 KiB, the first two of them in their weights too.
for (
  const [rows, inner, out] of [
    [1, 1, 1],
    [1, 64, 64],
    [2, 200, 72],
    [5, 3, 130],
    [63, 17, 33],
    [64, 64, 64],
    [65, 129, 66],
    [130, 256, 100],
    [257, 36, 257],
    [200, 200, 180],
    [130, 257, 131],
    [330, 100, 36],
  ]
) {
  const shape = `${rows}×${inner}→${out}`, sizes = { rows, in: inner, out };
  for (const full of [false, true]) {
    const tags = (...names: string[]) => ({ tags: full ? names : [] }), suffix = (text: string) => full ? `, ${text}` : "";
    cases.push(
      new Case(
        `linear ${shape}${suffix("bias, pre, gelu, dropout, residual")}`,
        { op: "linear", ...sizes, ...tags("bias", "pre", "gelu", "dropout", "residual") },
        (c) => {
          c.ops.push({
            op: "linear",
            x: c.f32("x", [rows, inner]),
            w: c.f32("w", [out, inner]),
            y: c.out("y", [rows, out]),
            ...full && {
              b: c.f32("b", [out]),
              pre: c.out("pre", [rows, out]),
              activation: "gelu",
              // Rows of a whole, from its sixth on: those that one of several processes takes.
              dropout: { p: 0.25, site: 3, micro: 1, first: 5 * out, seeds: c.seeds() },
              residual: c.f32("residual", [rows, out]),
            },
          });
        },
      ),
      new Case(
        `linear_input_grad ${shape}${suffix("pre, residual")}`,
        { op: "linear_input_grad", ...sizes, ...tags("pre", "residual") },
        (c) => {
          c.ops.push({
            op: "linear_input_grad",
            dy: c.f32("dy", [rows, out]),
            w: c.f32("w", [out, inner]),
            dx: c.out("dx", [rows, inner]),
            ...full && { pre: c.f32("pre", [rows, inner]), residual: c.f32("residual", [rows, inner]) },
          });
        },
      ),
      new Case(
        `linear_weight_grad ${shape}${suffix("bias, accumulate")}`,
        { op: "linear_weight_grad", ...sizes, accumulate: full, ...tags("bias") },
        (c) => {
          c.ops.push({
            op: "linear_weight_grad",
            dy: c.f32("dy", [rows, out]),
            x: c.f32("x", [rows, inner]),
            dw: full ? c.inOut("dw", [out, inner]) : c.out("dw", [out, inner]),
            db: full ? c.inOut("db", [out]) : undefined,
            accumulate: full,
          });
        },
      ),
    );
  }
}

// The norm before a product, as decoding has it: few rows and many, widths of a vector and odd ones.
for (
  const [rows, inner, out] of [
    [1, 512, 100],
    [1, 64, 257],
    [2, 200, 72],
    [5, 33, 130],
    [7, 1028, 20],
    [8, 64, 64],
    [17, 36, 257],
    [66, 40, 48],
  ]
) {
  for (const full of [false, true]) {
    const fields = { rows, in: inner, out, tags: ["norm", ...full ? ["bias", "gelu", "residual"] : []] };
    cases.push(
      new Case(`linear ${rows}×${inner}→${out}, norm${full ? ", bias, gelu, residual" : ""}`, { op: "linear", ...fields }, (c) => {
        c.ops.push({
          op: "linear",
          x: c.f32("x", [rows, inner], 3),
          norm: { gain: c.f32("gain", [inner]), bias: c.f32("shift", [inner]) },
          w: c.f32("w", [out, inner]),
          y: c.out("y", [rows, out]),
          ...full && { b: c.f32("b", [out]), activation: "gelu", residual: c.f32("residual", [rows, out]) },
        });
      }),
    );
  }
}

// Products of one x by weights that were allocated side by side, as q, k and v of a decoded position: some go together, some cannot.
for (
  const [rows, inner, outs] of [
    [1, 64, [64, 64, 128]],
    [1, 512, [128, 128, 300]],
    [2, 36, [32, 96]],
    [3, 40, [64, 128, 7]],
    [8, 264, [8, 64, 20, 16]],
    [5, 64, [24, 24, 24]],
    [9, 64, [64, 64]],
  ] as const
) {
  for (const full of [false, true]) {
    const name = `linear ${rows}×${inner}→${outs.join(", ")} side by side${full ? ", norm, bias, gelu" : ""}`;
    const fields = { rows, in: inner, tags: ["side-by-side", ...full ? ["norm", "bias", "gelu"] : []] };
    cases.push(
      new Case(name, { op: "linear", ...fields }, (c) => {
        const x = c.f32("x", [rows, inner], 3), norm = { gain: c.f32("gain", [inner]), bias: c.f32("shift", [inner]) };
        const ws = outs.map((out, i) => c.f32(`w${i}`, [out, inner])), bs = outs.map((out, i) => c.f32(`b${i}`, [out]));
        const ys = outs.map((out, i): Tensor => ({ name: `y${i}`, shape: [rows, out], dtype: "f32", scratch: true }));
        ws.forEach((w, i) => c.ops.push({ op: "linear", x, w, y: ys[i], ...full && { norm, b: bs[i], activation: "gelu" } }));
        ys.forEach((y, i) => c.ops.push({ op: "linear", x: y, w: c.f32(`v${i}`, [12, outs[i]]), y: c.out(`out${i}`, [rows, 12]) }));
      }),
    );
  }
}

/** Weights of int8 and their scales, which make them about as large as the others. */
const int8 = (c: Problem, out: number, inner: number) => ({ w: c.i8("w", [out, inner]), scale: c.f32("scale", [out], 1 / 73) });

// Weights of int8: one row, few and many, both widths of a vector and odd ones, rows that end within a word. Of more than 128 KiB those of
// 548 rows, and in f32 those of 300.
for (
  const [rows, inner, out] of [
    [1, 1, 1],
    [1, 37, 9],
    [1, 64, 64],
    [2, 200, 72],
    [5, 3, 130],
    [17, 36, 257],
    [17, 520, 36],
    [18, 252, 548],
    [64, 64, 64],
    [65, 129, 300],
    [66, 36, 48],
    [330, 100, 36],
  ]
) {
  const name = `linear ${rows}×${inner}→${out}, int8`, fields = { op: "linear", rows, in: inner, out, weights: "i8" } as const;
  cases.push(
    new Case(name, fields, (c) => {
      c.ops.push({ op: "linear", x: c.f32("x", [rows, inner]), ...int8(c, out, inner), y: c.out("y", [rows, out]) });
    }),
    new Case(`${name}, bias, pre, gelu, dropout, residual`, { ...fields, tags: ["bias", "pre", "gelu", "dropout", "residual"] }, (c) => {
      c.ops.push({
        op: "linear",
        x: c.f32("x", [rows, inner]),
        ...int8(c, out, inner),
        y: c.out("y", [rows, out]),
        b: c.f32("b", [out]),
        pre: c.out("pre", [rows, out]),
        activation: "gelu",
        dropout: { p: 0.25, site: 3, micro: 1, seeds: c.seeds() },
        residual: c.f32("residual", [rows, out]),
      });
    }),
    new Case(`${name}, norm, bias, gelu, residual`, { ...fields, tags: ["norm", "bias", "gelu", "residual"] }, (c) => {
      c.ops.push({
        op: "linear",
        x: c.f32("x", [rows, inner], 3),
        norm: { gain: c.f32("gain", [inner]), bias: c.f32("shift", [inner]) },
        ...int8(c, out, inner),
        y: c.out("y", [rows, out]),
        b: c.f32("b", [out]),
        activation: "gelu",
        residual: c.f32("residual", [rows, out]),
      });
    }),
  );
}
for (const [rows, inner, outs] of [[1, 64, [64, 64, 128]], [8, 264, [8, 64, 20, 16]]] as const) {
  const name = `linear ${rows}×${inner}→${outs.join(", ")} side by side, int8`;
  cases.push(
    new Case(name, { op: "linear", rows, in: inner, weights: "i8", tags: ["side-by-side"] }, (c) => {
      const x = c.f32("x", [rows, inner]), ws = outs.map((out, i) => c.i8(`w${i}`, [out, inner]));
      const bs = outs.map((out, i) => c.f32(`b${i}`, [out])), scales = outs.map((out, i) => c.f32(`scale${i}`, [out], 1 / 73));
      const ys = outs.map((out, i): Tensor => ({ name: `y${i}`, shape: [rows, out], dtype: "f32", scratch: true }));
      ws.forEach((w, i) => c.ops.push({ op: "linear", x, w, scale: scales[i], b: bs[i], y: ys[i] }));
      ys.forEach((y, i) => c.ops.push({ op: "linear", x: y, w: c.f32(`v${i}`, [12, outs[i]]), y: c.out(`out${i}`, [rows, 12]) }));
    }),
  );
}

const small = { op: "linear", rows: 66, in: 40, out: 48 } as const;
cases.push(
  new Case("linear 66×40→48, bias", { ...small, tags: ["bias"] }, (c) => {
    c.ops.push({ op: "linear", x: c.f32("x", [66, 40]), w: c.f32("w", [48, 40]), b: c.f32("b", [48]), y: c.out("y", [66, 48]) });
  }),
  new Case("linear 66×40→48, gelu of large numbers", { ...small, tags: ["gelu"] }, (c) => {
    c.ops.push({ op: "linear", x: c.f32("x", [66, 40], 9), w: c.f32("w", [48, 40], 9), y: c.out("y", [66, 48]), activation: "gelu" });
  }),
);

export default cases;
