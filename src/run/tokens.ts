/**
 * Data as the tokens that a model is trained on, and bits per token as bits per byte: the measure that does not depend on how many bytes
 * a token has.
 *
 * @module
 */

import { expect, whole } from "../base/check.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Codec, TokenArray } from "../data/text.ts";
import type { Progress } from "./train.ts";

/** The parts of a data set as tokens. The border between them is that of the bytes. */
export interface TokenParts {
  /** Tokens to train on. */
  readonly train: TokenArray;
  /** Tokens to evaluate on. */
  readonly heldOut: TokenArray;
  /** Tokens of a byte in each part: 1 where tokens are bytes. */
  readonly perByte: { readonly train: number; readonly heldOut: number };
}

/** Encodes both parts of a data set. */
export async function encodeParts(dataset: Pick<Dataset, "train" | "heldOut">, codec: Codec): Promise<TokenParts> {
  const cannot = "Cannot encode the data";
  expect(cannot, { "data set": [dataset, "an object"], codec: [codec, "an object"] });
  for (const part of ["train", "heldOut"] as const) expect(cannot, { [part]: [dataset[part], "an array of bytes"] });
  const train = await codec.encode(dataset.train), heldOut = await codec.encode(dataset.heldOut);
  return {
    train,
    heldOut,
    perByte: { train: bitsPerByte(1, train.length, dataset.train.length), heldOut: bitsPerByte(1, heldOut.length, dataset.heldOut.length) },
  };
}

/** Bits per byte, of mean bits per token over so many tokens of so many bytes. */
export function bitsPerByte(bits: number, tokens: number, bytes: number): number {
  expect("Cannot count bits", { bits: [bits, { from: 0 }], tokens: [tokens, whole(0)], bytes: [bytes, whole(1)] });
  return bits * (tokens / bytes);
}

/** What `train` reports, its losses in bits per byte. */
export function inBytes<T extends Pick<Progress, "loss" | "heldOut">>(report: T, perByte: TokenParts["perByte"]): T {
  const cannot = "Cannot convert the report";
  expect(cannot, { report: [report, "an object"], "tokens of a byte": [perByte, "an object"] });
  const { train, heldOut } = perByte;
  expect(cannot, { train: [train, { from: 0 }], "held out": [heldOut, { from: 0 }] });
  return { ...report, loss: report.loss * train, ...report.heldOut === undefined ? {} : { heldOut: report.heldOut * heldOut } };
}
