/**
 * GPU times of the kernels that decide: `deno task bench:gpu [--only matmul,attention,step] [--json FILE] [--quick]`.
 *
 * Times are GPU timestamps, medians over repeated runs. Each result is checked first: sampled rows of the outputs
 * against float64 sums over the same inputs. Beside each time stands its floor: the larger of operations over the f32
 * rate and bytes over the bandwidth that this run measured. Where python3 has torch and a GPU, bench/torch_peer.py
 * runs the same work on the same machine.
 */

import { parseArgs } from "npm:deno-std@1.4.0/cli/parse_args.js";
import { attends, type AttentionConfig, resolveSets } from "../src/pattern.ts";
import { buildLayout } from "../src/layout.ts";
import { checkTrain, preset } from "../src/config.ts";
import { batchData, initialWeights, Parameters, trainingProgram } from "../src/model.ts";
import { type DType, type Op, Program, size, type Tensor, tensor } from "../src/ops.ts";
import { hyperparameters, optimizerTensors } from "../src/optimizer.ts";
import { Random } from "../src/random.ts";
import { WebGpuEngine } from "../src/webgpu/engine.ts";

const flags = parseArgs(Deno.args, { string: ["only", "json", "layers"], boolean: ["quick"], default: { only: "matmul,attention,step" } });
const only = new Set(flags.only.split(","));
const engine = await WebGpuEngine.create({ allowSoftware: flags.quick });
const rows: Record<string, unknown>[] = [];
console.log(engine.description);

/** Seeded normals; a megabyte of them, repeated, is enough to keep caches and clocks honest. */
const POOL = (() => {
  const draw = new Random(11, 5);
  return Float32Array.from({ length: 1 << 20 }, () => draw.normal());
})();
function normals(count: number, at: number, deviation = 1): Float32Array {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = POOL[(i + at * 7919) & (POOL.length - 1)] * deviation;
  return out;
}

interface Timed {
  /** Median GPU milliseconds of the whole program. */
  ms: number;
  /** Median by operation name. */
  byOp: Map<string, number>;
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];

/** Runs a program until about `budget` ms of GPU time are spent, at least 3 times. */
async function time(program: Program, budget = 600, before: () => void = () => {}): Promise<Timed> {
  const executable = await engine.compile(program, { profile: true });
  const totals: number[] = [], byOp = new Map<string, number[]>();
  for (let run = 0, spent = 0; run < 3 || (spent < budget && run < 30); run++) {
    before();
    await executable.run();
    const profile = await executable.profile(), total = profile.reduce((sum, { ms }) => sum + ms, 0);
    spent += total;
    if (run === 0) continue;
    totals.push(total);
    const sums = new Map<string, number>();
    for (const { op, ms } of profile) sums.set(op, (sums.get(op) ?? 0) + ms);
    for (const [op, ms] of sums) byOp.set(op, [...byOp.get(op) ?? [], ms]);
  }
  executable.dispose();
  return { ms: median(totals), byOp: new Map([...byOp].map(([op, ms]) => [op, median(ms)])) };
}

/** Rates that floors are made from, measured by the first matrix product and by a copy-like sum. */
let peakFlops = 0;

function report(work: string, ms: number, flops: number, more: Record<string, unknown> = {}) {
  const tflops = flops / ms / 1e9, floor = peakFlops > 0 ? flops / peakFlops * 1e3 : undefined;
  rows.push({ work, ms: +ms.toFixed(4), tflops: +tflops.toFixed(2), floor_ms: floor && +floor.toFixed(4), ...more });
  const extra = Object.entries(more).map(([key, value]) => `${key} ${value}`).join("  ");
  console.log(`${work.padEnd(48)} ${ms.toFixed(3).padStart(9)} ms  ${tflops.toFixed(1).padStart(6)} TFLOP/s  ${extra}`);
}

function place(tensors: readonly Tensor[], seeds: (t: Tensor) => number | undefined): void {
  engine.allocate(tensors);
  for (const t of tensors) {
    const seed = seeds(t);
    if (seed !== undefined) engine.write(t, normals(size(t), seed));
  }
}

const relative = (got: ArrayLike<number>, want: ArrayLike<number>) => {
  let difference = 0, norm = 0;
  for (let i = 0; i < want.length; i++) {
    difference += (got[i] - want[i]) ** 2;
    norm += want[i] ** 2;
  }
  return Math.sqrt(difference / norm);
};

