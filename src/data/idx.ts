/**
 * IDX files, the format of MNIST: “THE IDX FILE FORMAT” of http://yann.lecun.com/exdb/mnist/.
 *
 * @module
 */

/** What the header of an IDX file, MNIST's format, says. */
export interface Idx {
  /** Sizes of its axes: the first counts what is in it. */
  readonly axes: readonly number[];
  /** Bytes before the elements. */
  readonly begin: number;
  /** Bytes of header and elements. */
  readonly end: number;
}

/**
 * Reads the header of an IDX file of bytes: two zeros, the type, the number of axes, their sizes.
 *
 * @param length of the whole file, where `bytes` are its beginning
 * @returns undefined where it is none: another type, no element, more than four axes, or more elements than there are bytes
 */
export function idxOf(bytes: Uint8Array, length: number = bytes.length): Idx | undefined {
  const [a, b, type, count] = bytes, begin = 4 + 4 * count;
  if (a !== 0 || b !== 0 || type !== 8 || !(count >= 1 && count <= 4) || bytes.length < begin) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset),
    axes = Array.from({ length: count }, (_, axis) => view.getUint32(4 + 4 * axis));
  const end = axes.reduce((product, size) => product * size, 1) + begin;
  return end > begin && end <= length ? { axes, begin, end } : undefined;
}
