/**
 * A bias by distance.
 *
 * @module
 */

import { expect } from "../base/check.ts";

/**
 * The slopes of ALiBi (arXiv:2108.12409, section 3): 2^(−8/h), 2^(−16/h), … 2^(−8) for h heads, a power of two. For other numbers those of
 * the power of two below, then every other one of the next power's, as the authors have it.
 *
 * @param heads heads of q
 * @throws {ConfigError} where heads is not a whole number from 1 to 4096
 */
export function alibiSlopes(heads: number): number[] {
  expect("Cannot make the slopes", { heads: [heads, [1, 4096]] });
  const below = 2 ** Math.floor(Math.log2(heads));
  return Array.from({ length: heads }, (_, h) => 2 ** (h < below ? -8 * (h + 1) / below : -4 * (2 * (h - below) + 1) / below));
}
