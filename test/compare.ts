/** Comparing numbers with the oracle. @module */

/** ‖got − want‖ / ‖want‖ in float64; Infinity where anything is not a number, the plain norm of `got` where want is 0. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Infinity;
  let difference = 0, norm = 0;
  for (let i = 0; i < want.length; i++) {
    difference += (got[i] - want[i]) ** 2;
    norm += want[i] ** 2;
  }
  const error = Math.sqrt(difference) / (norm > 0 ? Math.sqrt(norm) : 1);
  return Number.isNaN(error) ? Infinity : error;
}
