/**
 * The cases of the conformance suite: every operation of the contract, at odd sizes, on both sides of each tile
 * boundary, with every optional field present and absent, and attention for every pattern. A case is data; the suite
 * runs it on an engine and on the oracle with the same seeded inputs.
 *
 * @module
 */

import { CachePlan, EMPTY_SLOT } from "../src/pattern/cache.ts";
import { activations, type DType, HYPER, type Op, type Tensor, tensor, type TensorData } from "../src/ops/mod.ts";
import { type AttentionConfig, resolveSets } from "../src/pattern/sets.ts";
import { Random } from "../src/base/random.ts";

/** Inputs, operations and the tensors to compare. */
export class Case {
  readonly inputs = new Map<Tensor, TensorData>();
  readonly outputs: Tensor[] = [];
  readonly ops: Op[] = [];
  readonly #random: Random;

  constructor(readonly name: string, build: (c: Case) => void) {
    let seed = 7;
    for (const char of name) seed = Math.imul(seed, 31) + char.charCodeAt(0) >>> 0;
    this.#random = new Random(seed, 1);
    build(this);
  }

  /** An input of normal numbers, rounded to f32. */
  f32(name: string, shape: number[], deviation = 1): Tensor {
    const t = tensor(name, shape);
    this.inputs.set(t, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => this.#random.normal() * deviation));
    return t;
  }

  /** An input of given integers. */
  u32(name: string, shape: number[], value: (i: number) => number): Tensor {
    const t = tensor(name, shape, "u32");
    this.inputs.set(t, Uint32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)));
    return t;
  }

  /** A seeded integer below `limit`. */
  below(limit: number): number {
    return this.#random.below(limit);
  }

  /** An output; poisoned before the run, so that an element left unwritten shows. */
  out(name: string, shape: number[], dtype: DType = "f32"): Tensor {
    const t = tensor(name, shape, dtype);
    this.inputs.set(
      t,
      dtype === "u32" ? new Uint32Array(shape.reduce((a, b) => a * b, 1)) : new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(NaN),
    );
    this.outputs.push(t);
    return t;
  }

  /** A tensor updated in place. */
  inOut(name: string, shape: number[], deviation = 1): Tensor {
    const t = this.f32(name, shape, deviation);
    this.outputs.push(t);
    return t;
  }

  /** u32 [2]: seed and step. */
  seeds(): Tensor {
    return this.u32("seeds", [2], (i) => [12345, 678][i]);
  }
}

// What is marked "large" has a tensor of more than 128 KiB, which the engine webgpu-split does not bind whole.
const cases: Case[] = [];
const add = (name: string, build: (c: Case) => void) => cases.push(new Case(name, build));

// Embedding: one table and three, indices repeated by batch.
for (
  const [rows, n, d, tables] of [[1, 1, 4, [3]], [37, 37, 20, [257]], [96, 48, 16, [257, 4, 4, 3]], [130, 65, 132, [257, 9, 8]], [
    390,
    65,
    132,
    [257, 9, 8],
  ]] as const // the last: large
) {
  add(`embedding ${rows}×${d}, ${tables.length} tables`, (c) => {
    c.ops.push({
      op: "embedding",
      indices: tables.map((size, t) => c.u32(`index${t}`, [t === 0 ? rows : n], () => c.below(size))),
      tables: tables.map((size, t) => c.f32(`table${t}`, [size, d])),
      y: c.out("y", [rows, d]),
    });
  });
  for (const [i, batch] of [[0, 1], [n - 1, 3]]) {
    add(`embedding_decode position ${i} of ${n}, ${batch}×${d}, ${tables.length} tables`, (c) => {
      c.ops.push({
        op: "embedding_decode",
        tape: c.u32("tape", [n, batch], () => c.below(tables[0] - 1)),
        position: c.u32("position", [1], () => i),
        start: tables[0] - 1,
        rows: tables.slice(1).map((size, t) => c.u32(`rows${t}`, [n], () => c.below(size))),
        tables: tables.map((size, t) => c.f32(`table${t}`, [size, d])),
        y: c.out("y", [batch, d]),
      });
    });
  }
  for (const accumulate of [false, true]) {
    add(`embedding_backward ${rows}×${d} into ${tables[0]}${accumulate ? ", accumulate" : ""}`, (c) => {
      const entries = tables[0], index = Array.from({ length: rows }, () => c.below(entries));
      const order = index.map((_, r) => r).sort((a, b) => index[a] - index[b] || a - b);
      c.ops.push({
        op: "embedding_backward",
        dy: c.f32("dy", [rows, d]),
        order: c.u32("order", [rows], (i) => order[i]),
        starts: c.u32("starts", [entries + 1], (i) => index.filter((x) => x < i).length),
        dTable: accumulate ? c.inOut("dTable", [entries, d]) : c.out("dTable", [entries, d]),
        accumulate,
      });
    });
  }
}

