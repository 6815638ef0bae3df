/**
 * Tensors larger than one binding: they lie in bands of rows, each a tensor of its own, and an operation over them becomes
 * several, each over rows that lie in one band of every operand.
 *
 * Rows of a band are 64 times a power of two. So the bands of a narrow matrix hold whole bands of a wide one, and what begins
 * at a multiple of 64 rows begins at a multiple of 256 bytes, where a binding may begin.
 *
 * @module
 */

import { OutOfMemoryError } from "../../base/errors.ts";
import type { Tensor } from "../../ops/mod.ts";
import type { Limits } from "./device.ts";
import { bindable, elementBytes, rowsOf, storedBytes } from "./storage.ts";

/** Some rows of a tensor, as a tensor. */
export interface Band {
  readonly tensor: Tensor;
  /** Its first row. */
  readonly first: number;
  /** How many. */
  readonly rows: number;
}

const mebibytes = (bytes: number) => bytes < 2 ** 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/**
 * Most rows of so many bytes that a band has.
 *
 * @throws {OutOfMemoryError} where not even 64 rows fit
 */
export function bandRows(t: Tensor, rowBytes: number, limits: Limits): number {
  const most = Math.floor(bindable(limits) / (64 * rowBytes));
  if (most < 1) {
    throw tooLarge("place a tensor", { ...t, name: `64 rows of ${t.name}` }, 64 * rowBytes, limits, "use narrower layers");
  }
  return 64 * 2 ** Math.floor(Math.log2(most));
}

/** What to say of an operation that needs all of a tensor at once. */
export function tooLarge(what: string, t: Tensor, bytes: number, limits: Limits, todo: string): OutOfMemoryError {
  return new OutOfMemoryError(
    `Cannot ${what}: it needs all of ${t.name} [${t.shape.join(", ")}] at once, ${mebibytes(bytes)}, the device binds at most ${
      mebibytes(bindable(limits))
    }; ${todo}`,
  );
}

/** The bands of every tensor of an engine. */
export class Bands {
  readonly #made = new WeakMap<Tensor, readonly Band[]>();

  constructor(readonly limits: Limits) {}

  /**
   * The bands of a tensor; undefined where one binding holds it.
   *
   * @throws {OutOfMemoryError} where its rows are too wide for any
   */
  of(t: Tensor): readonly Band[] | undefined {
    if (storedBytes(t) <= bindable(this.limits)) return undefined;
    let made = this.#made.get(t);
    if (!made) this.#made.set(t, made = this.#make(t));
    return made;
  }

  /** The tensors that stand for some: their bands where they have any. */
  flat(tensors: readonly Tensor[]): Tensor[] {
    return tensors.flatMap((t) => this.of(t)?.map(({ tensor }) => tensor) ?? [t]);
  }

  #make(t: Tensor): Band[] {
    const { rows, width } = rowsOf(t), most = bandRows(t, width * elementBytes(t), this.limits);
    return Array.from({ length: Math.ceil(rows / most) }, (_, band) => {
      const first = band * most, count = Math.min(most, rows - first);
      return { first, rows: count, tensor: rowsTensor(t, count) };
    });
  }
}

/** A tensor of so many rows of another, under its name. */
export function rowsTensor(t: Tensor, rows: number): Tensor {
  const shape = t.shape.length > 1 ? [rows, t.shape.at(-1)!] : [rows];
  return { ...t, shape };
}