async function matmul(n: number, dtype: DType) {
  const x = tensor("x", [n, n], dtype), w = tensor("w", [n, n], dtype), y = tensor("y", [n, n], dtype), all = [x, w, y];
  for (
    const [name, op, row] of [
      ["x·wᵀ", { op: "linear", x, w, y }, (r: number, c: number, i: number) => [r * n + i, c * n + i]],
      ["dy·w", { op: "linear_input_grad", dy: x, w, dx: y }, (r: number, c: number, i: number) => [r * n + i, i * n + c]],
      [
        "dyᵀ·x",
        { op: "linear_weight_grad", dy: x, x: w, dw: y, accumulate: false },
        (r: number, c: number, i: number) => [i * n + r, i * n + c],
      ],
    ] as [string, Op, (r: number, c: number, i: number) => [number, number]][]
  ) {
    if (dtype === "f16" && op.op === "linear_weight_grad") continue;
    place(all, (t) => all.indexOf(t) < 2 ? all.indexOf(t) + 1 : undefined);
    const program = new Program(name);
    program.add(op);
    const timed = await time(program),
      got = await engine.read(y),
      a = await engine.read(x),
      b = await engine.read(w),
      want = [],
      picked = [];
    for (let s = 0; s < 200; s++) {
      const r = (s * 613) % n, c = (s * 911) % n;
      let sum = 0;
      for (let i = 0; i < n; i++) {
        const [p, q] = row(r, c, i);
        sum += a[p] * b[q];
      }
      want.push(sum);
      picked.push(got[r * n + c]);
    }
    if (dtype === "f32") peakFlops = Math.max(peakFlops, 2 * n ** 3 / (timed.ms / 1e3));
    report(`matmul ${n}³ ${dtype} ${name}`, timed.ms, 2 * n ** 3, { error: relative(picked, want).toExponential(1) });
    engine.free(all);
  }
}

async function attention(name: string, config: AttentionConfig, n: number, dtype: DType = "f32", heads = 8, d = 64) {
  const sets = resolveSets(config, { n, layer: 0, heads }), width = heads * d, batch = 1;
  const [q, k, v, o, dO, dq, dk, dv] = ["q", "k", "v", "o", "dO", "dq", "dk", "dv"].map((t) => tensor(t, [n, width], dtype));
  const lse = tensor("lse", [1, heads, n]), delta = tensor("delta", [1, heads, n]), all = [q, k, v, o, dO, dq, dk, dv, lse, delta];
  place(all, (t) => [q, k, v, dO].includes(t) ? all.indexOf(t) + 1 : undefined);
  const program = new Program(name), shared = { q, k, v, o, lse, sets, batch, n };
  program.add({ op: "attention", ...shared });
  program.add({ op: "attention_backward", ...shared, dO, delta, dq, dk, dv });
  const timed = await time(program);
  let pairs = 0;
  for (const set of sets) pairs += (await buildLayout(set, n, { q: 64, k: 64 })).pairs;

  // Exact rows of o and dq, and of dk and dv from the statistics that those rows have held.
  const [Q, K, V, O, G, DQ, DK, DV, L, D] = await Promise.all(all.map((t) => engine.read(t)));
  const got: number[][] = [[], [], [], []], want: number[][] = [[], [], [], []], scale = 1 / Math.sqrt(d);
  const dot = (a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number) => {
    let sum = 0;
    for (let c = 0; c < d; c++) sum += a[i + c] * b[j + c];
    return sum;
  };
  for (let s = 0; s < 12; s++) {
    const h = s % heads, i = s === 0 ? n - 1 : (s * 104729) % n, at = i * width + h * d;
    const keys = Array.from({ length: n }, (_, j) => j).filter((j) => attends(sets[h], i, j));
    const scores = keys.map((j) => dot(Q, at, K, j * width + h * d) * scale), top = scores.reduce((a, b) => Math.max(a, b));
    const total = scores.reduce((sum, x) => sum + Math.exp(x - top), 0), p = scores.map((x) => Math.exp(x - top) / total);
    const out = new Float64Array(d), grad = new Float64Array(d);
    keys.forEach((j, e) => {
      for (let c = 0; c < d; c++) out[c] += p[e] * V[j * width + h * d + c];
    });
    const mean = dot(out, 0, G.subarray(at), 0);
    keys.forEach((j, e) => {
      const ds = p[e] * (dot(G, at, V, j * width + h * d) - mean) * scale;
      for (let c = 0; c < d; c++) grad[c] += ds * K[j * width + h * d + c];
    });
    for (let c = 0; c < d; c++) {
      got[0].push(O[at + c]);
      want[0].push(out[c]);
      got[1].push(DQ[at + c]);
      want[1].push(grad[c]);
    }
    const gk = new Float64Array(d), gv = new Float64Array(d);
    for (let r = 0; r < n; r++) {
      if (!attends(sets[h], r, i)) continue;
      const from = r * width + h * d, prob = Math.exp(dot(Q, from, K, at) * scale - L[h * n + r]);
      const ds = prob * (dot(G, from, V, at) - D[h * n + r]) * scale;
      for (let c = 0; c < d; c++) {
        gv[c] += prob * G[from + c];
        gk[c] += ds * Q[from + c];
      }
    }
    for (let c = 0; c < d; c++) {
      got[2].push(DK[at + c]);
      want[2].push(gk[c]);
      got[3].push(DV[at + c]);
      want[3].push(gv[c]);
    }
  }
  const errors = got.map((g, e) => relative(g, want[e])), worst = Math.max(...errors), limit = dtype === "f16" ? 5e-3 : 2e-5;
  const ok = worst < limit ? worst.toExponential(1) : `${errors.map((e) => e.toExponential(1)).join("/")} WRONG`;
  const forward = timed.byOp.get("attention")!;
  report(`${name} n ${n} ${dtype} forward`, forward, 4 * pairs * d, { error: ok });
  report(`${name} n ${n} ${dtype} forward + backward`, timed.ms, 14 * pairs * d, { error: ok });
  engine.free(all);
}