for (const [rows, d] of [[1, 4], [3, 7], [65, 64], [130, 129], [257, 260]]) {
  add(`layernorm ${rows}×${d}`, (c) => {
    c.ops.push({
      op: "layernorm",
      x: c.f32("x", [rows, d], 3),
      gain: c.f32("gain", [d]),
      bias: c.f32("bias", [d]),
      y: c.out("y", [rows, d]),
      mean: c.out("mean", [rows]),
      rstd: c.out("rstd", [rows]),
    });
  });
  for (const [residual, accumulate] of [[false, false], [true, true]]) {
    add(`layernorm_backward ${rows}×${d}${residual ? ", residual, accumulate" : ""}`, (c) => {
      c.ops.push({
        op: "layernorm_backward",
        x: c.f32("x", [rows, d]),
        gain: c.f32("gain", [d]),
        mean: c.f32("mean", [rows], 0.1),
        rstd: c.f32("rstd", [rows]),
        dy: c.f32("dy", [rows, d]),
        residual: residual ? c.f32("residual", [rows, d]) : undefined,
        dx: c.out("dx", [rows, d]),
        dGain: accumulate ? c.inOut("dGain", [d]) : c.out("dGain", [d]),
        dBias: accumulate ? c.inOut("dBias", [d]) : c.out("dBias", [d]),
        accumulate,
      });
    });
  }
}

