/**
 * Programs: flat lists of operations, and what an engine asks of them.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { ConfigError, excerpt, ShapeError } from "../base/errors.ts";
import { fail } from "./check.ts";
import { DESCRIPTORS, type Op } from "./index.gen.ts";
import { type Descriptor, pick } from "./operation.ts";
import type { DType, Tensor } from "./tensor.ts";

/** The tensors that an operation reads and writes. */
export function operands(op: Op): { reads: Tensor[]; writes: Tensor[] } {
  const { reads, writes } = DESCRIPTORS[op.op];
  return { reads: pick(op, reads), writes: pick(op, writes) };
}

/** The tensors of an operation that hold activations or their gradients: all f32, or all f16. */
export function activations(op: Op): Tensor[] {
  return pick(op, DESCRIPTORS[op.op].activations);
}

function checkTypes(op: Op): void {
  const held = activations(op), weights = pick(op, DESCRIPTORS[op.op].weights ?? []), { reads, writes } = operands(op);
  if (held.some((t) => t.dtype !== held[0].dtype)) fail(op, "needs all its activations f32 or all f16", ...held);
  for (const t of [...reads, ...writes]) {
    if (t.dtype === "f16" && !held.includes(t)) fail(op, "stores only activations and their gradients in f16", t);
    if (t.dtype === "i8" && !weights.includes(t)) fail(op, "takes i8 as weights alone, and none that are trained", t);
  }
}

/** A flat list of operations, in order, checked as it grows. */
export class Program {
  /** The operations so far. */
  readonly ops: Op[] = [];

  /** An empty list. */
  constructor(
    /** For messages and profiles. */
    readonly name: string,
  ) {}

  /** A tensor that lives within one run of this program. */
  scratch(name: string, shape: readonly number[], dtype: DType = "f32"): Tensor {
    return { name, shape, dtype, scratch: true };
  }

  /**
   * Appends one operation.
   *
   * @throws {ConfigError} where there is no such operation
   * @throws {ShapeError} where operand shapes or types do not fit each other, naming operation and tensors
   */
  add(op: Op): void {
    expect("Cannot add an operation", { op: [op, "an object"] });
    if (!Object.hasOwn(DESCRIPTORS, op.op)) throw new ConfigError(`Cannot add an operation: there is none named ${excerpt(String(op.op))}`);
    checkTypes(op);
    // Each descriptor checks operations of its own name.
    (DESCRIPTORS[op.op] as Descriptor<Op>).check(op);
    this.ops.push(op);
  }
}

/** First and last operation that touches each scratch tensor: [first, last] indices into `program.ops`. */
export function lifetimes(program: Program): Map<Tensor, [number, number]> {
  const lives = new Map<Tensor, [number, number]>();
  program.ops.forEach((op, at) => {
    const { reads, writes } = operands(op);
    for (const t of reads) {
      if (t.scratch && !lives.has(t)) {
        throw new ShapeError(`Cannot plan ${program.name}: ${op.op} reads scratch tensor ${t.name} before any operation wrote it`);
      }
    }
    for (const t of [...reads, ...writes]) {
      if (!t.scratch) continue;
      const life = lives.get(t);
      if (life) life[1] = at;
      else lives.set(t, [at, at]);
    }
  });
  return lives;
}
