/**
 * What of a stream of tokens is held out.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { DataError } from "../base/errors.ts";
import { LARGEST } from "../pattern/sets.ts";

/** Held-out bytes are at most this many, if a context is not longer: loss over 200 kB is exact to about 0.01 bits/byte. */
const HELD_OUT_LIMIT = 200_000;

/**
 * Splits off the end of the data for evaluation: `heldOut` bytes, or a twentieth of the data but at most 200,000, and
 * in either case at least one context.
 *
 * @param nCtx positions of a context; both parts have at least that many
 * @param name of the data, for messages
 * @throws {DataError} where the data is empty or too short
 * @throws {ConfigError} where `heldOut` leaves no context on one of the sides
 */
export function splitHeldOut(bytes: Uint8Array, nCtx: number, name: string, heldOut?: number): { train: Uint8Array; heldOut: Uint8Array } {
  expect("Cannot split the data", { bytes: [bytes, "an array of bytes"], nCtx: [nCtx, [1, LARGEST]] });
  const border = bytes.length - heldOutOf(bytes.length, nCtx, name, heldOut);
  return { train: bytes.subarray(0, border), heldOut: bytes.subarray(border) };
}

/** How many of so many bytes {@linkcode splitHeldOut} holds out. */
export function heldOutOf(length: number, nCtx: number, name: string, heldOut?: number): number {
  if (length < 2 * nCtx) {
    const found = length === 0 ? "is empty" : `has ${length} bytes`;
    throw new DataError(
      `Cannot train on ${name}: it ${found}, it must have at least ${2 * nCtx}: one context of n_ctx = ${nCtx} to train on and one ` +
        `held out; give more data or a smaller n_ctx`,
    );
  }
  const most = length - nCtx;
  if (heldOut !== undefined) expect(`Cannot hold out part of ${name}`, { "its bytes": [heldOut, [nCtx, most]] });
  return heldOut ?? Math.max(nCtx, Math.min(HELD_OUT_LIMIT, Math.floor(length / 20)));
}