const LINEAR = [
  [1, 1, 1],
  [1, 64, 64],
  [2, 200, 72],
  [5, 3, 130],
  [63, 17, 33],
  [64, 64, 64],
  [65, 129, 66],
  [130, 256, 100],
  [
    257,
    36,
    257,
  ],
  [200, 200, 180],
  [130, 257, 131],
  [330, 100, 36],
]; // the last three: large, the first two in their weights too
for (const [rows, inner, out] of LINEAR) {
  const shape = `${rows}×${inner}→${out}`;
  for (const full of [false, true]) {
    add(`linear ${shape}${full ? ", bias, pre, gelu, dropout, residual" : ""}`, (c) => {
      c.ops.push({
        op: "linear",
        x: c.f32("x", [rows, inner]),
        w: c.f32("w", [out, inner]),
        y: c.out("y", [rows, out]),
        ...full && {
          b: c.f32("b", [out]),
          pre: c.out("pre", [rows, out]),
          activation: "gelu",
          dropout: { p: 0.25, site: 3, micro: 1, seeds: c.seeds() },
          residual: c.f32("residual", [rows, out]),
        },
      });
    });
    add(`linear_input_grad ${shape}${full ? ", pre, residual" : ""}`, (c) => {
      c.ops.push({
        op: "linear_input_grad",
        dy: c.f32("dy", [rows, out]),
        w: c.f32("w", [out, inner]),
        dx: c.out("dx", [rows, inner]),
        ...full && { pre: c.f32("pre", [rows, inner]), residual: c.f32("residual", [rows, inner]) },
      });
    });
    add(`linear_weight_grad ${shape}${full ? ", bias, accumulate" : ""}`, (c) => {
      c.ops.push({
        op: "linear_weight_grad",
        dy: c.f32("dy", [rows, out]),
        x: c.f32("x", [rows, inner]),
        dw: full ? c.inOut("dw", [out, inner]) : c.out("dw", [out, inner]),
        db: full ? c.inOut("db", [out]) : undefined,
        accumulate: full,
      });
    });
  }
}
// The norm before a product, as decoding has it: few rows and many, widths of a vector and odd ones.
for (
  const [rows, inner, out] of [[1, 512, 100], [1, 64, 257], [2, 200, 72], [5, 33, 130], [7, 1028, 20], [8, 64, 64], [17, 36, 257], [
    66,
    40,
    48,
  ]]
) {
  for (const full of [false, true]) {
    add(`linear ${rows}×${inner}→${out}, norm${full ? ", bias, gelu, residual" : ""}`, (c) => {
      c.ops.push({
        op: "linear",
        x: c.f32("x", [rows, inner], 3),
        norm: { gain: c.f32("gain", [inner]), bias: c.f32("shift", [inner]) },
        w: c.f32("w", [out, inner]),
        y: c.out("y", [rows, out]),
        ...full && { b: c.f32("b", [out]), activation: "gelu", residual: c.f32("residual", [rows, out]) },
      });
    });
  }
}
// Products of one x by weights that were allocated side by side, as q, k and v of a decoded position: some go together, some cannot.
for (
  const [rows, inner, outs] of [
    [1, 64, [64, 64, 128]],
    [1, 512, [128, 128, 300]],
    [2, 36, [32, 96]],
    [3, 40, [64, 128, 7]],
    [8, 264, [
      8,
      64,
      20,
      16,
    ]],
    [5, 64, [24, 24, 24]],
    [9, 64, [64, 64]],
  ] as const
) {
  for (const full of [false, true]) {
    add(`linear ${rows}×${inner}→${outs.join(", ")} side by side${full ? ", norm, bias, gelu" : ""}`, (c) => {
      const x = c.f32("x", [rows, inner], 3), norm = { gain: c.f32("gain", [inner]), bias: c.f32("shift", [inner]) };
      const ws = outs.map((out, i) => c.f32(`w${i}`, [out, inner])), bs = outs.map((out, i) => c.f32(`b${i}`, [out]));
      const ys = outs.map((out, i): Tensor => ({ name: `y${i}`, shape: [rows, out], dtype: "f32", scratch: true }));
      ws.forEach((w, i) => c.ops.push({ op: "linear", x, w, y: ys[i], ...full && { norm, b: bs[i], activation: "gelu" } }));
      ys.forEach((y, i) => c.ops.push({ op: "linear", x: y, w: c.f32(`v${i}`, [12, outs[i]]), y: c.out(`out${i}`, [rows, 12]) }));
    });
  }
}
add("linear 66×40→48, bias", (c) => {
  c.ops.push({ op: "linear", x: c.f32("x", [66, 40]), w: c.f32("w", [48, 40]), b: c.f32("b", [48]), y: c.out("y", [66, 48]) });
});
add("linear 66×40→48, gelu of large numbers", (c) => {
  c.ops.push({ op: "linear", x: c.f32("x", [66, 40], 9), w: c.f32("w", [48, 40], 9), y: c.out("y", [66, 48]), activation: "gelu" });
});
for (const [rows, d, p] of [[1, 1, 0.5], [33, 21, 0.1], [64, 64, 0.4], [600, 60, 0.3]]) {
  add(`dropout ${rows}×${d}, p ${p}`, (c) => {
    c.ops.push({ op: "dropout", x: c.f32("x", [rows, d]), y: c.out("y", [rows, d]), dropout: { p, site: 5, micro: 0, seeds: c.seeds() } });
  });
}

