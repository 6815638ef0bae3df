/**
 * Numbers that are not finite: found where they come in or out, before they pass for a result.
 *
 * @module
 */

import { DivergedError } from "./errors.ts";

/**
 * Which of some numbers are not finite, for a message: "has 3 numbers of 256 that are not finite, the first NaN at 17". Takes less
 * time than reading them from a disk does.
 *
 * @returns undefined where all are finite
 */
export function notFinite(data: ArrayLike<number>): string | undefined {
  let count = 0, first = 0;
  for (let at = 0; at < data.length; at++) if (!(Math.abs(data[at]) < Infinity) && count++ === 0) first = at;
  return count > 0 ? `has ${count} numbers of ${data.length} that are not finite, the first ${data[first]} at ${first}` : undefined;
}

/**
 * Numbers that an engine computed of finite ones.
 *
 * @param cannot what they are for: "Cannot evaluate"
 * @param what they are
 * @throws {DivergedError} where some are not finite
 */
export function checkComputed<T extends ArrayLike<number>>(data: T, cannot: string, what: string, on: { readonly description: string }): T {
  const found = notFinite(data);
  if (!found) return data;
  throw new DivergedError(
    `${cannot}: ${what} ${found}; the weights have grown too large, or the device (${on.description}) computes wrongly: verify tells`,
  );
}
