/**
 * GPU times of the kernels that decide:
 * `deno task bench:gpu [--only matmul,attention,step,torch,torch-step,flex] [--tuning FILE] [--dtype f32,f16] [--layers N] [--json FILE] [--quick] [--gpu dawn]`.
 *
 * `--sweep [--seconds N] [--only WORK,…]` instead measures every kernel variant on the works of the table, prints a line per
 * variant and the best of each kernel, and writes what `--tuning` reads.
 *
 * Times are GPU timestamps, medians over repeated runs. Each result is checked first: sampled rows of the outputs
 * against float64 sums over the same inputs. Beside each time stands its floor: operations over the f32 rate, or the fewest
 * bytes over the bandwidth where that is more, both as bench/rates.ts measures them first. Where python3 has torch and a GPU,
 * bench/torch_peer.py runs the same work on the same machine: `torch` matrix products and dense attention, `torch-step`
 * a training step with dense attention, `flex` FlexAttention, whose compiler takes minutes.
 */

import { parseArgs } from "npm:deno-std@1.4.0/cli/parse_args.js";
import { TextLineStream } from "npm:deno-std@1.4.0/streams/text_line_stream.js";
import { attends } from "../src/pattern/attends.ts";
import { type AttentionConfig, resolveSets } from "../src/pattern/sets.ts";
import { buildLayout } from "../src/pattern/layout.ts";
import { checkTrain } from "../src/files/train_config.ts";
import { preset } from "../src/files/presets.ts";
import { batchData } from "../src/model/batch.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { Parameters } from "../src/model/parameters.ts";
import { trainingProgram } from "../src/model/train.ts";
import { tune, type TuneWork } from "../src/engines/webgpu/tuning/tune.ts";
import { formatTuning, parseTuning, type TunedVariant, TUNING_VERSION } from "../src/engines/webgpu/tuning/tuning.ts";
import { type DType, type Op, Program, size, type Tensor, tensor } from "../src/ops/mod.ts";
import { LOSS_SCALE, optimizerState, optimizerTensors, scheduleRows } from "../src/model/optimizer.ts";
import { Random } from "../src/base/random.ts";
import { relativeError } from "../src/run/verify.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import { settledProfile } from "../src/engines/webgpu/tuning/settle.ts";
import { GPU_OPTIONS } from "./lib.ts";
import { measureRates } from "./rates.ts";

const flags = parseArgs(Deno.args, {
  string: ["only", "dtype", "json", "layers", "tuning", "seconds", "gpu"],
  boolean: ["quick", "sweep"],
});
const only = new Set((flags.only ?? "matmul,attention,step").split(","));
const dtypes = (flags.dtype ?? "f32,f16").split(",") as ("f32" | "f16")[];
const tuning = flags.tuning ? parseTuning(await Deno.readTextFile(flags.tuning), flags.tuning) : undefined;
const engine = await WebGpuEngine.create({ ...GPU_OPTIONS, allowSoftware: flags.quick, tuning });
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

/** Runs a program repeatedly for about `budget` ms of GPU time. The sum of each dispatch's median. */
async function time(program: Program, budget = 300): Promise<Timed> {
  const executable = await engine.compile(program);
  const profile = await settledProfile(executable, budget), byOp = new Map<string, number>();
  for (const { op, ms } of profile) byOp.set(op, (byOp.get(op) ?? 0) + ms);
  executable.dispose();
  return { ms: profile.reduce((sum, { ms }) => sum + ms, 0), byOp };
}

/** What floors are made from. */
const rates = flags.sweep ? undefined : await measureRates(flags.quick);
if (rates) console.log(`at most ${(rates.flops / 1e12).toPrecision(3)} TFLOP/s in f32, ${(rates.bytes / 1e12).toPrecision(3)} TB/s`);

/** Into the file at once: a run may be ended before its last row. */
function keepRow(row: Record<string, unknown>) {
  rows.push(row);
  if (flags.json) Deno.writeTextFileSync(flags.json, JSON.stringify({ device: engine.description, rows }, null, 2));
}

/** @param bytes fewest to read and write */
function report(work: string, ms: number, flops: number, bytes: number, more: Record<string, unknown> = {}) {
  const tflops = flops / ms / 1e9, floor = rates && Math.max(flops / rates.flops, bytes / rates.bytes) * 1e3;
  keepRow({ work, ms: +ms.toFixed(4), tflops: +tflops.toFixed(2), floor_ms: floor && +floor.toFixed(4), ...more });
  const extra = Object.entries({ floor: floor ? `${floor.toFixed(3)} ms` : "unknown", ...more }).map(([key, value]) => `${key} ${value}`);
  console.log(`${work.padEnd(48)} ${ms.toFixed(3).padStart(9)} ms  ${tflops.toFixed(1).padStart(6)} TFLOP/s  ${extra.join("  ")}`);
}