/** One training step of the enwik8 preset's shape; GPU time, and the CPU time of encoding it. */
async function step(name: string, attention: AttentionConfig, layers: number, recompute: boolean) {
  const { model } = preset("enwik8"), config = { ...model, n_layer: layers, attention }, train = checkTrain({ batch: 1, recompute });
  const params = new Parameters(config), o = optimizerTensors(params.all), t = trainingProgram(params, o, train);
  const inputs = [
    o.hyper,
    o.squareNorm,
    o.factor,
    o.skipped,
    t.seeds,
    t.loss,
    ...t.constants.keys(),
    ...t.batches.flatMap((b) => Object.values(b) as Tensor[]),
  ];
  for (const group of [params.all, o.grads, o.m, o.v, inputs]) engine.allocate(group);
  for (
    const [at, data] of [
      ...t.constants,
      ...batchData(t.batches[0], normals(config.n_ctx, 3).map((x) => Math.abs(x * 60) & 255), 256, config.n_ctx),
    ]
  ) {
    engine.write(at, data);
  }
  const weights = initialWeights(config, 1);
  for (const p of params.all) engine.write(p, weights.get(p.name)!);
  engine.write(o.hyper, hyperparameters(train, 0));
  const timed = await time(t.program, 1500);
  const plain = await engine.compile(t.program), began = performance.now();
  await plain.run();
  const encoded = performance.now() - began;
  await engine.read(t.loss);
  const tokens = config.n_ctx, weightsCount = params.all.reduce((sum, p) => sum + size(p), 0);
  const bytes = `${(plain.scratchBytes / 2 ** 20).toFixed(0)} MiB`;
  report(`step ${name}, ${layers} layers${recompute ? ", recomputed" : ""}`, timed.ms, (recompute ? 8 : 6) * weightsCount * tokens, {
    "tokens/s": (tokens / timed.ms * 1e3).toFixed(0),
    "encode ms": encoded.toFixed(1),
    scratch: bytes,
  });
  const top = [...timed.byOp].sort(([, a], [, b]) => b - a).map(([op, ms]) => `${op} ${ms.toFixed(1)}`).join(", ");
  console.log(`    ${top}`);
  plain.dispose();
  for (const group of [params.all, o.grads, o.m, o.v, inputs]) engine.free(group);
  return timed.ms;
}

if (flags.quick) {
  if (only.has("matmul")) await matmul(128, "f32");
  if (only.has("attention")) await attention("strided l 16", { pattern: "strided", stride: 16 }, 160, "f32", 2);
} else {
  if (only.has("matmul")) await matmul(4096, "f32");
  if (only.has("attention")) {
    await attention("dense", { pattern: "dense" }, 12288);
    await attention("strided l 128", { pattern: "strided", stride: 128 }, 12288);
    await attention("fixed l 128 c 32", { pattern: "fixed", stride: 128, c: 32 }, 12288);
    await attention("strided l 256", { pattern: "strided", stride: 256 }, 65536);
  }
  if (only.has("step")) {
    const layers = Number(flags.layers ?? 30), times: Record<string, number> = {};
    times.dense = await step("dense", { pattern: "dense" }, layers, true);
    times.fixed = await step("fixed", { pattern: "fixed", stride: 128, c: 32 }, layers, true);
    times.strided = await step("strided", { pattern: "strided", stride: 128 }, layers, true);
    for (const name of ["fixed", "strided"]) console.log(`    ${name} ÷ dense ${(times[name] / times.dense).toFixed(3)}`);
    rows.push({ work: "step ratios", fixed: times.fixed / times.dense, strided: times.strided / times.dense });
  }
  if (only.has("torch")) {
    const peer = new Deno.Command("python3", {
      args: [new URL("torch_peer.py", import.meta.url).pathname],
      stdout: "piped",
      stderr: "null",
    });
    const lines = new TextDecoder().decode((await peer.output().catch(() => ({ stdout: new Uint8Array() }))).stdout).split("\n").filter(
      Boolean,
    );
    for (const line of lines) {
      rows.push(JSON.parse(line));
      console.log(line);
    }
    if (lines.length === 0) console.log("PyTorch: python3 with torch and a GPU is not here");
  }
}
if (flags.json) await Deno.writeTextFile(flags.json, JSON.stringify({ device: engine.description, rows }, null, 2));
engine.dispose();
Deno.exit(0);
