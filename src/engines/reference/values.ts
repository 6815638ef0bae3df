/**
 * What oracles compute on.
 *
 * @module
 */

import type { Op, Tensor } from "../../ops/mod.ts";

/** Where an operation finds a tensor's numbers. Integers are kept as float64 too: u32 fits. */
export type Values = (t: Tensor) => Float64Array;

/** Computes operations of one kind, from the formula. */
export type Oracle<O extends Op> = (op: O, values: Values) => void;
