/**
 * What one run of a program does on the device: a flat list of dispatches over tensors, before any of it exists there.
 *
 * @module
 */

import { KernelError } from "../../../base/errors.ts";
import {
  activations,
  type Attention,
  type AttentionBackward,
  type Dropout,
  type Linear,
  type Op,
  size,
  type Tensor,
} from "../../../ops/mod.ts";
import { type Band, bandRows, type Bands, rowsTensor } from "../bands.ts";
import type { Limits } from "../device.ts";
import type { MatrixUnits } from "../matrices.ts";
import type { Constants, Kernel, Kernels } from "../shader/kernels.gen.ts";
import type { Values } from "../shader/specialise.ts";
import { ALIGNMENT, bindable, elementBytes, isPacked, rowsOf } from "../storage.ts";
import type { Tuning } from "../tuning/tuning.ts";

/** A tensor, or from its first element on so many bytes: neighbouring tensors of one page bound as one. */
export type Operand = Tensor | { readonly tensor: Tensor; readonly bytes: number };

/** A kernel's storage bindings by name; one that only some variants use may be left out of the others. */
export type Bindings<K extends Kernel> = { readonly [B in keyof Kernels[K]["bindings"]]: Operand };

/** A kernel's uniforms by name. */
export type Uniforms<K extends Kernel> = { readonly [U in keyof Kernels[K]["uniforms"]]: number };

/** What `T` has beyond `Known` must not be there, also where it comes by a spread. */
type Only<T, Known> = T & { readonly [Name in Exclude<keyof T, keyof Known>]: never };

/** One dispatch of a kernel: the compiler knows its names. */
export interface DispatchOf<K extends Kernel, C = Constants<K>, B = Bindings<K>, U = Uniforms<K>> {
  /** File of wgsl/, without its ending. */
  readonly kernel: K;
  readonly values: Only<C, Constants<K>>;
  readonly bindings: Only<B, Bindings<K>>;
  readonly params: Only<U, Uniforms<K>>;
  /** Workgroups. */
  readonly grid: readonly [number, number, number];
}

/** One dispatch of any kernel. */
export interface Dispatch {
  readonly kernel: Kernel;
  readonly values: Values;
  readonly bindings: Readonly<Record<string, Operand | undefined>>;
  readonly params: Readonly<Record<string, number>>;
  readonly grid: readonly [number, number, number];
}

/** Workgroups that a large GPU runs at a time: with fewer some of it has nothing to do. */
export const PLACES = 256;

/** Invocations of a workgroup of kernels that have no other number of them. */
export const THREADS = 256;

/** Which tile variants to prefer: `auto` by the size of the problem. The others are for tests and tuning. */
export type TilePreference = "auto" | "largest" | "smallest";

/** Where a persistent tensor lives. */
export interface Place {
  readonly buffer: GPUBuffer;
  readonly offset: number;
}

/** What products and heads of widths that are no multiples of four take, tensors of f16, and those that no binding holds; other models never load it. */
export interface Rare {
  /** A product with a copy of its int8 weights in f32. */
  inF32(plan: Plan, op: Linear): Promise<Linear>;
  /** Plans an operation with `next` on f32 copies of its packed tensors. */
  planCopies<O extends Op>(plan: Plan, op: O, next: Planner<O>): Promise<void>;
  /** Plans one of any widths. */
  planAnyLinear(plan: Plan, op: Linear): void;
  /** Plans attention over heads of any widths. */
  planPadded(plan: Plan, op: Attention): Promise<void>;
  /** Plans a product by groups of its columns. */
  splitLinear(plan: Plan, op: Linear, next: Planner<Linear>): Promise<void>;
  /** Plans attention by sequences, heads or rows. */
  splitAttention<O extends Attention | AttentionBackward>(plan: Plan, op: O, next: Planner<O>): Promise<void>;
}

/** What planning needs to know about the device. */
export interface PlanContext {
  readonly limits: Limits;
  /** Tensors that no binding holds whole. */
  readonly bands: Bands;
  readonly tiles: TilePreference;
  /** Whether attention goes through sets in the rows' order, where there is room for it, or by their parts; the cheaper where absent. */
  readonly inOrder?: boolean;
  /** Bytes that a kernel may keep for a later one, which would otherwise compute them again. */
  readonly keep: number;
  /** What was measured on this device. */
  readonly tuning?: Tuning;
  /** What multiplies matrices of f16, where something does. */
  readonly matrices?: MatrixUnits;
  /** Place of a persistent tensor; undefined for a scratch tensor. */
  place(t: Tensor): Place | undefined;
  /** Loads what is seldom needed. */
  late(): Promise<Rare>;
}

// An operation's time is from its number to a little less than the next, so that what two operations use lies apart.
const LAST = 0.999;

/** The time of operations from one number to another. */
export const timeOf = (first: number, last: number): readonly [number, number] => [first, last + LAST];

/** A plan in the making: each operation's planner appends to it. */
export class Plan {
  /** Dispatches in order, each with the number of its operation. */
  readonly dispatches: (Dispatch & { op: number })[] = [];
  /** Scratch tensors of the planners' own, with the time they are used in: an operation's is from its number to less than the next. */
  readonly temporaries = new Map<Tensor, readonly [number, number]>();
  /** Tensors that are part of others, with the bytes before them there. */
  readonly views = new Map<Tensor, { readonly of: Tensor; readonly at: number }>();
  /** Tensors whose content is known when planning. */
  readonly constants = new Map<Tensor, Uint32Array>();
  #op = 0;
  #time: readonly [number, number] = [0, LAST];
  readonly #made = new Map<string, Promise<unknown>>();
  /** Whether some kernel keeps anything: with `keep` 0 the plan would need less memory. */
  keeps = false;

