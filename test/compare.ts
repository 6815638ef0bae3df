/** Comparing numbers with the oracle. @module */

/**
 * ‖got − want‖ / ‖want‖ in float64; Infinity where anything is not a number. Where want is 0 (the gradient of a query's
 * only key, for example) it is the root mean square of `got`, the inputs being of order 1.
 */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Infinity;
  let difference = 0, norm = 0;
  for (let i = 0; i < want.length; i++) {
    difference += (got[i] - want[i]) ** 2;
    norm += want[i] ** 2;
  }
  const zero = norm < 1e-24 * want.length, error = Math.sqrt(difference / (zero ? want.length : norm));
  return Number.isNaN(error) ? Infinity : error;
}
