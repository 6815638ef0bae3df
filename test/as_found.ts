/**
 * Files as the world writes them, made here for the tests of them: containers, images, sound with any header.
 *
 * @module
 */

import { packTar } from "modern-tar";
import { encodeMulaw } from "../src/data/mulaw.ts";
import type { Dataset, DatasetOptions } from "../src/data/dataset.ts";
import { loadDataset } from "../src/data/load.ts";
import { encodePng } from "../src/data/png.ts";
import { join } from "../src/data/reader.ts";
import { Random } from "../src/base/random.ts";

export const utf8 = (text: string) => new TextEncoder().encode(text);

export const TEXT = utf8("It was a bright cold day in April, and the clocks were striking thirteen.\n".repeat(40));

export function noise(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const random = new Random(seed, 4);
  return Uint8Array.from({ length }, () => random.below(256));
}

export const tarOf = async (files: Record<string, Uint8Array>) =>
  new Uint8Array(
    await packTar(Object.entries(files).map(([name, body]) => ({ header: { name, size: body.length, type: "file" as const }, body }))),
  );

export const load = (name: string, data: Uint8Array, options?: DatasetOptions) => loadDataset([{ name, data }], options);

export const all = ({ train, heldOut }: Dataset) => join([train, heldOut]);

/** A folder, as a program opens one. */
export const folder = (files: Record<string, Uint8Array>, options?: DatasetOptions) =>
  loadDataset(Object.entries(files).map(([path, data]) => ({ name: `d/${path}`, data, path, size: data.length })), options, "d");

export const GREY = Array.from({ length: 4 }, (_, n) => noise(16, n).map((x) => x & 127));

export const pngs = GREY.map((values) =>
  encodePng({ width: 4, height: 4, rgb: Uint8Array.from({ length: 48 }, (_, i) => values[Math.floor(i / 3)]) })
);

export const named = Object.fromEntries(pngs.map((bytes, n) => [`${n}.png`, bytes]));

/** A tone of half full scale, 16 bits. */
export const TONE = Int16Array.from({ length: 600 }, (_, i) => 16384 * Math.sin(i / 7));

export interface Header {
  kind?: string;
  all?: number;
  says?: number;
  /** Chunks between format and data. */
  before?: Uint8Array;
  tag?: number;
  channels?: number;
  bits?: number;
  width?: number;
  extensible?: boolean;
  ds64?: bigint;
}

/** A WAV file around these bytes of samples, saying whatever it is told to. */
export function wav(
  data: Uint8Array,
  { kind = "RIFF", all, says = data.length, before, tag = 1, channels = 1, bits = 16, width = bits / 8, extensible, ds64 }: Header = {},
) {
  const format = new Uint8Array(extensible ? 48 : 24), view = new DataView(format.buffer);
  format.set(utf8("fmt "));
  view.setUint32(4, format.length - 8, true);
  view.setUint16(8, extensible ? 0xfffe : tag, true);
  view.setUint16(10, channels, true);
  view.setUint32(12, 12000, true);
  view.setUint32(16, 12000 * channels * width, true);
  view.setUint16(20, channels * width, true);
  view.setUint16(22, bits, true);
  if (extensible) {
    view.setUint16(24, 22, true);
    view.setUint16(26, bits, true);
    view.setUint16(32, tag, true);
    format.set([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71], 34);
  }
  const long = new Uint8Array(ds64 === undefined ? 0 : 36);
  if (ds64 !== undefined) {
    long.set(utf8("ds64\x1c"));
    new DataView(long.buffer).setBigUint64(8, ds64, true);
    new DataView(long.buffer).setBigUint64(16, ds64, true);
  }
  const head = new Uint8Array(8), body = join([utf8("WAVE"), long, format, before ?? new Uint8Array(), head, data]);
  // Behind the join, so that the lengths can lie.
  new DataView(body.buffer).setUint32(body.length - data.length - 4, says, true);
  body.set(utf8("data"), body.length - data.length - 8);
  const riff = new Uint8Array(8);
  riff.set(utf8(kind));
  new DataView(riff.buffer).setUint32(4, all ?? body.length, true);
  return join([riff, body]);
}

export const bytesOf = (samples: Int16Array | Int32Array | Float32Array) =>
  new Uint8Array(samples.buffer as ArrayBuffer, samples.byteOffset, samples.byteLength);

export const CODES = await encodeMulaw(Float32Array.from(TONE, (x) => x / 32768));

/** An IDX file, as MNIST has them. */
export function idx(axes: number[], data: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(4 + 4 * axes.length), view = new DataView(head.buffer);
  view.setUint32(0, 0x800 + axes.length);
  axes.forEach((size, axis) => view.setUint32(4 + 4 * axis, size));
  return join([head, data]);
}
