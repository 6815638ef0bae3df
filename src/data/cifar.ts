/**
 * The binary versions of CIFAR-10 and CIFAR-100, https://www.cs.toronto.edu/~kriz/cifar.html.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { DataError } from "../base/errors.ts";
import { lazily, Scratch } from "../base/scratch.ts";
import type { ImageShape } from "./image.ts";

/** Pixels of a CIFAR image: 32 × 32 of red, of green, of blue. */
const CIFAR_PIXELS = 3072;

/** The shape of a CIFAR image. */
export const CIFAR_SHAPE: ImageShape = [32, 32, 3];

/** Classes of each label that a row begins with: CIFAR-10 has one; CIFAR-100 one of 20 groups and one of 100. */
const CIFAR_LABELS = { "CIFAR-10": [10], "CIFAR-100": [20, 100] } as const;

/** Which of two data sets. */
export type Cifar = keyof typeof CIFAR_LABELS;

/** The files of CIFAR, by the names they have in its archives. */
const CIFAR_NAMES: readonly [Cifar, RegExp][] = [
  ["CIFAR-10", /(^|\/)(data_batch_\d+|test_batch)\.bin$/],
  ["CIFAR-100", /(^|\/)cifar-?100[^/]*\/(train|test)\.bin$/],
];

/** Which CIFAR a file of that name is of. */
export function cifarNamed(path: string): Cifar | undefined {
  return CIFAR_NAMES.find(([, named]) => named.test(path))?.[0];
}

/** The first byte that is no class. */
function noClass(bytes: Uint8Array, labels: readonly number[]): number | undefined {
  const row = labels.length + CIFAR_PIXELS;
  for (let at = 0; at < bytes.length; at += row) {
    const wrong = labels.findIndex((classes, i) => bytes[at + i] >= classes);
    if (wrong >= 0) return at + wrong;
  }
}

/** Which CIFAR bytes are whole rows of, by the classes at the beginning of each. */
export function cifarOf(bytes: Uint8Array): Cifar | undefined {
  const whole = (labels: readonly number[]) => bytes.length % (labels.length + CIFAR_PIXELS) === 0 && noClass(bytes, labels) === undefined;
  return bytes.length === 0 ? undefined : (Object.keys(CIFAR_LABELS) as Cifar[]).find((set) => whole(CIFAR_LABELS[set]));
}

const scratch = lazily(async () => {
  const made = await Scratch.create();
  return { made, from: made.take(CIFAR_PIECE * (CIFAR_PIXELS + 2)), to: made.take(CIFAR_PIECE * CIFAR_PIXELS + 4) };
});

/** Rows converted at once, 96 kB: both ends stay in the cache. */
const CIFAR_PIECE = 32;

/**
 * Tokens of CIFAR rows (data_batch_1.bin of CIFAR-10, train.bin of CIFAR-100): row-major red, green, blue, 3,072 per image, the classes
 * left out.
 *
 * @param name of the file, for messages
 * @throws {DataError} with the offset, where a row is cut short or begins with no class
 */
export async function decodeCifar(bytes: Uint8Array, name: string, set: Cifar = "CIFAR-10"): Promise<Uint8Array<ArrayBuffer>> {
  expect("Cannot read CIFAR", { bytes: [bytes, "an array of bytes"], name: [name, "a string"] });
  const labels = CIFAR_LABELS[set], wide = labels.length + CIFAR_PIXELS, rows = Math.floor(bytes.length / wide), rest = bytes.length % wide;
  if (rest !== 0 || rows === 0) {
    throw new DataError(
      `Cannot read ${name}: cut short, a ${set} row at byte ${rows * wide} has ${wide} bytes, the file ends after ${rest} of them`,
    );
  }
  const wrong = noClass(bytes, labels);
  if (wrong !== undefined) {
    throw new DataError(
      `Cannot read ${name}: a ${set} row begins with a class from 0 to ${labels[wrong % wide] - 1}, found ${bytes[wrong]} at byte ${wrong}`,
    );
  }
  const { made, from, to } = await scratch(), tokens = new Uint8Array(rows * CIFAR_PIXELS);
  for (let row = 0; row < rows; row += CIFAR_PIECE) {
    const count = Math.min(CIFAR_PIECE, rows - row);
    made.u8(from, count * wide).set(bytes.subarray(row * wide, (row + count) * wide));
    made.kernels.image_interleave(count, labels.length, CIFAR_PIXELS / 3, from, to);
    tokens.set(made.u8(to, count * CIFAR_PIXELS), row * CIFAR_PIXELS);
  }
  return tokens;
}

/** {@linkcode decodeCifar} of CIFAR-10. */
export function decodeCifar10(bytes: Uint8Array, name: string): Promise<Uint8Array<ArrayBuffer>> {
  return decodeCifar(bytes, name);
}
