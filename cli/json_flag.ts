/**
 * Flags whose value is JSON, or a file that holds it.
 *
 * @module
 */

import { excerpt } from "../data.ts";
import { jsonOf } from "../files.ts";
import { readText } from "./disk.ts";

/**
 * What the value of such a flag says.
 *
 * @param fail is told what is wrong with it, and throws
 * @throws {DataError} where it names a file that cannot be read
 */
export function jsonFrom(value: string, fail: (what: string) => never): unknown {
  return jsonOf(/^\s*[\[{]/.test(value) ? value : readText(value), (what) => fail(`${what}, found ${excerpt(value)}`));
}
