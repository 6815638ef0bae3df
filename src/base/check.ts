/**
 * Arguments of public functions, which callers without types may get wrong.
 *
 * @module
 */

import { ConfigError, excerpt } from "./errors.ts";

const is = (value: unknown, ...names: string[]) => names.includes(Object.prototype.toString.call(value).slice(8, -1));

/** What a value may have to be, beside a whole number. By names of classes, since values come from other windows too. */
const KINDS = {
  "a string": (value: unknown) => typeof value === "string",
  "a finite number": (value: unknown) => Number.isFinite(value),
  "an object": (value: unknown) => typeof value === "object" && value !== null,
  "a list": (value: unknown) => Array.isArray(value),
  "a Map": (value: unknown) => is(value, "Map"),
  "an array of bytes": (value: unknown) => is(value, "Uint8Array"),
  "an array of floats": (value: unknown) => is(value, "Float32Array", "Float64Array"),
  "a typed array": (value: unknown) => ArrayBuffer.isView(value) && !is(value, "DataView"),
  "an engine": (value: unknown) => typeof (value as { compile?: unknown } | null)?.compile === "function",
} as const;

/** What a value must be: a kind, or a whole number from a lowest to a highest. */
export type Wanted = keyof typeof KINDS | readonly [low: number, high: number];

/** The largest size of anything. */
export const MOST = 2 ** 31 - 1;

/** As most messages show a value. */
function shown(value: unknown): string {
  return typeof value === "string"
    ? excerpt(value)
    : typeof value === "object" && value !== null
    ? is(value, "Array") ? "a list" : "an object"
    : String(value);
}

/**
 * Refuses arguments that are not what they must be.
 *
 * @param cannot what cannot be done: "Cannot build the layout"
 * @param wanted by the argument's name, the value and what it must be
 * @throws {ConfigError} naming the first that is not
 */
export function expect(cannot: string, wanted: Readonly<Record<string, readonly [value: unknown, wanted: Wanted]>>): void {
  for (const [name, [value, want]] of Object.entries(wanted)) {
    const kind = typeof want === "string", low = kind ? 0 : want[0], high = kind ? 0 : want[1];
    if (kind ? KINDS[want](value) : Number.isInteger(value) && (value as number) >= low && (value as number) <= high) continue;
    throw new ConfigError(
      `${cannot}: ${name} must be ${kind ? want : `a whole number from ${low} to ${high}`}, current value is ${shown(value)}`,
    );
  }
}

/**
 * Refuses lists of tokens that hold anything else: fractions, strings.
 *
 * @throws {ConfigError} naming the first
 */
export function expectTokens(cannot: string, tokens: ArrayLike<number>): void {
  // Arrays of whole numbers hold nothing else.
  if (is(tokens, "Uint8Array", "Uint16Array", "Uint32Array")) return;
  expect(cannot, { "the list of tokens": [tokens, ArrayBuffer.isView(tokens) ? "a typed array" : "a list"] });
  for (let at = 0; at < tokens.length; at++) expect(cannot, { [`token ${at}`]: [tokens[at], [0, 2 ** 32 - 1]] });
}
