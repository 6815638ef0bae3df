/**
 * The operations around the matrix products, WASM on one thread beside plain JavaScript.
 *
 *     deno run -A bench/elementwise.ts [--json] [--quick]
 *
 * @module
 */

import "../src/ops/late.gen.ts";
import { HYPER, type Op, tensor } from "../src/ops/mod.ts";
import { dropoutKeeps } from "../src/base/random.ts";
import { WasmEngine } from "../src/engines/wasm/engine.ts";
import { inputs, prepare, QUICK, report, type Row, time } from "./lib.ts";

const ROWS = QUICK ? 8 : 1024, D = 512, COUNT = ROWS * D;
const { given, make } = inputs(), matrix = (name: string) => make(name, [ROWS, D]);
const x = matrix("x"), y = matrix("y"), dy = matrix("dy"), dx = matrix("dx"), m = matrix("m"), v = matrix("v");
const gain = make("gain", [D]), bias = make("bias", [D]), mean = make("mean", [ROWS]), rstd = make("rstd", [ROWS]);
const dGain = make("dGain", [D]),
  dBias = make("dBias", [D]),
  losses = make("losses", [ROWS]),
  one = make("one", [1]),
  hyper = make("hyper", [HYPER]);
const column = make("column", [COUNT, 1]),
  dX = make("dX", [COUNT, 1]),
  [wanted, weights, each] = ["wanted", "weights", "each"].map((name) => make(name, [COUNT]));
const targets = tensor("targets", [ROWS], "u32"), seeds = tensor("seeds", [2], "u32");
given.set(targets, Uint32Array.from({ length: ROWS }, (_, i) => i % D));
given.set(seeds, Uint32Array.of(1, 2));
given.set(v, new Float32Array(COUNT));
given.set(hyper, Float32Array.of(0.001, 10, 1000, 0.01));
const data = (t: typeof x) => given.get(t) as Float32Array, out = new Float32Array(COUNT);
const [X, G, B, M, V, Y] = [x, gain, bias, m, v, y].map((t) => data(t).slice());

function layernorm(): void {
  for (let r = 0; r < ROWS; r++) {
    let sum = 0, squares = 0;
    for (let c = 0; c < D; c++) sum += X[r * D + c];
    const average = sum / D;
    for (let c = 0; c < D; c++) squares += (X[r * D + c] - average) ** 2;
    const factor = 1 / Math.sqrt(squares / D + 1e-5);
    for (let c = 0; c < D; c++) out[r * D + c] = (X[r * D + c] - average) * factor * G[c] + B[c];
  }
}

function crossEntropy(): void {
  for (let r = 0; r < ROWS; r++) {
    let top = -Infinity, sum = 0;
    for (let c = 0; c < D; c++) top = Math.max(top, X[r * D + c]);
    for (let c = 0; c < D; c++) sum += out[r * D + c] = Math.exp(X[r * D + c] - top);
    for (let c = 0; c < D; c++) out[r * D + c] = (out[r * D + c] / sum - (c === r % D ? 1 : 0)) / ROWS;
  }
}

function scoreLoss(): void {
  for (let i = 0; i < COUNT; i++) {
    const z = X[i], e = Math.exp(-Math.abs(z));
    Y[i] = Math.max(z, 0) - M[i] * z + Math.log1p(e);
    out[i] = ((z < 0 ? e : 1) / (1 + e) - M[i]) / COUNT;
  }
}

function dropout(): void {
  for (let i = 0; i < COUNT; i++) out[i] = dropoutKeeps(1, 1, 2, i, 0.25) ? X[i] / 0.75 : 0;
}

function adam(): void {
  for (let i = 0; i < COUNT; i++) {
    const g = X[i];
    M[i] = 0.9 * M[i] + 0.1 * g;
    V[i] = 0.999 * V[i] + 0.001 * g * g;
    Y[i] -= 0.001 * (M[i] * 10 / (Math.sqrt(V[i] * 1000) + 1e-8) + 0.01 * Y[i]);
  }
}

const cases: [string, Op, (() => void)?][] = [
  ["layernorm", { op: "layernorm", x, gain, bias, y, mean, rstd }, layernorm],
  ["layernorm backward", { op: "layernorm_backward", x, gain, mean, rstd, dy, dx, dGain, dBias, accumulate: false }],
  ["cross_entropy", { op: "cross_entropy", logits: x, targets, losses, dLogits: dx, scale: 1 / ROWS }, crossEntropy],
  [
    "score_loss",
    { op: "score_loss", kind: "logistic", x: column, targets: wanted, weights, losses: each, dX, scale: 1 / COUNT },
    scoreLoss,
  ],
  ["dropout", { op: "dropout", x, y, dropout: { p: 0.25, site: 1, micro: 0, seeds } }, dropout],
  ["square_norm", { op: "square_norm", xs: [x], y: one }],
  ["adam", {
    op: "adam",
    ...{ params: [y], grads: [x], m: [m], v: [v], decay: [true], factor: one, hyper },
    ...{ beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 },
  }, adam],
];
const engine = await WasmEngine.create({ threads: 1 }), rows: Row[] = [];
for (const [name, op, plain] of cases) {
  using ours = await prepare(engine, name, [op], given);
  const wasm = await time(ours.run, { budget: 300 }), js = plain && await time(plain, { budget: 300 });
  rows.push({
    "operation": name,
    "elements": COUNT,
    "ns per element": wasm.best * 1e6 / COUNT,
    ...js ? { "plain JS": js.best * 1e6 / COUNT, "times faster": js.best / wasm.best } : {},
  });
}
engine.dispose();
report("element-wise operations, 1 thread", rows);
