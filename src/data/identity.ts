/**
 * What the data of a run is, to recognise it and to read it again.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { sha256 } from "../base/digest.ts";
import { DataError } from "../base/errors.ts";
import type { TokenRange } from "./token_range.ts";

/** What tokens stand for. */
export type DataKind = "text" | "image" | "audio" | "bytes";

/** All of them. */
export const DATA_KINDS: readonly DataKind[] = ["text", "image", "audio", "bytes"];

/** What the data of a run is and how it was read, to read it again. */
export interface DataSource {
  /** What tokens stand for. */
  readonly kind: DataKind;
  /** File or folder that it was read from, from the command line an absolute path; none for the default text. */
  readonly path?: string;
  /** Height, width and channels of images. */
  readonly shape?: readonly [number, number, number];
  /** Samples per second of sound. */
  readonly rate?: number;
  /** Which codes of sound raw bytes are. */
  readonly codes?: "mulaw" | "g711";
  /** Whether files were taken as bytes, whatever they are. */
  readonly as?: "bytes";
  /** How much was asked to be held out: images, or tokens of anything else. */
  readonly heldOut?: number;
  /** File or folder that what is held out was read from, where that is another. */
  readonly valid?: string;
}

/** Which data a run was trained on, to recognise it again. */
export interface DataIdentity {
  /** For people. */
  readonly name: string;
  /** Length, held-out part included. */
  readonly bytes: number;
  /** SHA-256 of all of it, hexadecimal; where it is `sampled`, of pieces from all over. */
  readonly sha256: string;
  /** Whether pieces of it alone were looked at: it is read by range. */
  readonly sampled?: true;
  /** Bytes at the end that were held out. */
  readonly heldOut: number;
  /** Where it came from, if that is known. */
  readonly source?: DataSource;
}

/** Pieces that data read by range is known by, and bytes of each: 16 MB of it, where all would take minutes before each start. */
const SAMPLED = 256, SAMPLE = 2 ** 16;

/** {@linkcode identify} of data that is read by range: by its length, its first and last bytes, and pieces spread evenly between. */
export async function identifySampled(name: string, tokens: TokenRange, heldOut: number): Promise<DataIdentity> {
  const bytes = tokens.length, pieces = new Uint8Array(SAMPLED * SAMPLE), apart = (bytes - SAMPLE) / (SAMPLED - 1);
  for (let at = 0; at < SAMPLED; at++) {
    const from = Math.max(0, Math.floor(at * apart));
    pieces.set(await tokens.read(from, from + SAMPLE), at * SAMPLE);
  }
  return { name, bytes, sha256: await sha256(pieces), sampled: true, heldOut };
}

/** Names the data in a way that a resumed run can recognise. */
export async function identify(name: string, bytes: Uint8Array<ArrayBuffer>, heldOut: number): Promise<DataIdentity> {
  expect("Cannot identify the data", {
    name: [name, "a string"],
    bytes: [bytes, "an array of bytes"],
    heldOut: [heldOut, [0, bytes?.length]],
  });
  return { name, bytes: bytes.length, sha256: await sha256(bytes), heldOut };
}

/** Whether two are of the same tokens, wherever those are kept and however they are split. */
export function isSameData(a: DataIdentity, b: DataIdentity): boolean {
  for (const data of [a, b]) expect("Cannot compare the data", { identity: [data, "an object"] });
  return a.bytes === b.bytes && a.sha256 === b.sha256 && a.sampled === b.sampled;
}

/**
 * Checks that a resumed run has the data it began with; names and places may differ.
 *
 * @throws {DataError} saying what differs
 */
export function checkSameData(began: DataIdentity, now: DataIdentity): void {
  if (isSameData(began, now) && began.heldOut === now.heldOut) return;
  const shown = ({ name, bytes, heldOut, sha256 }: DataIdentity) =>
    `${name} (${bytes} bytes, ${heldOut} held out, SHA-256 ${sha256.slice(0, 12)}…)`;
  throw new DataError(`Cannot resume on other data: the run began with ${shown(began)}, this is ${shown(now)}; give the same data`);
}