  constructor(readonly context: PlanContext) {}

  /** Begins with an operation. */
  begin(op: number): void {
    this.#op = op;
    this.#time = [op, op + LAST];
  }

  /** Plans one of `of` pieces of the operation. Scratch tensors that it makes are its own, so pieces share memory. */
  async step(at: number, of: number, make: () => Promise<void>): Promise<void> {
    const before = this.#time, [first, last] = before, each = (last - first) / of;
    this.#time = [first + at * each, first + (at + LAST) * each];
    try {
      await make();
    } finally {
      this.#time = before;
    }
  }

  /**
   * Appends a dispatch.
   *
   * @throws {KernelError} where the device does not allow as many workgroups
   */
  dispatch<K extends Kernel, C extends Constants<K>, B extends Bindings<K>, U extends Uniforms<K>>(given: DispatchOf<K, C, B, U>): void {
    const dispatch = given as unknown as Dispatch;
    const most = this.context.limits.maxComputeWorkgroupsPerDimension;
    if (dispatch.grid.some((count) => count > most)) {
      throw new KernelError(
        `Cannot dispatch kernel ${dispatch.kernel}: it needs ${
          dispatch.grid.join(" × ")
        } workgroups, the device allows ${most} a dimension; ` +
          `use a shorter context or a smaller batch`,
      );
    }
    if (dispatch.grid.some((count) => count === 0)) return;
    // Weights that have scales are int8.
    const values = dispatch.bindings.scale ? { ...dispatch.values, WEIGHTS: "i8" as const } : dispatch.values;
    this.dispatches.push({ ...dispatch, values, op: this.#op });
  }

  /** A scratch tensor of this operation alone. */
  temporary(name: string, ...shape: readonly number[]): Tensor {
    return this.temporaryOf({ name, shape, dtype: "f32", scratch: true });
  }

  /** The same for a scratch tensor of any kind. */
  temporaryOf(t: Tensor): Tensor {
    this.temporaries.set(t, this.#time);
    return t;
  }

  /** Some bytes of a tensor, as a tensor. */
  view(of: Tensor, at: number, t: Tensor): Tensor {
    this.views.set(t, { of, at });
    return t;
  }

  /** What bindings hold of a tensor: its bands, or all of it. */
  blocks(t: Tensor): readonly Band[] {
    return this.context.bands.of(t) ?? [{ tensor: t, first: 0, rows: rowsOf(t).rows }];
  }

  /** Rows of tensors that have as many, cut so that each piece lies in one band of each, in f32 too. */
  pieces(tensors: readonly Tensor[]): { first: number; rows: number }[] {
    if (tensors.length === 0) return [];
    const { limits } = this.context, { rows } = rowsOf(tensors[0]);
    const large = tensors.filter((t) => size(t) * 4 > bindable(limits));
    const most = Math.min(rows, ...large.map((t) => bandRows(t, rowsOf(t).width * 4, limits)));
    return Array.from({ length: Math.ceil(rows / most) }, (_, at) => ({ first: at * most, rows: Math.min(most, rows - at * most) }));
  }

  /** Some rows of a tensor: those of a piece. */
  rows(t: Tensor, first: number, rows: number): Tensor {
    const within = this.blocks(t).find((band) => band.first <= first && first + rows <= band.first + band.rows);
    const at = within ? (first - within.first) * rowsOf(t).width * elementBytes(t) : NaN;
    if (!within || at % ALIGNMENT !== 0) throw new KernelError(`Cannot bind rows ${first} to ${first + rows} of ${t.name}`);
    if (within.first === first && within.rows === rows) return within.tensor;
    return this.view(within.tensor, at, rowsTensor(t, rows));
  }

  /** A tensor that holds `data`. */
  constant(name: string, data: Uint32Array): Tensor {
    const t: Tensor = { name, shape: [data.length], dtype: "u32", scratch: true };
    this.constants.set(t, data);
    return t;
  }

  /** What `make` made the first time it was asked for under that key. */
  once<T>(key: string, make: () => Promise<T>): Promise<T> {
    let made = this.#made.get(key);
    if (!made) this.#made.set(key, made = make());
    return made as Promise<T>;
  }

  /** Workgroups for so many elements at so many per workgroup, folded into two dimensions where one is too short. */
  linear(elements: number, each = THREADS): [number, number, number] {
    const groups = Math.ceil(elements / each), most = this.context.limits.maxComputeWorkgroupsPerDimension;
    const x = Math.min(groups, most);
    return [x, Math.ceil(groups / x), 1];
  }
}

/** What attention over some heads of a whole has beside its fields. */
export interface PartialAttention {
  /** Whether dk and dv go on from what is there, of the heads before that read the same keys. */
  readonly adds?: boolean;
}

/** A dropout over some columns of a whole. */
export interface PartialDropout extends Dropout {
  /** Columns of the whole, where they are not all. */
  readonly width?: number;
}

/** Uniforms of a dropout. */
export function dropoutParams(dropout?: PartialDropout) {
  if (!dropout) return { site: 0, micro: 0, threshold: 0, keep: 1, first: 0 };
  const { p, site, micro, first = 0 } = dropout;
  return { site, micro, threshold: Math.floor(p * 2 ** 24), keep: 1 / (1 - p), first };
}

/** Plans operations of one kind. */
export type Planner<O extends Op> = (plan: Plan, op: O) => void | Promise<void>;

/** Plans an operation with `next` on f32 copies of its packed tensors: for what has no kernel in f16. */
export async function planInF32<O extends Op>(plan: Plan, op: O, next: Planner<O>): Promise<void> {
  if (activations(op).some(isPacked)) await (await plan.context.late()).planCopies(plan, op, next);
  else await next(plan, op);
}
