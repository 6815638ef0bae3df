/**
 * Which data a run trains on.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import type { Dataset } from "../data/dataset.ts";
import { type DataIdentity, type DataSource, identify, identifySampled } from "../data/identity.ts";
import { TokenRange, type TokenSource } from "../data/token_range.ts";

/** All tokens of a data set but those of a last test: what is trained on, then what is held out. */
export function tokensOf(dataset: Pick<Dataset, "train" | "heldOut">): Uint8Array<ArrayBuffer> {
  expect("Cannot join the data", { "data set": [dataset, "an object"] });
  const { train, heldOut } = dataset;
  expect("Cannot join the data", { train: [train, "an array of bytes"], heldOut: [heldOut, "an array of bytes"] });
  const tokens = new Uint8Array(train.length + heldOut.length);
  tokens.set(train);
  tokens.set(heldOut, train.length);
  return tokens;
}

/**
 * Names a data set so that a run recognises it, and can read it again.
 *
 * @param read where it was read from, and how, as far as the data set does not tell
 */
export async function identifyDataset(
  dataset: Pick<Dataset<TokenSource>, "name" | "kind" | "train" | "heldOut" | "shape" | "rate">,
  read: Pick<DataSource, "path" | "codes" | "as" | "heldOut" | "valid">,
): Promise<DataIdentity> {
  const cannot = "Cannot identify the data";
  expect(cannot, { "data set": [dataset, "an object"], "how it was read": [read, "an object"] });
  const { name, kind, train, heldOut, shape, rate } = dataset, { path, codes, as, valid } = read;
  return {
    ...train instanceof TokenRange
      ? await identifySampled(name, new TokenRange([train, heldOut]), heldOut.length)
      : await identify(name, tokensOf({ train, heldOut }), heldOut.length),
    source: { kind, path, shape, rate, codes, as, heldOut: read.heldOut, ...valid === undefined ? {} : { valid } },
  };
}
