/**
 * Sorting by small numbers.
 *
 * @module
 */

/** Rows sorted by index (a stable counting sort), and where each index starts. */
export function sortByIndex(index: Uint32Array, entries: number): { order: Uint32Array; starts: Uint32Array } {
  const starts = new Uint32Array(entries + 1), order = new Uint32Array(index.length);
  for (const i of index) starts[i + 1]++;
  for (let i = 0; i < entries; i++) starts[i + 1] += starts[i];
  const next = starts.slice();
  index.forEach((i, row) => order[next[i]++] = row);
  return { order, starts };
}