/** Every pattern and integration, causal and not. `layer` picks the factor where interleaved. */
export const ATTENTION: readonly { name: string; config: AttentionConfig; layer?: number }[] = [
  { name: "dense", config: { pattern: "dense" } },
  { name: "dense bidirectional", config: { pattern: "dense", causal: false } },
  { name: "local 0", config: { pattern: "local", stride: 0 } },
  { name: "local 13", config: { pattern: "local", stride: 13 } },
  { name: "local 8 bidirectional", config: { pattern: "local", stride: 8, causal: false } },
  { name: "strided 16 merged", config: { pattern: "strided", stride: 16 } },
  { name: "strided 1 merged", config: { pattern: "strided", stride: 1 } },
  { name: "strided 7 interleaved, layer 0", config: { pattern: "strided", stride: 7, integration: "interleaved" } },
  { name: "strided 7 interleaved, layer 1", config: { pattern: "strided", stride: 7, integration: "interleaved" }, layer: 1 },
  { name: "strided 11 multihead", config: { pattern: "strided", stride: 11, integration: "multihead" } },
  { name: "strided 9 merged bidirectional", config: { pattern: "strided", stride: 9, causal: false } },
  {
    name: "strided 9 interleaved bidirectional, layer 1",
    config: { pattern: "strided", stride: 9, integration: "interleaved", causal: false },
    layer: 1,
  },
  { name: "fixed 16/4 merged", config: { pattern: "fixed", stride: 16, c: 4 } },
  { name: "fixed 10/3 merged", config: { pattern: "fixed", stride: 10, c: 3 } },
  { name: "fixed 8/8 merged", config: { pattern: "fixed", stride: 8, c: 8 } },
  { name: "fixed 12/4 interleaved, layer 0", config: { pattern: "fixed", stride: 12, c: 4, integration: "interleaved" } },
  { name: "fixed 12/4 interleaved, layer 1", config: { pattern: "fixed", stride: 12, c: 4, integration: "interleaved" }, layer: 1 },
  { name: "fixed 12/4 multihead", config: { pattern: "fixed", stride: 12, c: 4, integration: "multihead" } },
  { name: "fixed 12/4 merged bidirectional", config: { pattern: "fixed", stride: 12, c: 4, causal: false } },
  {
    name: "fixed 12/4 interleaved bidirectional, layer 1",
    config: { pattern: "fixed", stride: 12, c: 4, integration: "interleaved", causal: false },
    layer: 1,
  },
  { name: "longformer 9/3", config: { pattern: "longformer", stride: 9, globals: 3 } },
  { name: "longformer 9/3 bidirectional", config: { pattern: "longformer", stride: 9, globals: 3, causal: false } },
  { name: "bigbird 8", config: { pattern: "bigbird", block: 8, random: 2 } },
  { name: "bigbird 6 bidirectional", config: { pattern: "bigbird", block: 6, random: 2, causal: false } },
];

/** A caller's block layout, different for each of two heads. */
export function callersBlocks(n: number): AttentionConfig {
  const count = Math.ceil(n / 10), list = (skip: number) => Array.from({ length: count }, (_, q) => [q, ...q >= skip ? [q - skip] : [], 0]);
  return { pattern: "blocks", block: 10, blocks: [list(2), list(3)] };
}

