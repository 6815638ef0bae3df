/**
 * What lowering is: an operation becomes calls of kernels, their arguments by name. The kernels are in `asm/`, one file per operation.
 *
 * @module
 */

import type { Op } from "../../../ops/mod.ts";
import { type Kernels, PARAMETERS, WORKSPACES } from "../kernels.gen.ts";
import type { Layouts } from "../layouts.ts";
import type { Call } from "../plan.ts";

/** What lowering needs to know besides the operation. */
export interface LowerContext {
  /** Threads that share the work: more of them, smaller blocks. Never changes a result. */
  readonly threads: number;
  /** Layouts of sets. */
  readonly layouts: Pick<Layouts, "of">;
}

/** The calls of an operation of one kind, in order. */
export type Lowering<O extends Op> = (op: O, context: LowerContext) => Call[] | Promise<Call[]>;

/** Element-wise work is dealt out in pieces of about this many elements, 5 to 20 µs each. */
export const PIECE = 16384;

/** Of a float, or a word. */
export const BYTES = 4;

/** `x` rounded up to a multiple of `to`. */
export const up = (x: number, to: number): number => Math.ceil(x / to) * to;

/** The work of a call. */
export interface Work<K extends keyof Kernels> {
  readonly units: number;
  /** Units that a thread takes at once, of which it takes at least 1; default 1. */
  readonly grain?: number;
  readonly args: Kernels[K];
}

/** A call of a kernel, its arguments put in order. */
export function call<K extends keyof Kernels>(kernel: K, { units, grain = 1, args }: Work<K>): Call {
  return {
    kernel,
    units,
    grain: Math.max(1, Math.floor(grain)),
    args: PARAMETERS[kernel].map((name) => args[name] as Call["args"][number]),
    workspace: (WORKSPACES[kernel]?.(args) ?? 0) * BYTES,
  };
}
