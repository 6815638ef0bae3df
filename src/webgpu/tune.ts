/**
 * Measures kernel variants on a device. What it answers is data, to be kept and given to the engine.
 *
 * @module
 */

import { BackendError, LongstrideError } from "../errors.ts";
import { type Attention, type AttentionBackward, type DType, type Op, Program, size, type Tensor, tensor } from "../ops.ts";
import { type AttentionConfig, type AttentionSet, resolveSets } from "../pattern.ts";
import { Random } from "../random.ts";
import type { DispatchTime, WebGpuEngine } from "./engine.ts";
import { attentionFits, attentionProblem, type Choice, linearFits, linearProblem, type Problem, type Tuning } from "./tuning.ts";
import {
  ATTENTION_KERNELS,
  ATTENTION_VARIANTS,
  type AttentionKernel,
  type AttentionVariant,
  LINEAR_KERNELS,
  LINEAR_VARIANTS,
  type LinearKernel,
  type LinearVariant,
} from "./variants.ts";

/** Attention to tune for: all kernels of the forward and backward pass. */
export interface AttentionWork {
  /** Its pattern, as layer 0 has it. */
  readonly attention: AttentionConfig;
  /** Positions. */
  readonly n: number;
  /** Heads. */
  readonly heads: number;
  /** Width of a head of q and k. */
  readonly d: number;
  /** Width of a head of v; as d where absent. */
  readonly dv?: number;
  /** Sequences, default 1. */
  readonly batch?: number;
  /** Storage of activations, default f32. */
  readonly dtype?: DType;
}

/** A matrix product to tune for: x [rows, in], w [out, in], and both gradients. */
export interface LinearWork {
  /** Rows of x. */
  readonly rows: number;
  /** Columns of x. */
  readonly in: number;
  /** Rows of w. */
  readonly out: number;
  /** Storage of activations, default f32. */
  readonly dtype?: DType;
}

/** Work to tune for. */
export type TuneWork = AttentionWork | LinearWork;

/** One variant measured. */
export interface Measured extends Choice {
  /** For people. */
  readonly work: string;
  /** Relative difference from what the default variant computed. */
  readonly difference: number;
  /** Milliseconds that making its pipelines took, all kernels of one pass together. */
  readonly compile: number;
}

/** How to tune. */
export interface TuneOptions {
  /** Called for each variant measured, and with a failure where one does not run. */
  readonly report?: (measured: Measured | { readonly work: string; readonly failure: string }) => void;
  /** Stop measuring after so many seconds; what was found by then is the answer. */
  readonly seconds?: number;
  /** Variants to try instead of all. */
  readonly variants?: { readonly attention?: readonly AttentionVariant[]; readonly linear?: readonly LinearVariant[] };
}

// GPU milliseconds that the repetitions of one measurement should take together, and how many there are.
const BUDGET = 120, LEAST = 3, MOST = 20;

// Results may differ by the order of sums.
const DIFFERENCE = { f32: 2e-5, f16: 5e-3, u32: 0 };

const isAttention = (work: TuneWork): work is AttentionWork => "attention" in work;

function nameOf(work: TuneWork): string {
  const dtype = work.dtype ?? "f32";
  if (!isAttention(work)) return `linear ${work.rows}×${work.in}→${work.out} ${dtype}`;
  const { pattern, stride, c } = work.attention;
  return `${pattern}${stride ? ` ${stride}` : ""}${c ? `/${c}` : ""} n ${work.n} ${work.heads}×${work.d} ${dtype}`;
}

interface Prepared {
  readonly ops: readonly Op[];
  readonly tensors: readonly Tensor[];
  readonly inputs: ReadonlySet<Tensor>;
  readonly outputs: readonly Tensor[];
}