function attentionCase(
  name: string,
  config: AttentionConfig,
  layer: number,
  n: number,
  heads: number,
  batch: number,
  dq: number,
  dv: number,
) {
  add(`attention ${name}, n ${n}, ${batch}×${heads} heads, d ${dq}/${dv}`, (c) => {
    const rows = batch * n, sets = resolveSets(config, { n, layer, heads });
    const shared = {
      // A softmax over two keys that is saturated has gradients of the size of rounding.
      q: c.f32("q", [rows, heads * dq], n < 4 ? 0.5 : 2),
      k: c.f32("k", [rows, heads * dq]),
      v: c.f32("v", [rows, heads * dv]),
      o: c.out("o", [rows, heads * dv]),
      lse: c.out("lse", [batch, heads, n]),
      sets,
      batch,
      n,
    };
    c.ops.push({ op: "attention", ...shared }, {
      op: "attention_backward",
      ...shared,
      dO: c.f32("dO", [rows, heads * dv]),
      delta: c.out("delta", [batch, heads, n]),
      dq: c.out("dq", [rows, heads * dq]),
      dk: c.out("dk", [rows, heads * dq]),
      dv: c.out("dv", [rows, heads * dv]),
    });
  });
}
for (const { name, config, layer } of ATTENTION) attentionCase(name, config, layer ?? 0, 101, 2, 1, 16, 16);
attentionCase("caller's blocks", callersBlocks(101), 0, 101, 2, 1, 16, 16);
for (const n of [1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200]) {
  attentionCase("dense", { pattern: "dense" }, 0, n, 1, 1, 16, 16);
  attentionCase("strided 5 merged", { pattern: "strided", stride: 5 }, 0, n, 1, 1, 16, 16);
  attentionCase("fixed 20/6 merged", { pattern: "fixed", stride: 20, c: 6 }, 0, n, 4, 1, 4, 4);
}
// Lists of tiles long enough to be cut.
attentionCase("dense", { pattern: "dense" }, 0, 1700, 1, 2, 4, 4);
attentionCase("strided 16 merged", { pattern: "strided", stride: 16 }, 0, 200, 2, 8, 16, 16);
for (const [dq, dv] of [[4, 4], [8, 16], [16, 32], [32, 64], [64, 32], [64, 64], [20, 12], [64, 128], [128, 128], [5, 7]]) {
  attentionCase("strided 16 merged", { pattern: "strided", stride: 16 }, 0, 70, 2, 2, dq, dv);
}
// Large: several groups of heads, the last of fewer; several sequences; heads of odd widths, whose f16 goes through f32.
attentionCase("fixed 20/6 merged", { pattern: "fixed", stride: 20, c: 6 }, 0, 200, 7, 1, 32, 32);
attentionCase("strided 16 merged", { pattern: "strided", stride: 16 }, 0, 200, 8, 2, 20, 12);
attentionCase("strided 16 multihead", { pattern: "strided", stride: 16, integration: "multihead" }, 0, 200, 24, 1, 5, 7);

function decodeCase(name: string, plan: CachePlan, i: number, batch: number, dq: number, dv: number) {
  const { heads, slots } = plan;
  add(`attention_decode ${name}, position ${i} of ${plan.n}, ${batch}×${heads} heads, d ${dq}/${dv}`, (c) => {
    c.ops.push({
      op: "attention_decode",
      q: c.f32("q", [batch, heads * dq]),
      k: c.f32("k", [batch, heads * dq]),
      v: c.f32("v", [batch, heads * dv]),
      o: c.out("o", [batch, heads * dv]),
      keys: c.inOut("keys", [batch, heads, slots, dq]),
      values: c.inOut("values", [batch, heads, slots, dv]),
      position: c.u32("position", [1], () => i),
      plan,
    });
  });
}
const planOf = (config: AttentionConfig, n: number, heads: number, layer = 0) =>
  CachePlan.create(resolveSets(config, { n, layer, heads }), n);
for (const { name, config, layer } of [...ATTENTION, { name: "caller's blocks", config: callersBlocks(101), layer: 0 }]) {
  if (config.causal === false) continue;
  const plan = await planOf(config, 101, 2, layer);
  for (const i of [0, 37, 100]) decodeCase(name, plan, i, 1, 16, 16);
}
// Both sides of the 128 keys that a share holds, and several of them.
const dense300 = await planOf({ pattern: "dense" }, 300, 2), wide = await planOf({ pattern: "strided", stride: 16 }, 70, 3);
for (const i of [126, 127, 128, 255, 299]) decodeCase("dense", dense300, i, 2, 64, 64);
for (const [dq, dv] of [[4, 4], [8, 16], [20, 12], [64, 128], [128, 128], [5, 7], [4, 7], [6, 36]]) {
  decodeCase("strided 16 merged", wide, 69, 3, dq, dv);
}
const long = await planOf({ pattern: "dense" }, 17000, 1);
decodeCase("dense", long, 16999, 1, 4, 4);

