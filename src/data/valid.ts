/**
 * Data to train on and data to evaluate on that are of different files.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { DataError } from "../base/errors.ts";
import type { Dataset } from "./dataset.ts";
import type { TokenSource } from "./token_range.ts";

/**
 * A data set of two: all of `train` to train on, all of `valid` held out. Both are read with `heldOut: 0`.
 *
 * @throws {DataError} where they are not of one kind, shape and rate
 */
export function withHeldOut<T extends TokenSource>(train: Dataset<T>, valid: Dataset): Dataset<T> {
  const cannot = "Cannot hold out another file";
  expect(cannot, { train: [train, "an object"], valid: [valid, "an object"], "valid.train": [valid?.train, "an array of bytes"] });
  expect(cannot, { "train.train": [train.train, "an object"] });
  const isText = ({ kind }: Pick<Dataset, "kind">) => kind === "text" || kind === "bytes";
  const of = ({ kind, shape, rate }: Pick<Dataset, "kind" | "shape" | "rate">) =>
    shape ? `images of ${shape.join(" × ")}` : rate ? `sound of ${rate} Hz` : kind;
  if (of(train) !== of(valid) && !(isText(train) && isText(valid))) {
    throw new DataError(`${cannot}: ${train.name} is ${of(train)}, ${valid.name} is ${of(valid)}; both must be alike`);
  }
  return {
    ...train,
    about: `${train.about.replace(/; nothing held out$/, "")}; held out is ${valid.name}: ${
      valid.about.replace(/; nothing held out$/, "")
    }`,
    heldOut: valid.train,
    skipped: [...train.skipped, ...valid.skipped],
    notices: [...train.notices, ...valid.notices],
  };
}