function prepareAttention(work: AttentionWork): Prepared & { forward: Attention; backward: AttentionBackward } {
  const { n, heads, d, dv = d, batch = 1, dtype = "f32" } = work;
  const sets: AttentionSet[] = resolveSets(work.attention, { n, layer: 0, heads });
  const make = (name: string, width: number) => tensor(name, [batch * n, heads * width], dtype);
  const q = make("q", d), k = make("k", d), v = make("v", dv), o = make("o", dv), dO = make("dO", dv);
  const dq = make("dq", d), dk = make("dk", d), dvOut = make("dv", dv);
  const lse = tensor("lse", [batch, heads, n]), delta = tensor("delta", [batch, heads, n]), shared = { q, k, v, o, lse, sets, batch, n };
  const forward: Attention = { op: "attention", ...shared };
  const backward: AttentionBackward = { op: "attention_backward", ...shared, dO, delta, dq, dk, dv: dvOut };
  const tensors = [q, k, v, o, dO, dq, dk, dvOut, lse, delta];
  return { forward, backward, ops: [forward, backward], tensors, inputs: new Set([q, k, v, dO]), outputs: [o, dq, dk, dvOut] };
}

function prepareLinear({ rows, in: inner, out, dtype = "f32" }: LinearWork): Prepared {
  const x = tensor("x", [rows, inner], dtype), w = tensor("w", [out, inner]), y = tensor("y", [rows, out], dtype);
  const dy = tensor("dy", [rows, out], dtype), dx = tensor("dx", [rows, inner], dtype), dw = tensor("dw", [out, inner]);
  const ops: Op[] = [
    { op: "linear", x, w, y },
    { op: "linear_input_grad", dy, w, dx },
    { op: "linear_weight_grad", dy, x, dw, accumulate: false },
  ];
  return { ops, tensors: [x, w, y, dy, dx, dw], inputs: new Set([x, w, dy]), outputs: [y, dx, dw] };
}

/** Relative distance of every `step`-th element. */
function distance(got: ArrayLike<number>, want: ArrayLike<number>, step: number): number {
  let difference = 0, norm = 0;
  for (let i = 0; i < want.length; i += step) {
    difference += (got[i] - want[i]) ** 2;
    norm += want[i] ** 2;
  }
  // What is not finite must not pass for equal.
  const ratio = Math.sqrt(difference / norm);
  return Number.isFinite(ratio) ? ratio : Infinity;
}

/** Milliseconds of a kernel, with the joins of its partial results, which follow it. */
function sumOf(times: readonly DispatchTime[], kernel: string): number {
  let sum = 0, last = "";
  for (const time of times) {
    if (time.kernel !== "attention_join") last = time.kernel;
    if (last === kernel) sum += time.ms;
  }
  return sum;
}

/** One work on one engine. */
class Bench {
  readonly program: Program;
  #want: ArrayLike<number>[] | undefined;

  constructor(readonly engine: WebGpuEngine, readonly work: TuneWork, readonly prepared: Prepared, ops: readonly Op[]) {
    this.program = new Program(nameOf(work));
    for (const op of ops) this.program.add(op);
  }

  /** Allocates each tensor by itself, as a training step's scratch is, and fills the inputs. */
  allocate(): void {
    const draw = new Random(11, 5), pool = Float32Array.from({ length: 1 << 18 }, () => draw.normal());
    let at = 0;
    for (const t of this.prepared.tensors) {
      this.engine.allocate([t]);
      at += 7919;
      const from = at;
      if (this.prepared.inputs.has(t)) {
        this.engine.write(
          t,
          Float32Array.from({ length: size(t) }, (_, i) => pool[(i + from) % pool.length]),
        );
      }
    }
  }

  free(): void {
    this.engine.free(this.prepared.tensors);
  }

  /** Times with these choices, and the distance from the first outputs this was called with. */
  async measure(choices: readonly Choice[]): Promise<{ times: DispatchTime[]; difference: number; compile: number }> {
    const tuning: Tuning = { version: 1, device: this.engine.description, choices }, began = performance.now();
    const executable = await this.engine.compile(this.program, { profile: true, tuning }), compile = performance.now() - began;
    try {
      // What one variant does not write must not be what another has left.
      for (const t of this.prepared.outputs) this.engine.write(t, new Float32Array(size(t)));
      const total = (await executable.profile()).reduce((sum, { ms }) => sum + ms, 0);
      const repeats = Math.max(LEAST, Math.min(MOST, Math.ceil(BUDGET / total))), times = await executable.profile(repeats);
      const got: ArrayLike<number>[] = [];
      for (const t of this.prepared.outputs) got.push(await this.engine.read(t));
      const want = this.#want ??= got;
      return { times, compile, difference: Math.max(...got.map((some, i) => distance(some, want[i], Math.ceil(some.length / 1e6)))) };
    } finally {
      executable.dispose();
    }
  }
}