for (const [sequences, batch, heads, slots, n, dq, dv] of [[1, 1, 1, 5, 3, 4, 4], [3, 3, 2, 40, 33, 16, 24], [1, 3, 4, 17, 65, 5, 7]]) {
  add(`cache_fill ${sequences} of ${batch}×${heads} heads, ${n} to ${slots} slots, d ${dq}/${dv}`, (c) => {
    c.ops.push({
      op: "cache_fill",
      k: c.f32("k", [sequences * n, heads * dq]),
      v: c.f32("v", [sequences * n, heads * dv]),
      keys: c.inOut("keys", [batch, heads, slots, dq]),
      values: c.inOut("values", [batch, heads, slots, dv]),
      rows: c.u32("rows", [heads, slots], () => c.below(5) === 0 ? EMPTY_SLOT : c.below(n)),
      n,
    });
  });
}

// Positions before, at and after the first that is chosen; ties; cuts that keep one token and all of them.
for (
  const [batch, vocabulary, temperature, topK, topP] of [
    [1, 1, 1, 0, 1],
    [1, 2, 1, 0, 1],
    [3, 256, 1, 0, 1],
    [3, 257, 0, 0, 1],
    [5, 256, 0.7, 40, 1],
    [5, 256, 1.3, 0, 0.9],
    [5, 255, 1, 100, 0.5],
    [2, 1000, 1, 1, 1],
    [2, 1000, 1, 0, 1e-6],
    [2, 1000, 1e-20, 0, 1],
    [2, 4096, 2, 5000, 0.99],
  ]
) {
  for (const i of [6, 7, 11]) {
    add(`choose ${batch}×${vocabulary} at ${i}, temperature ${temperature}, top ${topK}, ${topP}`, (c) => {
      const logits = c.f32("logits", [batch, vocabulary], 2), values = c.inputs.get(logits)!, choice = tensor("choice", [3]);
      for (let at = 0; at < vocabulary; at += 3) values[at] = Math.round(values[at]);
      c.inputs.set(choice, Float32Array.of(temperature, topK, topP));
      const tape = c.u32("tape", [12, batch], () => 7), position = c.u32("position", [1], () => i);
      c.outputs.push(tape, position);
      c.ops.push({ op: "choose", logits, tape, position, given: c.u32("given", [1], () => 7), choice, seeds: c.seeds() });
    });
  }
}

for (const [rows, vocabulary] of [[1, 2], [5, 256], [65, 257], [3, 1000], [300, 256], [300, 257]]) {
  for (const grad of [false, true]) {
    add(`cross_entropy ${rows}×${vocabulary}${grad ? ", gradient" : ""}`, (c) => {
      c.ops.push({
        op: "cross_entropy",
        logits: c.f32("logits", [rows, vocabulary], 5),
        targets: c.u32("targets", [rows], () => c.below(vocabulary)),
        losses: c.out("losses", [rows]),
        dLogits: grad ? c.out("dLogits", [rows, vocabulary]) : undefined,
        scale: 1 / rows,
      });
    });
  }
}

