/**
 * What the queries of each sequence may see beside their pattern, as `spans` of an attention: u32 [batch, n, 2], a first key and the one
 * after the last.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { LARGEST } from "./sets.ts";

/** Spans of all sequences, which `each` gives in stretches of so many positions, beginning with the first; those after see nothing. */
function stretched(cannot: string, sequences: readonly (readonly number[])[], n: number): Uint32Array {
  const spans = new Uint32Array(sequences.length * n * 2);
  sequences.forEach((lengths, b) => {
    let start = 0;
    for (const length of lengths) {
      const end = start + length;
      if (end > n) throw new ConfigError(`${cannot}: those of sequence ${b} have ${end} positions or more, it has ${n}`);
      for (let i = start; i < end; i++) spans.set([start, end], (b * n + i) * 2);
      start = end;
    }
  });
  return spans;
}

/**
 * Documents packed into sequences: a position sees its own document and no other.
 *
 * @param lengths of the documents of each sequence, in order; positions after the last see nothing, and nobody sees them
 * @param n positions of a sequence
 * @returns [batch, n, 2]
 * @throws {ConfigError} where a length is no whole number, or those of a sequence are more than n together
 */
export function documentSpans(lengths: readonly (readonly number[])[], n: number): Uint32Array {
  const cannot = "Cannot lay out documents";
  expect(cannot, { n: [n, [1, LARGEST]], lengths: [lengths, { each: { each: [0, LARGEST] } }] });
  return stretched(cannot, lengths, n);
}

/**
 * Sequences of different lengths, padded to n: a position sees its sequence and no padding.
 *
 * @param lengths positions of each sequence; those after see nothing, and nobody sees them
 * @param n positions of a padded sequence
 * @returns [batch, n, 2]
 * @throws {ConfigError} where a length is no whole number from 0 to n
 */
export function lengthSpans(lengths: readonly number[], n: number): Uint32Array {
  const cannot = "Cannot lay out sequences";
  expect(cannot, { n: [n, [1, LARGEST]], lengths: [lengths, { each: [0, n] }] });
  return stretched(cannot, lengths.map((length) => [length]), n);
}