/**
 * Measures the variants of every kernel that some work uses, and answers with the best of each.
 *
 * A variant that does not compile, does not fit or computes something else is passed over and reported.
 *
 * @throws {BackendError} where the device has no timestamps
 */
export async function tune(engine: WebGpuEngine, works: readonly TuneWork[], options: TuneOptions = {}): Promise<Tuning> {
  if (!engine.timestamps) throw new BackendError("Cannot tune: the device has no timestamp-query");
  const { report = () => {}, seconds = Infinity, variants } = options, end = performance.now() + seconds * 1e3;
  const choices: Choice[] = [];
  for (const work of works) {
    const best = new Map<string, Measured>(), name = nameOf(work), dtype = work.dtype ?? "f32";
    const consider = (measured: Measured) => {
      report(measured);
      const before = best.get(measured.kernel);
      if (measured.difference <= DIFFERENCE[dtype] && (!before || measured.ms < before.ms)) best.set(measured.kernel, measured);
    };
    const attempt = async (run: () => Promise<void>) => {
      if (performance.now() > end) return;
      try {
        await run();
      } catch (error) {
        if (!(error instanceof LongstrideError) || error instanceof BackendError) throw error;
        report({ work: name, failure: error.message.slice(0, 300) });
      }
    };
    /** Tries one variant in every kernel of `kernels`, whose times come out apart. */
    const tryVariant = async (bench: Bench, problems: ReadonlyMap<string, Problem>, variant: Choice["variant"]) => {
      const given = [...problems].map(([kernel, problem]): Choice => ({ kernel, variant, ms: 0, ...problem }));
      const { times, difference, compile } = await bench.measure(given);
      for (const choice of given) consider({ ...choice, work: name, ms: sumOf(times, choice.kernel), difference, compile });
    };
    if (isAttention(work)) {
      const prepared = prepareAttention(work), problem = attentionProblem(prepared.forward), { d, dv = d } = work;
      const bench = new Bench(engine, work, prepared, prepared.ops);
      bench.allocate();
      await bench.measure([]);
      for (const variant of variants?.attention ?? ATTENTION_VARIANTS) {
        const fitting = ATTENTION_KERNELS.filter((kernel) =>
          attentionFits(engine.limits, kernel, variant, Math.ceil(d / 4), Math.ceil(dv / 4))
        );
        const problems = (kernels: AttentionKernel[]) => new Map(kernels.map((kernel) => [kernel, problem]));
        const apart = fitting.filter((kernel) => kernel !== "attention_backward_dkv"), values = { ...variant };
        if (apart.length) await attempt(() => tryVariant(bench, problems(apart), values));
        if (fitting.length > apart.length) await attempt(() => tryVariant(bench, problems(["attention_backward_dkv"]), values));
      }
      bench.free();
      const ms = (kernel: AttentionKernel) => best.get(kernel)?.ms ?? Infinity;
      if (ms("attention_backward_dkv") >= ms("attention_backward_dk") + ms("attention_backward_dv")) best.delete("attention_backward_dkv");
    } else {
      const prepared = prepareLinear(work), { rows, in: inner, out } = work, packed = dtype === "f16";
      const bench = new Bench(engine, work, prepared, prepared.ops);
      bench.allocate();
      await bench.measure([]);
      for (const variant of variants?.linear ?? LINEAR_VARIANTS) {
        const problems: Record<LinearKernel, Problem> = {
          linear: linearProblem(rows, inner, out, packed),
          linear_input_grad: linearProblem(rows, out, inner, packed),
          linear_weight_grad: linearProblem(out, rows, inner, packed),
        };
        const fitting = LINEAR_KERNELS.filter((kernel) => linearFits(engine.limits, kernel, variant));
        const map = new Map(fitting.map((kernel) => [kernel, problems[kernel]]));
        if (fitting.length) await attempt(() => tryVariant(bench, map, { ...variant }));
      }
      bench.free();
    }
    for (const { kernel, kind, sizes, variant, ms } of best.values()) choices.push({ kernel, kind, sizes, variant, ms });
  }
  return { version: 1, device: engine.description, choices };
}
