/**
 * Data as the tokens that a model is trained on, and bits per token as bits per byte: the measure that does not depend on how many bytes
 * a token has.
 *
 * @module
 */

import { expect, whole } from "../base/check.ts";
import type { Dataset } from "../data/dataset.ts";
import { ConfigError } from "../base/errors.ts";
import { BYTES, type Codec, type TokenArray } from "../data/text.ts";
import { TokenRange, type TokenSource } from "../data/token_range.ts";
import type { Progress } from "./train.ts";

/** The parts of a data set as tokens. The border between them is that of the bytes. */
export interface TokenParts<T extends TokenArray | TokenRange = TokenArray> {
  /** Tokens to train on. */
  readonly train: T;
  /** Tokens to evaluate on. */
  readonly heldOut: TokenArray;
  /** Tokens of a byte in each part: 1 where tokens are bytes. */
  readonly perByte: { readonly train: number; readonly heldOut: number };
}

/**
 * Encodes both parts of a data set.
 *
 * @throws {ConfigError} where tokens are not bytes and memory does not hold the data
 */
export function encodeParts(dataset: Pick<Dataset, "train" | "heldOut">, codec: Codec): Promise<TokenParts>;
/** The same of data that may be read by range. */
export function encodeParts(
  dataset: Pick<Dataset<TokenSource>, "train" | "heldOut">,
  codec: Codec,
): Promise<TokenParts<TokenArray | TokenRange>>;
export async function encodeParts(
  dataset: Pick<Dataset<TokenSource>, "train" | "heldOut">,
  codec: Codec,
): Promise<TokenParts<TokenArray | TokenRange>> {
  const cannot = "Cannot encode the data";
  expect(cannot, { "data set": [dataset, "an object"], codec: [codec, "an object"] });
  const isRange = dataset.train instanceof TokenRange;
  if (!isRange) expect(cannot, { train: [dataset.train, "an array of bytes"] });
  expect(cannot, { heldOut: [dataset.heldOut, "an array of bytes"] });
  if (isRange && codec !== BYTES) {
    throw new ConfigError(
      `${cannot}: tokens of several bytes are made in memory, and ${dataset.train.length} bytes are read by range; train on bytes`,
    );
  }
  const train = isRange ? dataset.train : await codec.encode(dataset.train as Uint8Array), heldOut = await codec.encode(dataset.heldOut);
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
