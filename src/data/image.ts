/**
 * Images as tokens, row-major red, green, blue, one byte each.
 *
 * @module
 */

/** Pixels, 3 bytes each (red, green, blue), row-major. */
export interface Image {
  /** Pixels across. */
  readonly width: number;
  /** Pixels down. */
  readonly height: number;
  /** [height, width, 3] */
  readonly rgb: Uint8Array;
}

/** Height, width and channels of an image. */
export type ImageShape = readonly [number, number, number];

/** What of an image's shape is not as wanted, and how to make it so. */
export function shapeHint(shape: readonly number[], want: readonly number[]): string {
  const differ = ["height", "width", "number of channels"].filter((_, axis) => want[axis] !== shape[axis] && axis in shape && axis in want);
  const hint = want[0] === shape[0] && want[1] === shape[1]
    ? `PNG is read with 1 channel, grey, or 3: give --shape ${[...want.slice(0, 2), shape[2] === 1 ? 1 : 3].join("x")}`
    : `resize it first: ffmpeg -i in.png -vf scale=${want[1]}:${want[0]} out.png`;
  return `its ${differ.join(" and ")} differ${differ.length > 1 ? "" : "s"}; ${hint}`;
}
