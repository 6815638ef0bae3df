/**
 * The samples of a data set in parts: to train on, to hold out, to test.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { DataError } from "../base/errors.ts";
import { checkDataset, type Dataset, type DatasetOptions } from "./dataset.ts";
import { starts } from "./formats.ts";
import { heldOutOf } from "./held_out.ts";
import type { DataKind } from "./identity.ts";
import type { ImageShape } from "./image.ts";
import { join, WHOLE_LIMIT } from "./reader.ts";
import { type Tokenful, TokenRange, type TokenSource } from "./token_range.ts";
import { isStretch } from "./token_store.ts";
import type { Samples } from "./samples.ts";
import { SOUND_RATE } from "./sound.ts";

/** enwik8: the first 10⁸ bytes of a Wikipedia dump; 90 / 5 / 5 million bytes since its first use for this. */
const isEnwik8 = (bytes: TokenSource): bytes is Uint8Array =>
  bytes instanceof Uint8Array && bytes.length === 100_000_000 && starts(bytes, "<mediawiki");

/** The paper holds out 2,000 of CIFAR-10's 50,000 training images; of others the same share, at least one. */
function heldOutImages(count: number): number {
  return Math.max(1, Math.min(2000, Math.round(count / 25)));
}

/** Tokens of several parts as one: in memory where all of them are. */
function together(parts: readonly Tokenful[]): TokenSource {
  return parts.some(isStretch) ? new TokenRange(parts) : join(parts as Uint8Array[]);
}

/** Tokens to evaluate on, read: at most what an array of any runtime holds. */
async function inMemory(tokens: TokenSource, name: string): Promise<Uint8Array> {
  if (tokens instanceof Uint8Array) return tokens;
  if (tokens.length > WHOLE_LIMIT) {
    throw new DataError(
      `Cannot hold out ${tokens.length} tokens of ${name}: they are held in memory, at most ${WHOLE_LIMIT}; hold out fewer`,
    );
  }
  return await tokens.read();
}

type Made = Omit<Dataset<TokenSource>, "skipped" | "notices">;

/** The samples as parts to train on and to hold out. */
export async function split(samples: Samples, name: string, what: string, options: DatasetOptions): Promise<Made> {
  const { sound, streams } = samples, { heldOut } = options;
  if (samples.pictured) return await splitImages({ name, what, shape: samples.shape! }, samples, options);
  if (sound.length > 0) {
    const codes = together(sound), rate = options.rate ?? SOUND_RATE, parts = await splitStream(codes, "audio", name, options);
    return { name, kind: "audio", about: `${what}; ${held(parts.heldOut.length, "sample")}`, ...parts, unit: 1, rate };
  }
  const [{ bytes: one }] = streams;
  const bytes = streams.length === 1 && !isStretch(one) ? one : together(streams.map(({ bytes }) => bytes));
  const kind = streams.every(({ kind }) => kind === "text") ? "text" : "bytes", made = { name, kind, unit: 1 } as const;
  if (isEnwik8(bytes) && heldOut === undefined) {
    const [train, valid, test] = [[0, 90e6], [90e6, 95e6], [95e6, 100e6]].map(([from, to]) => bytes.subarray(from, to));
    return { ...made, about: "enwik8, 90 / 5 / 5 million bytes", train, heldOut: valid, test };
  }
  const parts = await splitStream(bytes, kind, name, options), files = streams.length > 1 ? `${streams.length} files of ` : "";
  return { ...made, about: `${files}${kind}; ${held(parts.heldOut.length, "byte")}`, ...parts };
}

const held = (count: number, what: string) =>
  count === 0 ? "nothing held out" : `the last ${count === 1 ? what : `${count.toLocaleString("en")} ${what}s`} held out`;

async function splitStream(bytes: TokenSource, kind: DataKind, name: string, options: DatasetOptions) {
  const count = options.heldOut === 0 ? 0 : heldOutOf(bytes.length, contextOf(options, kind) ?? 1, name, options.heldOut);
  const border = bytes.length - count, heldOut = await inMemory(bytes.subarray(border, bytes.length), name);
  return { train: bytes.subarray(0, border), heldOut };
}

function contextOf({ nCtx }: DatasetOptions, kind: DataKind, shape?: ImageShape): number | undefined {
  return typeof nCtx === "function" ? nCtx(kind, shape) : nCtx;
}

async function splitImages(
  made: { name: string; what: string; shape: ImageShape },
  { images, testImages }: Samples,
  options: DatasetOptions,
): Promise<Made> {
  const { name, what, shape } = made, unit = shape.reduce((a, b) => a * b, 1);
  const { heldOut } = options, nCtx = contextOf(options, "image", shape);
  // Test images alone are images like any other.
  const rows = together(images.length > 0 ? images : testImages), count = rows.length / unit;
  if (count < 2 && heldOut !== 0) {
    throw new DataError(`Cannot train on ${name}: it has ${count} image, it must have at least 2: one is held out`);
  }
  if (heldOut) expect(`Cannot hold out part of ${name}`, { "its images": [heldOut, [1, count - 1]] });
  const from = (count - (heldOut ?? heldOutImages(count))) * unit;
  const dataset = {
    name,
    kind: "image" as const,
    about: `${what}, ${shape.join(" × ")}; ${held(count - from / unit, "image")}`,
    train: rows.subarray(0, from),
    heldOut: await inMemory(rows.subarray(from, rows.length), name),
    ...(images.length > 0 && testImages.length > 0 ? { test: await inMemory(together(testImages), name) } : {}),
    unit,
    shape,
  };
  if (nCtx !== undefined) checkDataset(dataset, { n_ctx: nCtx, vocab_size: 256 });
  return dataset;
}
