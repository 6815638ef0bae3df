/**
 * Measures kernel variants on a device. What it answers is data, to be kept and given to the engine.
 *
 * @module
 */

import { expect } from "../../../base/check.ts";
import { BackendError, LongstrideError, OutOfMemoryError } from "../../../base/errors.ts";
import { Random } from "../../../base/random.ts";
import {
  type Attention,
  type AttentionBackward,
  type DType,
  headsOf,
  keyPositions,
  type Op,
  Program,
  size,
  type Tensor,
  tensor,
} from "../../../ops/mod.ts";
import type { AttentionSet } from "../../../pattern/sets.ts";
import { workshops } from "../compile.ts";
import type { WebGpuEngine } from "../engine.ts";
import { mayGoInOrder, orderCost } from "../plan/attention_tables.ts";
import { loadLate } from "../plan/index.gen.ts";
import { isTiled } from "../plan/linear.ts";
import { recordings } from "../recording.ts";
import type { Values } from "../shader/specialise.ts";
import type { DispatchTime } from "./profile.ts";
import { attentionFits, linearFits } from "./select.ts";
import { settledProfile } from "./settle.ts";
import { attentionProblem, linearProblem, type Problem } from "./problems.ts";
import { type TunedVariant, type Tuning, TUNING_VERSION } from "./tuning.ts";
import {
  ATTENTION_KERNELS,
  type AttentionKernel,
  type AttentionVariant,
  LINEAR_KERNELS,
  type LinearKernel,
  type LinearVariant,
} from "./variants.ts";
import type { MatrixUnits } from "../matrices.ts";
import { ATTENTION_VARIANTS, LINEAR_VARIANTS, matrixTrials } from "./trials.ts";

