/**
 * What several places allow alike: an engine and a flag, a file and an option.
 *
 * @module
 */

import { type ListOf, type NumberRange, whole } from "./check.ts";

/** Threads of the WASM engine. */
export const THREADS: NumberRange = whole(1, 256);

/** Sequences side by side: each has a random stream of its own, and there are so many. */
export const SEQUENCES: NumberRange = whole(1, 2 ** 16);

/** What random numbers are drawn from. */
export const SEEDS: NumberRange = whole(0, 2 ** 32 - 1);

/** The shape of images. */
export const IMAGE_SHAPE: ListOf = { each: whole(1, 2 ** 16), count: 3, words: "height, width and channels" };
