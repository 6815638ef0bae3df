/**
 * What a data set is: tokens of text, images or sound, and whether a model can be trained on them.
 *
 * @module
 */

import { type Allowed, expect, MOST, whole } from "../base/check.ts";
import { DataError } from "../base/errors.ts";
import { IMAGE_SHAPE } from "../base/limits.ts";
import type { DataKind } from "./identity.ts";
import type { ImageShape } from "./image.ts";
import { FRAME_RATES, type SoundLevels } from "./sound.ts";
import type { TokenArray } from "./text.ts";
import type { TokenRange, TokenSource } from "./token_range.ts";
import type { TokenStore } from "./token_store.ts";

/** Tokens to train on, one byte each, and what they stand for. `T` is {@linkcode TokenSource} of data that may be read by range. */
export interface Dataset<T extends TokenSource = Uint8Array> {
  /** For people: the file or files. */
  readonly name: string;
  /** What tokens stand for. */
  readonly kind: DataKind;
  /** For people: what the files were, and how they were split. */
  readonly about: string;
  /** Tokens to train on. */
  readonly train: T;
  /** Tokens to evaluate on. */
  readonly heldOut: Uint8Array;
  /** Tokens that the data's makers set apart for a last test. */
  readonly test?: Uint8Array;
  /** Tokens of a sample: an image's H·W·C; 1 where any place may begin one. Sequences begin at multiples of it. */
  readonly unit: number;
  /** Height, width and channels of images. */
  readonly shape?: ImageShape;
  /** Samples per second of sound. */
  readonly rate?: number;
  /** How loud the sound of WAV files was, all of them together. */
  readonly levels?: SoundLevels;
  /** Files of an archive or folder that were left out. */
  readonly skipped: readonly Skipped[];
  /** Sentences for people: what was read otherwise than files say, what was left out, what can hardly be meant. */
  readonly notices: readonly string[];
}

/** A file that was left out. */
export interface Skipped {
  /** Which, for people. */
  readonly name: string;
  /** Bytes it has, where they were counted. */
  readonly bytes?: number;
  /** Why. */
  readonly why: string;
}

/** Choices of {@linkcode loadDataset}. */
export interface DatasetOptions {
  /** Raw bytes are rows of images of this height, width and channels; PNG must have this height and width. */
  readonly shape?: ImageShape;
  /** Raw bytes are codes of sound: of this program, in order of amplitude, or of G.711, which are put into that order. */
  readonly codes?: "mulaw" | "g711";
  /** `bytes`: a file's bytes are tokens as they are, whatever it is; no archive is opened, no picture or sound decoded. */
  readonly as?: "bytes";
  /** Samples per second of sound; default 12,000. */
  readonly rate?: number;
  /** How much to hold out: images, or tokens of anything else; 0 leaves all in one part, however short. */
  readonly heldOut?: number;
  /** Positions of a context: both parts must hold one. A function is asked once kind and shape are known. */
  readonly nCtx?: number | ((kind: DataKind, shape?: ImageShape) => number);
}

/** Choices of {@linkcode openDataset}. */
export interface LargeOptions extends DatasetOptions {
  /** Tokens that are held in memory; of what goes beyond nothing is held but what is held out. Default 2²⁹. */
  readonly hold?: number;
  /** Where what has to be unpacked or decoded goes beyond that. Without one that is refused. */
  readonly store?: TokenStore;
}

/** What each field of {@linkcode DatasetOptions} but `nCtx` may be. */
export const DATASET_FIELDS: Readonly<Record<Exclude<keyof DatasetOptions, "nCtx">, Allowed>> = {
  shape: IMAGE_SHAPE,
  codes: { oneOf: ["mulaw", "g711"] },
  as: { oneOf: ["bytes"] },
  rate: FRAME_RATES,
  heldOut: whole(0),
};

/**
 * Checks that a model can be trained on a data set.
 *
 * @throws {DataError} where an image is not one context, a part is shorter than a context, or a token is outside the vocabulary
 */
export function checkDataset(
  dataset: Pick<Dataset, "name" | "unit" | "shape"> & Readonly<{ train: TokenArray | TokenRange; heldOut: TokenArray; test?: TokenArray }>,
  model: { n_ctx: number; vocab_size: number },
): void {
  expect("Cannot check the data set", { model: [model, "an object"] });
  const { n_ctx, vocab_size } = model;
  expect("Cannot check the data set", {
    "data set": [dataset, "an object"],
    n_ctx: [n_ctx, [1, MOST]],
    vocab_size: [vocab_size, [1, MOST]],
  });
  const { name, unit, shape } = dataset;
  if (shape && unit !== n_ctx) {
    throw new DataError(
      `Cannot train on ${name}: an image of ${shape.join(" × ")} has ${unit} tokens and n_ctx is ${n_ctx}; resize the images ` +
        `(ffmpeg -i in.png -vf scale=WIDTH:HEIGHT out.png), or set n_ctx to ${unit} and position.shape to [${shape.join(", ")}]`,
    );
  }
  for (const part of ["train", "heldOut", "test"] as const) {
    const tokens = dataset[part];
    if (!tokens) continue;
    if (tokens.length < n_ctx) {
      throw new DataError(
        `Cannot train on ${name}: its ${part} part has ${tokens.length} tokens, it must have at least one context of n_ctx = ${n_ctx}; ` +
          `give more data or a smaller n_ctx`,
      );
    }
    // Of what is read by range each batch is looked at when it is used.
    const outside = vocab_size < 256 && "findIndex" in tokens ? tokens.findIndex((token) => token >= vocab_size) : -1;
    if (outside >= 0) {
      throw new DataError(
        `Cannot train on ${name}: token ${
          (tokens as TokenArray)[outside]
        } at ${outside} of its ${part} part is outside the vocabulary of ${vocab_size}; ` +
          `set vocab_size to 256`,
      );
    }
  }
}
