/**
 * Bytes to train on: what is held out, which windows a step sees, and what counting bytes makes of them.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import { Random, STREAM } from "../base/random.ts";

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
  expect("Cannot split the data", { bytes: [bytes, "an array of bytes"], nCtx: [nCtx, [1, 2 ** 24]] });
  if (bytes.length < 2 * nCtx) {
    const found = bytes.length === 0 ? "is empty" : `has ${bytes.length} bytes`;
    throw new DataError(
      `Cannot train on ${name}: it ${found}, it must have at least ${2 * nCtx}: one context of n_ctx = ${nCtx} to train on and one ` +
        `held out; give more data or a smaller n_ctx`,
    );
  }
  const most = bytes.length - nCtx;
  if (heldOut !== undefined && !(Number.isInteger(heldOut) && heldOut >= nCtx && heldOut <= most)) {
    throw new ConfigError(`Cannot hold out part of ${name}: the part must be from ${nCtx} to ${most} bytes, current value is ${heldOut}`);
  }
  const count = heldOut ?? Math.max(nCtx, Math.min(HELD_OUT_LIMIT, Math.floor(bytes.length / 20)));
  return { train: bytes.subarray(0, bytes.length - count), heldOut: bytes.subarray(bytes.length - count) };
}

/** What tokens stand for. */
export type DataKind = "text" | "image" | "audio" | "bytes";

/** All of them. */
export const DATA_KINDS: readonly DataKind[] = ["text", "image", "audio", "bytes"];

/** What the data of a run is and how it was read, to read it again. */
export interface DataSource {
  /** What tokens stand for. */
  readonly kind: DataKind;
  /** File or folder as it was given; none for the default text. */
  readonly path?: string;
  /** Height, width and channels of images. */
  readonly shape?: readonly [number, number, number];
  /** Samples a second of sound. */
  readonly rate?: number;
  /** Which codes of sound raw bytes are. */
  readonly codes?: "mulaw" | "g711";
  /** Whether files were taken as bytes, whatever they are. */
  readonly as?: "bytes";
  /** How much was asked to be held out: images, or tokens of anything else. */
  readonly heldOut?: number;
}

/** Which data a run was trained on, to recognise it again. */
export interface DataIdentity {
  /** For people. */
  readonly name: string;
  /** Length, held-out part included. */
  readonly bytes: number;
  /** SHA-256 of all of it, hexadecimal. */
  readonly sha256: string;
  /** Bytes at the end that were held out. */
  readonly heldOut: number;
  /** Where it came from, if that is known. */
  readonly source?: DataSource;
}

/** Names the data in a way that a resumed run can recognise. */
export async function identify(name: string, bytes: Uint8Array<ArrayBuffer>, heldOut: number): Promise<DataIdentity> {
  expect("Cannot identify the data", {
    name: [name, "a string"],
    bytes: [bytes, "an array of bytes"],
    heldOut: [heldOut, [0, bytes?.length]],
  });
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return { name, bytes: bytes.length, sha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""), heldOut };
}

/**
 * Checks that a resumed run has the data it began with; names and places may differ.
 *
 * @throws {DataError} saying what differs
 */
export function checkSameData(began: DataIdentity, now: DataIdentity): void {
  for (const data of [began, now]) expect("Cannot compare the data", { identity: [data, "an object"] });
  if (began.bytes === now.bytes && began.sha256 === now.sha256 && began.heldOut === now.heldOut) return;
  const shown = ({ name, bytes, heldOut, sha256 }: DataIdentity) =>
    `${name} (${bytes} bytes, ${heldOut} held out, SHA-256 ${sha256.slice(0, 12)}…)`;
  throw new DataError(`Cannot resume on other data: the run began with ${shown(began)}, this is ${shown(now)}; give the same data`);
}

/**
 * Where the sequences of one micro-batch begin: uniform over the data, a function of seed, step, micro-batch and row
 * alone, so that a resumed run needs no state to go on with the same ones.
 *
 * @param step from 0
 * @param micro the micro-batch within the step, below 65,536
 * @param count sequences
 * @param length bytes to draw from
 * @param nCtx positions of a sequence
 * @param unit sequences begin at multiples of it: an image's tokens; 1 where any place may begin one
 * @throws {DataError} where the data is shorter than one sequence
 */
export function batchOffsets(
  seed: number,
  step: number,
  micro: number,
  count: number,
  length: number,
  nCtx: number,
  unit = 1,
): Uint32Array {
  if (length < nCtx) throw new DataError(`Cannot draw a batch: the data has ${length} bytes, one context is n_ctx = ${nCtx}`);
  const random = new Random(seed, STREAM.batches + micro, step);
  return Uint32Array.from({ length: count }, () => random.below(Math.floor((length - nCtx) / unit) + 1) * unit);
}

/** Order-0 entropy in bits a byte: what the best code for single bytes reaches. */
export function entropy0(bytes: Uint8Array): number {
  expect("Cannot measure the entropy", { bytes: [bytes, "an array of bytes"] });
  const counts = new Float64Array(256);
  for (const byte of bytes) counts[byte]++;
  return entropyOf(counts);
}

/** Order-0 entropy, in bits a symbol, of symbols that occur so often. */
export function entropyOf(counts: Float64Array): number {
  expect("Cannot measure the entropy", { counts: [counts, "an array of floats"] });
  const all = counts.reduce((a, b) => a + b, 0);
  let bits = 0;
  for (const count of counts) if (count > 0) bits -= count / all * Math.log2(count / all);
  return bits;
}
