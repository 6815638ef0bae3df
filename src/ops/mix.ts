/**
 * Branches of an attention, mixed by gates.
 *
 * @module
 */

import { fail, matrix } from "./check.ts";
import type { Descriptor } from "./operation.ts";
import type { Tensor } from "./tensor.ts";

/** y = Σₚ σ(gates[row, p · heads + h]) · parts[p], by head. */
export interface Mix {
  /** Which operation. */
  readonly op: "mix";
  /** [rows, parts · heads] */
  readonly gates: Tensor;
  /** Each [rows, heads · d] */
  readonly parts: readonly Tensor[];
  /** [rows, heads · d] */
  readonly y: Tensor;
  /** Heads. */
  readonly heads: number;
}

/** The gradients of {@linkcode Mix}. */
export interface MixBackward {
  /** Which operation. */
  readonly op: "mix_backward";
  /** [rows, parts · heads] */
  readonly gates: Tensor;
  /** Each [rows, heads · d] */
  readonly parts: readonly Tensor[];
  /** [rows, heads · d] */
  readonly dy: Tensor;
  /** as gates */
  readonly dGates: Tensor;
  /** as parts */
  readonly dParts: readonly Tensor[];
  /** Heads. */
  readonly heads: number;
}

/** y += x. */
export interface Add {
  /** Which operation. */
  readonly op: "add";
  /** [rows, width] */
  readonly x: Tensor;
  /** as x, updated */
  readonly y: Tensor;
}

function checkMix(op: Mix | MixBackward, y: Tensor, ...more: readonly Tensor[]): void {
  const [rows, width] = y.shape;
  if (width % op.heads) fail(op, `needs a width divisible by ${op.heads} heads`, y);
  for (const t of [y, ...op.parts, ...more]) matrix(op, t, rows, width);
  matrix(op, op.gates, rows, op.parts.length * op.heads);
}

/** What {@linkcode Mix} says of itself. */
export const mix: Descriptor<Mix> = {
  reads: ["gates", "parts"],
  writes: ["y"],
  activations: ["gates", "parts", "y"],
  late: true,
  apart: true,
  check: (op) => checkMix(op, op.y),
};

/** What {@linkcode MixBackward} says of itself. */
export const mixBackward: Descriptor<MixBackward> = {
  reads: ["gates", "parts", "dy"],
  writes: ["dGates", "dParts"],
  activations: ["gates", "parts", "dy", "dGates", "dParts"],
  late: true,
  apart: true,
  check(op) {
    checkMix(op, op.dy, ...op.dParts);
    matrix(op, op.dGates, op.gates.shape[0], op.gates.shape[1]);
  },
};

/** What {@linkcode Add} says of itself. */
export const add: Descriptor<Add> = {
  reads: ["x", "y"],
  writes: ["y"],
  activations: ["x", "y"],
  late: true,
  apart: true,
  check: (op) => matrix(op, op.x, op.y.shape[0], op.y.shape[1]),
};