for (const count of [1, 255, 1025, 70001]) {
  add(`sum of ${count}`, (c) => c.ops.push({ op: "sum", x: c.f32("x", [count]), y: c.out("y", [1]), scale: 0.5, accumulate: false }));
}
add("sum of 300, accumulate", (c) => c.ops.push({ op: "sum", x: c.f32("x", [300]), y: c.inOut("y", [1]), scale: 2, accumulate: true }));
add("square_norm", (c) => {
  c.ops.push({ op: "square_norm", xs: [1, 7, 300, 64, 40000].map((n, i) => c.f32(`x${i}`, [n])), y: c.out("y", [1]) });
});
for (
  const [name, square, maxNorm] of [["over", 16, 1], ["under", 0.25, 1], ["off", 16, 0], ["not finite", Infinity, 1], [
    "NaN",
    NaN,
    1,
  ]] as const
) {
  add(`clip ${name}`, (c) => {
    const squareNorm = tensor("squareNorm", [1]), skipped = c.u32("skipped", [2], (i) => [5, 2][i]);
    c.inputs.set(squareNorm, Float32Array.of(square));
    c.outputs.push(skipped);
    const schedule = c.f32("schedule", [8, HYPER]), known = c.u32("known", [1], () => 3), hyper = c.out("hyper", [HYPER]);
    c.ops.push({ op: "clip", squareNorm, factor: c.out("factor", [1]), skipped, maxNorm, schedule, known, hyper });
  });
}
for (const factor of [1, 0.3, 0]) {
  add(`adam, factor ${factor}`, (c) => {
    const shapes = [[33, 20], [7], [130], [64, 64], [130, 260]];
    const factors = tensor("factor", [1]), hyper = tensor("hyper", [HYPER]);
    c.inputs.set(factors, Float32Array.of(factor));
    c.inputs.set(hyper, Float32Array.of(0.01, 1 / (1 - 0.9 ** 3), 1 / (1 - 0.999 ** 3), 0.02));
    c.ops.push({
      op: "adam",
      params: shapes.map((s, i) => c.inOut(`p${i}`, s)),
      grads: shapes.map((s, i) => c.f32(`g${i}`, s)),
      m: shapes.map((s, i) => c.inOut(`m${i}`, s, 0.1)),
      v: shapes.map((s, i) => {
        const v = c.inOut(`v${i}`, s, 0.1), data = c.inputs.get(v)!;
        data.forEach((x, at) => data[at] = x * x);
        return v;
      }),
      decay: shapes.map((s) => s.length === 2),
      factor: factors,
      hyper,
      beta1: 0.9,
      beta2: 0.999,
      eps: 1e-8,
      weightDecay: 0.01,
    });
  });
}

// Matrices of several shapes at once: square, wide, tall, of odd sides, one row; and those that fill more than one tile.
for (
  const [factor, shapes] of [
    [1, [[16, 16], [16, 16], [33, 20], [20, 33], [7, 5], [1, 9], [64, 40]]],
    [0.3, [[100, 300], [300, 100]]],
    [1, [[68, 132], [160, 132], [132, 68]]],
    [0, [[16, 16], [33, 20]]],
  ] as const
) {
  add(`muon ${shapes.map((shape) => shape.join("×")).join(", ")}, factor ${factor}`, (c) => {
    const factors = tensor("factor", [1]), hyper = tensor("hyper", [HYPER]);
    c.inputs.set(factors, Float32Array.of(factor));
    c.inputs.set(hyper, Float32Array.of(0.01, 10, 1000, 0.02));
    const each = (name: string, make: (name: string, shape: number[]) => Tensor) => shapes.map((s, i) => make(`${name}${i}`, [...s]));
    c.ops.push({
      op: "muon",
      params: each("p", (name, shape) => c.inOut(name, shape)),
      grads: each("g", (name, shape) => c.f32(name, shape)),
      m: each("m", (name, shape) => c.inOut(name, shape, 0.1)),
      factor: factors,
      hyper,
      momentum: 0.95,
      weightDecay: 0.01,
    });
  });
}

/** All cases. */
export const CASES: readonly Case[] = cases;

/** The same case with its activations stored in f16, inputs rounded to it; undefined where it has none. */
export function halved(c: Case): Case | undefined {
  const twins = new Map<Tensor, Tensor>();
  for (const t of c.ops.flatMap(activations)) twins.set(t, { ...t, dtype: "f16" });
  if (twins.size === 0) return undefined;
  const twin = (t: Tensor) => twins.get(t) ?? t;
  return new Case(`${c.name}, f16`, (half) => {
    for (const [t, data] of c.inputs) half.inputs.set(twin(t), twins.has(t) ? Float32Array.from(data, (x) => Math.f16round(x)) : data);
    half.outputs.push(...c.outputs.map(twin));
    for (const op of c.ops) {
      const fields = Object.entries(op).map((
        [name, value],
      ) => [name, value !== null && typeof value === "object" ? twin(value as Tensor) : value]);
      half.ops.push(Object.fromEntries(fields) as Op);
    }
  });
}
