/**
 * Fields of a configuration, checked one by one.
 *
 * @module
 */

import { ConfigError, excerpt } from "../base/errors.ts";

/** A field that is a whole number in a range; throws {@linkcode ConfigError} where it is not. */
export function whole(fields: Record<string, unknown>, name: string, low: number, high = 2 ** 31 - 1): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isInteger(value) || value < low || value > high) {
    throw new ConfigError(
      `Cannot use the configuration: ${name} must be a whole number from ${low} to ${high}, current value is ${
        excerpt(String(JSON.stringify(value)))
      }`,
    );
  }
  return value;
}

/** A field that is one of some names; throws {@linkcode ConfigError} where it is not. */
export function oneOf<T extends string>(what: string, fields: Record<string, unknown>, name: string, known: readonly T[]): T {
  const found = known.find((one) => one === fields[name]);
  if (found !== undefined) return found;
  throw new ConfigError(
    `Cannot ${what}: ${name} must be one of ${known.join(", ")}, current value is ${excerpt(String(JSON.stringify(fields[name])))}`,
  );
}
