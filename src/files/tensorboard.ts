/**
 * Event files that TensorBoard reads: records of TensorFlow's TFRecord form, each an `Event` of its protocol buffers
 * (tensorflow/core/util/event.proto, lib/io/record_writer.h; names and numbers of fields are theirs).
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";

/** CRC-32C (Castagnoli, RFC 3720), which TFRecord uses. */
const TABLE = /* @__PURE__ */ (() =>
  Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0x82f63b78 ^ (n >>> 1) : n >>> 1;
    return n;
  }))();

/** The checksum of bytes, u32. */
export function crc32c(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** As it stands in a file: a checksum of data that holds checksums is no good one, so it is turned and shifted. */
const masked = (bytes: Uint8Array) => {
  const crc = crc32c(bytes);
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
};

/** length u64, its checksum u32, data, its checksum u32. */
function record(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(data.length + 16), view = new DataView(out.buffer);
  view.setUint32(0, data.length, true);
  view.setUint32(8, masked(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, masked(data), true);
  return out;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push(value % 128 + 128);
  return [...bytes, value];
}

/** `SessionLog.START`. */
const START = 1;

const VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5;
const field = (
  number: number,
  wire: number,
  content: ArrayLike<number>,
): number[] => [...varint(number * 8 + wire), ...Array.from(content)];
const bytes = (number: number, content: ArrayLike<number>) => field(number, BYTES, [...varint(content.length), ...Array.from(content)]);
const double = (number: number, value: number) => field(number, FIXED64, new Uint8Array(Float64Array.of(value).buffer));
const float = (number: number, value: number) => field(number, FIXED32, new Uint8Array(Float32Array.of(value).buffer));
const text = (number: number, value: string) => bytes(number, new TextEncoder().encode(value));

/**
 * The name of an event file: TensorBoard takes any with ".tfevents." in it, and reads those of a folder in the order of their names.
 *
 * @param seconds since 1970, when it was begun
 * @param suffix what tells it from another begun in that second
 */
export function eventFileName(seconds: number, suffix: string): string {
  expect("Cannot name an event file", { seconds: [seconds, "a finite number"], suffix: [suffix, "a string"] });
  return `events.out.tfevents.${String(Math.floor(seconds)).padStart(10, "0")}.${suffix}`;
}

/** What an event file begins with. */
export function eventFileHeader(seconds: number): Uint8Array<ArrayBuffer> {
  expect("Cannot begin an event file", { seconds: [seconds, "a finite number"] });
  return record(Uint8Array.from([...double(1, seconds), ...text(3, "brain.Event:2")]));
}

/**
 * Where a run goes on: what was written of this step and later ones, by a process that ended before it saved, is not looked at any more.
 *
 * @param seconds since 1970
 * @param step the first that comes now
 */
export function sessionStart(seconds: number, step: number): Uint8Array<ArrayBuffer> {
  expect("Cannot write an event", { seconds: [seconds, "a finite number"], step: [step, [0, MOST]] });
  return record(Uint8Array.from([...double(1, seconds), ...field(2, VARINT, varint(step)), ...bytes(7, field(1, VARINT, [START]))]));
}

/**
 * Numbers of one step, to append to an event file.
 *
 * @param seconds since 1970
 * @param step updates done
 * @param values by tag; a "/" in a tag makes a group of charts
 */
export function scalarEvent(seconds: number, step: number, values: Readonly<Record<string, number>>): Uint8Array<ArrayBuffer> {
  const cannot = "Cannot write an event";
  expect(cannot, { seconds: [seconds, "a finite number"], step: [step, [0, MOST]], values: [values, "an object"] });
  const summary = Object.entries(values).flatMap(([tag, value]) => bytes(1, [...text(1, tag), ...float(2, value)]));
  return record(Uint8Array.from([...double(1, seconds), ...field(2, VARINT, varint(step)), ...bytes(5, summary)]));
}