/** Attention to tune for: all kernels of the forward and backward pass. */
export interface AttentionWork {
  /** One set a head. */
  readonly sets: readonly AttentionSet[];
  /** Positions. */
  readonly n: number;
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

/** One kernel measured with a variant. */
export interface TriedVariant extends TunedVariant {
  /** Relative difference from what the default variant computed. */
  readonly difference: number;
}

/** What came of trying one variant, or the rule by which variants are chosen without tuning, on one work. */
export interface Trial {
  /** For people. */
  readonly work: string;
  /** Number of this trial from 1, and of all. */
  readonly at: number;
  /** Of how many. */
  readonly of: number;
  /** The variant; absent where the engine chose by its rule. */
  readonly variant?: TunedVariant["variant"];
  /** What was measured, kernel by kernel; none where the variant did not run. */
  readonly measured: readonly TriedVariant[];
  /** Milliseconds that making its pipelines took, all kernels together. */
  readonly compile: number;
  /** Why some of it did not run. */
  readonly failures: readonly string[];
}

/** How to tune. */
export interface TuneOptions {
  /** Called after each variant. */
  readonly report?: (trial: Trial) => void;
  /**
   * Stop measuring after so many seconds, two trials at least where it is not 0, and of a work begun all variants that the engine takes by
   * itself; what was found by then is the answer.
   */
  readonly seconds?: number;
  /** Variants to try instead of all. */
  readonly variants?: { readonly attention?: readonly TunedVariant["variant"][]; readonly linear?: readonly TunedVariant["variant"][] };
}

// GPU milliseconds that the repetitions of one measurement should take together, and how many there are.
const BUDGET = 60, LEAST = 3, MOST = 20;

// Results may differ by the order of sums.
const DIFFERENCE = { f32: 2e-5, f16: 5e-3, u32: 0, i8: 0 };

const isAttention = (work: TuneWork): work is AttentionWork => "sets" in work;

/** A set in a few words, as `fixed 128/32`, and of more than two factors with the larger strides, as `strided 40, 1625`. */
function nameOfSet(set: AttentionSet): string {
  const { kind, more, larger, within } = set as AttentionSet & { more?: number[]; larger?: number[]; within?: number };
  const width = "from" in set ? `${set.l}/${set.to - set.from}` : "l" in set ? set.l : "block" in set ? set.block : "";
  const beside = [more ?? larger ?? within ?? []].flat().map((stride) => `, ${stride}`).join("");
  return `${kind}${width === "" ? "" : ` ${width}${beside}`}${set.causal ? "" : " bidirectional"}`;
}

/** A work in a few words. */
export function nameOfWork(work: TuneWork): string {
  expect("Cannot name the work", { work: [work, "an object"] });
  const dtype = work.dtype ?? "f32";
  if (!isAttention(work)) return `linear ${work.rows}×${work.in}→${work.out} ${dtype}`;
  const { sets, n, batch = 1, d, dv = d } = work, kinds = [...new Set(sets.map(nameOfSet))].join(" + ");
  return `${kinds}, n ${n}${batch > 1 ? ` ×${batch}` : ""}, ${sets.length} heads of ${d}${dv === d ? "" : `/${dv}`} ${dtype}`;
}

/** What a program asks of the kernels that have variants: each kind and size of attention and of matrix product once. */
export function worksOf(program: Program): TuneWork[] {
  expect("Cannot list the works", { program: [program, "an object"], operations: [program?.ops, "a list"] });
  const works = new Map<string, TuneWork>(), packed = (t: Tensor) => t.dtype === "f16";
  for (const op of program.ops) {
    if (op.op === "attention") {
      const { sets, n, batch, q } = op, { d, dv } = headsOf(op), { kind, sizes } = attentionProblem(op);
      works.set(`${kind} ${sizes}`, { sets, n, batch, d, dv, dtype: q.dtype });
    } else if (op.op === "linear" && isTiled(op.w)) {
      const [rows, inner] = op.x.shape, [out] = op.w.shape, { kind, sizes } = linearProblem(rows, inner, out, packed(op.x));
      works.set(`linear ${kind} ${sizes}`, { rows, in: inner, out, dtype: op.x.dtype });
    }
  }
  return [...works.values()];
}

interface Prepared {
  readonly ops: readonly Op[];
  readonly tensors: readonly Tensor[];
  readonly inputs: ReadonlySet<Tensor>;
  readonly outputs: readonly Tensor[];
}

function prepareAttention(work: AttentionWork): Prepared & { forward: Attention; backward: AttentionBackward } {
  const { sets, n, d, dv = d, batch = 1, dtype = "f32" } = work, heads = sets.length;
  const keys = keyPositions(work), make = (name: string, width: number, rows = n) => tensor(name, [batch * rows, heads * width], dtype);
  const q = make("q", d), k = make("k", d, keys), v = make("v", dv, keys), o = make("o", dv), dO = make("dO", dv);
  const dq = make("dq", d), dk = make("dk", d, keys), dvOut = make("dv", dv, keys);
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

/** The kernel that choices speak of, which is one name for that by vectors and that by matrices. */
const choiceOf = (kernel: string): string => kernel.replace(/_matrices$/, "");

/** Milliseconds of kernels, with the joins of their partial results, which follow them. */
function sumOf(times: readonly DispatchTime[], kernels: readonly string[]): number {
  let sum = 0, last = "";
  for (const time of times) {
    if (time.kernel !== "attention_join") last = choiceOf(time.kernel);
    if (kernels.includes(last)) sum += time.ms;
  }
  return sum;
}

/** What makes dq from what the kernel of dk and dv has kept. Its time counts as that one's. */
const KEPT = "attention_backward_dq_kept";

/**
 * The best of each kernel: dk and dv by one where that is faster, and with dq from what it keeps where that is faster than with dq by
 * itself.
 *
 * @param fastest by kernel; what was measured with KEEP, dq's time included, under the name of the kernel that then makes dq
 */
export function bestOf(fastest: ReadonlyMap<string, TriedVariant>): TriedVariant[] {
  const best = new Map(fastest), ms = (kernel: string) => best.get(kernel)?.ms ?? Infinity;
  const [dq, dk, dv, dkv] = ["dq", "dk", "dv", "dkv"].map((kernel) => `attention_backward_${kernel}`);
  if (ms(dkv) >= ms(dk) + ms(dv)) best.delete(dkv);
  if (ms(KEPT) < Math.min(ms(dkv), ms(dk) + ms(dv)) + ms(dq)) best.set(dkv, best.get(KEPT)!);
  best.delete(KEPT);
  return [...best.values()];
}

/** One work on one engine. */
class Bench {
  readonly program: Program;
  #want: ArrayLike<number>[] | undefined;

  constructor(readonly engine: WebGpuEngine, readonly work: TuneWork, readonly prepared: Prepared, ops: readonly Op[]) {
    this.program = new Program(nameOfWork(work));
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
  async measure(choices: readonly TunedVariant[]): Promise<{ times: DispatchTime[]; difference: number; compile: number; used: Values[] }> {
    const tuning: Tuning = { version: TUNING_VERSION, device: this.engine.description, choices }, began = performance.now();
    const executable = await this.engine.compile(this.program, { tuning }), compile = performance.now() - began;
    try {
      const { bound } = recordings.get(executable)!, isKept = bound.some(({ dispatch }) => dispatch.kernel === KEPT);
      if (!isKept && choices.some(({ variant }) => variant.KEEP)) {
        throw new OutOfMemoryError(`Cannot keep ds of ${nameOfWork(this.work)}: there is no room for it`);
      }
      // What one variant does not write must not be what another has left.
      for (const t of this.prepared.outputs) this.engine.write(t, new Float32Array(size(t)));
      const times = await settledProfile(executable, BUDGET, LEAST, MOST);
      const got: ArrayLike<number>[] = [];
      for (const t of this.prepared.outputs) got.push(await this.engine.read(t));
      const want = this.#want ??= got;
      const used = bound.map(({ dispatch }) => dispatch.values);
      return { times, compile, used, difference: Math.max(...got.map((some, i) => distance(some, want[i], Math.ceil(some.length / 1e6)))) };
    } finally {
      executable.dispose();
    }
  }
}

/** Work in the rows' order, in that by parts, up to which it is tried. */
const WORTH = 4;

/** Whether to try a work in the rows' order. */
async function isOrderOpen(engine: WebGpuEngine, work: TuneWork): Promise<boolean> {
  if (!isAttention(work) || !mayGoInOrder(engine.limits, work.sets, work.n)) return false;
  const tiles = async (bits: boolean) => (await orderCost(work.sets, work.n, 1, { owner: "query", owned: 64, streamed: 64, bits }))[0];
  return await tiles(true) <= WORTH * await tiles(false);
}

/** Kernels of a work that a variant fits, in passes: those of one pass are measured together. */
function passesOf(
  engine: WebGpuEngine,
  work: TuneWork,
  { ops: [op] }: Prepared,
  variant: TunedVariant["variant"],
  units: MatrixUnits | undefined,
): string[][] {
  if (!isAttention(work)) {
    return linearFits(engine.limits, variant as unknown as LinearVariant) ? [[...LINEAR_KERNELS]] : [];
  }
  const { d, dv = d } = work, one = variant as unknown as AttentionVariant;
  if (variant.MATRIX) return [ATTENTION_KERNELS.filter((kernel) => units?.attention(kernel, op as Attention, engine.limits, [one]).length)];
  const fitting = ATTENTION_KERNELS.filter((kernel) => attentionFits(engine.limits, kernel, one, Math.ceil(d / 4), Math.ceil(dv / 4)));
  // One kernel for dk and dv stands in for the two.
  const fused = (kernel: AttentionKernel) => kernel === "attention_backward_dkv";
  return variant.KEEP ? [fitting.filter(fused)] : [fitting.filter((kernel) => !fused(kernel)), fitting.filter(fused)];
}

/** What tuning calls the problem of each kernel of a work. */
function problemsOf(work: TuneWork, prepared: Prepared): (kernel: string) => Problem {
  if (isAttention(work)) {
    const problem = attentionProblem(prepared.ops[0] as Attention);
    return () => problem;
  }
  const { rows, in: inner, out } = work, packed = work.dtype === "f16";
  const problems: Record<LinearKernel, Problem> = {
    linear: linearProblem(rows, inner, out, packed),
    linear_input_grad: linearProblem(rows, out, inner, packed),
    linear_weight_grad: linearProblem(out, rows, inner, packed),
  };
  return (kernel) => problems[kernel as LinearKernel];
}

/** Whether the engine's own choice has the tiles of a variant, in either order, kept or not. */
function isOwn(variant: TunedVariant["variant"], used: readonly Values[]): boolean {
  const all = Object.entries({ ...variant, BITS: 0, KEEP: 0 }).filter(([, value]) => value > 0),
    is = (values: Values) => all.every(([name, value]) => (values[name] ?? value) === value);
  return used.some((values) => "TX" in values && is(values));
}

/** Trials that are made however little time there is: the engine's own choice and one other, since less than that is no measurement. */
const ALWAYS = 2;

/**
 * Measures the variants of every kernel that some work uses, and answers with the best of each.
 *
 * A variant that does not compile, does not fit or computes something else is passed over and reported.
 *
 * @throws {BackendError} where the device has no timestamps, or is lost
 */
export async function tune(engine: WebGpuEngine, works: readonly TuneWork[], options: TuneOptions = {}): Promise<Tuning> {
  expect("Cannot tune", { engine: [engine, "an engine"], works: [works, "a list"], options: [options, "an object"] });
  if (!engine.timestamps) throw new BackendError("Cannot tune: the device has no timestamp-query");
  const { report = () => {}, seconds = Infinity } = options, end = performance.now() + seconds * 1e3;
  const copies = (variants: readonly object[]) => variants.map((variant) => ({ ...variant } as TunedVariant["variant"]));
  const { attention = copies(ATTENTION_VARIANTS), linear = copies(LINEAR_VARIANTS) } = options.variants ?? {};
  await loadLate();
  const tried = new Map<TuneWork, TunedVariant["variant"][]>();
  const units = works.some(({ dtype }) => dtype === "f16") ? await workshops.get(engine)!.matrices() : undefined;
  for (const work of works) {
    const open = await isOrderOpen(engine, work), byMatrices = work.dtype === "f16" && !options.variants ? matrixTrials(units) : undefined;
    const all = isAttention(work) ? [...attention, ...byMatrices?.attention ?? []] : [...linear, ...byMatrices?.linear ?? []];
    tried.set(work, copies(all).filter(({ BITS }) => open || !BITS));
  }
  // The engine's own choice is a trial too.
  const of = works.reduce((sum, work) => sum + 1 + tried.get(work)!.length, 0), choices: TunedVariant[] = [];
  let at = 0;
  for (const work of works) {
    const fastest = new Map<string, TriedVariant>(),
      dtype = work.dtype ?? "f32",
      prepared = isAttention(work) ? prepareAttention(work) : prepareLinear(work);
    const problemOf = problemsOf(work, prepared), bench = new Bench(engine, work, prepared, prepared.ops);
    bench.allocate();
    try {
      const trials: (TunedVariant["variant"] | undefined)[] = [undefined, ...tried.get(work)!];
      // What the engine takes by itself comes first and is tried in any case: no choice is to be slower than that, however little time there is.
      let own: readonly TunedVariant["variant"][] = [];
      for (const variant of trials) {
        at++;
        if (performance.now() > end && (seconds === 0 || at > ALWAYS) && !(variant && own.includes(variant))) continue;
        const measured: TriedVariant[] = [], failures: string[] = [];
        let compiled = 0;
        const kernels = isAttention(work) ? ATTENTION_KERNELS : LINEAR_KERNELS;
        for (const pass of variant ? passesOf(engine, work, prepared, variant, units) : [[...kernels]]) {
          if (pass.length === 0) continue;
          try {
            const given = variant ? pass.map((kernel): TunedVariant => ({ kernel, variant, ms: 0, ...problemOf(kernel) })) : [];
            const { times, difference, compile, used } = await bench.measure(given);
            compiled += compile;
            if (!variant) {
              const others = trials.splice(1) as TunedVariant["variant"][];
              own = others.filter((one) => isOwn(one, used));
              trials.push(...own, ...others.filter((one) => !own.includes(one)));
            }
            for (const kernel of pass) {
              const ms = sumOf(times, kernel === "attention_backward_dkv" ? [kernel, KEPT] : [kernel]);
              if (ms > 0) measured.push({ kernel, variant: variant ?? {}, ms, ...problemOf(kernel), difference });
            }
          } catch (error) {
            if (!(error instanceof LongstrideError) || error instanceof BackendError) throw error;
            failures.push(error.message.slice(0, 300));
          }
        }
        for (const one of variant ? measured : []) {
          const name = one.variant.KEEP ? KEPT : one.kernel, before = fastest.get(name);
          if (one.difference <= DIFFERENCE[dtype] && (!before || one.ms < before.ms)) fastest.set(name, one);
        }
        report({ work: nameOfWork(work), at, of, variant, measured, compile: compiled, failures });
      }
    } finally {
      bench.free();
    }
    for (const { kernel, kind, sizes, variant, ms } of bestOf(fastest)) choices.push({ kernel, kind, sizes, variant, ms });
  }
  return { version: TUNING_VERSION, device: engine.description, choices };
}