const bytesOf = (t: Tensor) => size(t) * (t.dtype === "f16" ? 2 : 4);

/** Each tensor by itself, as scratch tensors are: a dispatch that writes a page reads all of it as writable. */
function place(tensors: readonly Tensor[], seeds: (t: Tensor) => number | undefined): void {
  for (const t of tensors) {
    engine.allocate([t]);
    const seed = seeds(t);
    if (seed !== undefined) engine.write(t, normals(size(t), seed));
  }
}

async function matmul(n: number, dtype: DType) {
  const a = tensor("a", [n, n], dtype), other = tensor("b", [n, n], dtype), weight = tensor("w", [n, n]);
  const result = tensor("y", [n, n], dtype), sum = tensor("dw", [n, n]);
  for (
    const { name, op, b, y, row } of [
      {
        name: "x·wᵀ",
        op: { op: "linear", x: a, w: weight, y: result },
        b: weight,
        y: result,
        row: (r: number, c: number, i: number) => [r * n + i, c * n + i],
      },
      {
        name: "dy·w",
        op: { op: "linear_input_grad", dy: a, w: weight, dx: result },
        b: weight,
        y: result,
        row: (r: number, c: number, i: number) => [r * n + i, i * n + c],
      },
      {
        name: "dyᵀ·x",
        op: { op: "linear_weight_grad", dy: a, x: other, dw: sum, accumulate: false },
        b: other,
        y: sum,
        row: (r: number, c: number, i: number) => [i * n + r, i * n + c],
      },
    ] as { name: string; op: Op; b: Tensor; y: Tensor; row: (r: number, c: number, i: number) => [number, number] }[]
  ) {
    const all = [a, b, y];
    place(all, (t) => all.indexOf(t) < 2 ? all.indexOf(t) + 1 : undefined);
    const program = new Program(name);
    program.add(op);
    const timed = await time(program), want = [], picked = [];
    const [got, left, right] = [await engine.read(y), await engine.read(a), await engine.read(b)];
    for (let s = 0; s < 200; s++) {
      const r = (s * 613) % n, c = (s * 911) % n;
      let total = 0;
      for (let i = 0; i < n; i++) {
        const [p, q] = row(r, c, i);
        total += left[p] * right[q];
      }
      want.push(total);
      picked.push(got[r * n + c]);
    }
    const bytes = all.reduce((sum, t) => sum + bytesOf(t), 0);
    report(`matmul ${n}³ ${dtype} ${name}`, timed.ms, 2 * n ** 3, bytes, { error: relativeError(picked, want).toExponential(1) });
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
  const errors = got.map((g, e) => relativeError(g, want[e])), worst = Math.max(...errors), limit = dtype === "f16" ? 5e-3 : 2e-5;
  const ok = worst < limit ? worst.toExponential(1) : `${errors.map((e) => e.toExponential(1)).join("/")} WRONG`;
  const forward = timed.byOp.get("attention")!;
  // q, k, v, o; then these and dO, dq, dk, dv.
  const each = bytesOf(q);
  report(`${name} n ${n} ${dtype} forward`, forward, 4 * pairs * d, 4 * each, { error: ok });
  report(`${name} n ${n} ${dtype} forward + backward`, timed.ms, 14 * pairs * d, 12 * each, { error: ok });
  engine.free(all);
}

let initial: ReturnType<typeof initialWeights> | undefined;

/** Steps that are timed from begin to end. */
const TURNS = 6;

/** One training step of the enwik8 preset's shape; GPU time, the CPU time of encoding it, and the time from begin to end. */
async function step(name: string, attention: AttentionConfig, layers: number, recompute: boolean, precision: "f32" | "f16") {
  const { model } = preset("enwik8"),
    config = { ...model, n_layer: layers, attention },
    train = checkTrain({ batch: 1, recompute, precision });
  const params = new Parameters(config), o = optimizerTensors(params.all, train.optimizer), t = trainingProgram(params, o, train);
  const inputs = [
    ...optimizerState(o),
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
  // The pattern does not change them, and making 95 million takes seconds.
  const weights = initial ??= initialWeights(config, 1);
  for (const p of params.all) engine.write(p, weights.get(p.name)!);
  engine.write(o.schedule, scheduleRows(train, 0));
  // Without one f16's gradients are 0/0, and what is not a number takes another way through kernels: a step took a quarter longer.
  engine.write(o.lossScale, Float32Array.from(LOSS_SCALE));
  const timed = await time(t.program, 600);
  const plain = await engine.compile(t.program), waited: number[] = [];
  let began = performance.now();
  await plain.run();
  const encoded = performance.now() - began;
  await engine.read(o.loss);
  // From begin to end, each waited for: what a user's clock says, which holds more than the sum of the kernels where something is amiss.
  for (let turn = 0; turn < TURNS; turn++) {
    began = performance.now();
    await plain.run();
    await engine.read(o.loss);
    waited.push(performance.now() - began);
  }
  began = performance.now();
  for (let turn = 0; turn < TURNS; turn++) await plain.run();
  await engine.read(o.loss);
  const inARow = (performance.now() - began) / TURNS;
  const [[loss], [skipped]] = [await engine.read(o.loss), await engine.read(o.skipped)];
  if (!Number.isFinite(loss) || skipped > 0) throw new Error(`step ${name}: the loss is ${loss}, ${skipped} steps were skipped`);
  const tokens = config.n_ctx, weightsCount = params.all.reduce((sum, p) => sum + size(p), 0);
  const scratch = `${(plain.scratchBytes / 2 ** 20).toFixed(0)} MiB`;
  report(
    `step ${name} ${precision}, ${layers} layers${recompute ? ", recomputed" : ""}`,
    timed.ms,
    (recompute ? 8 : 6) * weightsCount * tokens,
    // A weight and two moments read and written, a gradient written and read.
    32 * weightsCount,
    {
      "tokens/s": (tokens / timed.ms * 1e3).toFixed(0),
      "encode ms": encoded.toFixed(1),
      scratch,
    },
  );
  const top = [...timed.byOp].sort(([, a], [, b]) => b - a).map(([op, ms]) => `${op} ${ms.toFixed(1)}`).join(", ");
  console.log(`    ${top}`);
  console.log(`    from begin to end ${waited.map((ms) => ms.toFixed(0)).join(", ")} ms, ${TURNS} in a row ${inARow.toFixed(1)} each`);
  keepRow({ work: `step ${name} ${precision} from begin to end`, waited, inARow });
  const muon = timed.byOp.get("muon");
  if (muon !== undefined) {
    const share = muon / timed.ms;
    console.log(
      `    Muon ${muon.toFixed(1)} ms, ${(100 * share).toFixed(1)} % of the step, ${
        (100 * share / (1 - share)).toFixed(1)
      } % of the rest of it`,
    );
    keepRow({ work: `muon of step ${name}`, ms: muon, share });
  }
  plain.dispose();
  for (const group of [params.all, o.grads, o.m, o.v, inputs]) engine.free(group);
  return timed.ms;
}

const attentionWork = (attention: AttentionConfig, n: number, heads: number, d: number, dtype: DType = "f32"): TuneWork => ({
  sets: resolveSets(attention, { n, layer: 0, heads }),
  n,
  d,
  dtype,
});

/** Works of the table, in the order in which they are swept: those that decide most first. */
const SWEPT: readonly (readonly [string, () => TuneWork])[] = [
  ["matmul", () => ({ rows: 4096, in: 4096, out: 4096 })],
  ["dense", () => attentionWork({ pattern: "dense" }, 12288, 8, 64)],
  ["strided", () => attentionWork({ pattern: "strided", stride: 128 }, 12288, 8, 64)],
  ["fixed", () => attentionWork({ pattern: "fixed", stride: 128, c: 32 }, 12288, 8, 64)],
  ["ff", () => ({ rows: 12288, in: 512, out: 2048 })],
  ["proj", () => ({ rows: 12288, in: 512, out: 512 })],
  ["matmul16", () => ({ rows: 4096, in: 4096, out: 4096, dtype: "f16" })],
  ["long", () => attentionWork({ pattern: "strided", stride: 256 }, 65536, 8, 64)],
  ["strided16", () => attentionWork({ pattern: "strided", stride: 128 }, 12288, 8, 64, "f16")],
  ["fixed16", () => attentionWork({ pattern: "fixed", stride: 128, c: 32 }, 12288, 8, 64, "f16")],
];

/** What shows on any device that the sweep works. */
const SWEPT_QUICKLY: typeof SWEPT = [
  ["matmul", () => ({ rows: 130, in: 64, out: 68 })],
  ["strided", () => attentionWork({ pattern: "strided", stride: 16 }, 160, 1, 16)],
];

const describe = (variant: Readonly<Record<string, number>>) => Object.entries(variant).map(([name, value]) => `${name}${value}`).join(" ");

/** Measures every variant of the works of the table; the choices are what `--tuning` takes. */
async function sweep() {
  const wanted = flags.only ? new Set(flags.only.split(",")) : undefined, began = performance.now(), seconds = Number(flags.seconds ?? 170);
  const choices: TunedVariant[] = [];
  for (const [name, work] of flags.quick ? SWEPT_QUICKLY : SWEPT) {
    const left = seconds - (performance.now() - began) / 1e3;
    if ((wanted && !wanted.has(name)) || left <= 0) continue;
    const found = await tune(engine, [work()], {
      seconds: left,
      report(trial) {
        rows.push({ ...trial });
        const { variant, measured, compile, failures } = trial,
          short = (kernel: string) => kernel.replace(/^attention_(backward_)?|^linear_/, "");
        const times = measured.map(({ kernel, ms }) => `${short(kernel)} ${ms.toFixed(3)}`).join(" ");
        const off = Math.max(0, ...measured.map(({ difference }) => difference)).toExponential(0);
        console.log(
          `${name.padEnd(9)} ${(variant ? describe(variant) : "by rule").padEnd(64)} ${times} (made in ${compile.toFixed(0)}, off ${off})`,
        );
        for (const failure of failures) console.log(`${name}: ${failure}`);
      },
    });
    for (const { kernel, variant, ms } of found.choices) console.log(`BEST ${name} ${kernel} ${ms.toFixed(3)}: ${describe(variant)}`);
    choices.push(...found.choices);
    if (flags.json) await Deno.writeTextFile(flags.json, formatTuning({ version: TUNING_VERSION, device: engine.description, choices }));
  }
  console.log(`swept in ${((performance.now() - began) / 1e3).toFixed(0)} s`);
}

if (flags.sweep) await sweep();
else if (flags.quick) {
  if (only.has("matmul")) await matmul(128, "f32");
  if (only.has("attention")) await attention("strided l 16", { pattern: "strided", stride: 16 }, 160, "f32", 2, 16);
} else {
  if (only.has("matmul")) {
    for (const dtype of dtypes) await matmul(4096, dtype);
  }
  if (only.has("attention")) {
    for (const dtype of dtypes) {
      await attention("dense", { pattern: "dense" }, 12288, dtype);
      await attention("strided l 128", { pattern: "strided", stride: 128 }, 12288, dtype);
      await attention("fixed l 128 c 32", { pattern: "fixed", stride: 128, c: 32 }, 12288, dtype);
    }
    if (dtypes.includes("f32")) await attention("strided l 256", { pattern: "strided", stride: 256 }, 65536);
  }
  if (only.has("step")) {
    const layers = Number(flags.layers ?? 30);
    for (const dtype of flags.dtype ? dtypes : ["f32"] as const) {
      const times: Record<string, number> = {};
      times.dense = await step("dense", { pattern: "dense" }, layers, true, dtype);
      times.fixed = await step("fixed", { pattern: "fixed", stride: 128, c: 32 }, layers, true, dtype);
      times.strided = await step("strided", { pattern: "strided", stride: 128 }, layers, true, dtype);
      for (const name of ["fixed", "strided"]) console.log(`    ${name} ÷ dense ${(times[name] / times.dense).toFixed(3)}`);
      keepRow({ work: `step ratios ${dtype}`, fixed: times.fixed / times.dense, strided: times.strided / times.dense });
    }
  }
  const peers = [
    ...only.has("torch") ? ["matmul", "dense 12288", "dense 65536"] : [],
    ...only.has("torch-step") ? ["step"] : [],
    ...only.has("flex") ? ["flex"] : [],
  ];
  if (peers.length > 0) {
    const peer = new Deno.Command("python3", {
      args: [new URL("torch_peer.py", import.meta.url).pathname, ...peers],
      stdout: "piped",
      stderr: "null",
    });
    let lines = 0;
    try {
      for await (const line of peer.spawn().stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())) {
        keepRow(JSON.parse(line));
        console.log(line);
        lines++;
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    if (lines === 0) console.log("PyTorch: python3 with torch and a GPU is not here");
  }
}
engine.dispose();
Deno.exit(0);
