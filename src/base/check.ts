/**
 * What values may be, described once for whoever hands them in: arguments of callers without types, fields of files, flags of a command
 * line. A description gives both the test and the words of a message, and every message has one grammar:
 *
 *     Cannot train: batch must be a whole number from 1 to 65536, found 0
 *
 * @module
 */

import { ConfigError, excerpt } from "./errors.ts";

const is = (value: unknown, ...names: string[]) => names.includes(Object.prototype.toString.call(value).slice(8, -1));

/** Kinds of values without a range. */
export type Kind =
  | "a string"
  | "true or false"
  | "a finite number"
  | "an object"
  | "a list"
  | "a Map"
  | "an array of bytes"
  | "an array of floats"
  | "a typed array"
  | "a function"
  | "an engine";

/** Whether a value is of a kind. By names of classes, since values come from other windows too. */
const KINDS: Readonly<Record<Kind, (value: unknown) => boolean>> = {
  "a string": (value: unknown) => typeof value === "string",
  "true or false": (value: unknown) => typeof value === "boolean",
  "a finite number": (value: unknown) => Number.isFinite(value),
  "an object": (value: unknown) => typeof value === "object" && value !== null,
  "a list": (value: unknown) => Array.isArray(value),
  "a Map": (value: unknown) => is(value, "Map"),
  "an array of bytes": (value: unknown) => is(value, "Uint8Array"),
  "an array of floats": (value: unknown) => is(value, "Float32Array", "Float64Array"),
  "a typed array": (value: unknown) => ArrayBuffer.isView(value) && !is(value, "DataView"),
  "a function": (value: unknown) => typeof value === "function",
  "an engine": (value: unknown) => typeof (value as { compile?: unknown } | null)?.compile === "function",
};

/** A finite number within bounds, each of which may be left out. */
export interface NumberRange {
  /** Whether it has no fraction, and is at most 2⁵³ − 1. */
  readonly whole?: boolean;
  /** The lowest. */
  readonly from?: number;
  /** The highest. */
  readonly to?: number;
  /** Below the lowest. */
  readonly above?: number;
  /** Above the highest. */
  readonly below?: number;
  /** Whether null may stand for it. */
  readonly orNull?: boolean;
}

/** One of some words. */
export interface Choices<T extends string = string> {
  /** The words. */
  readonly oneOf: readonly T[];
}

/** A string of a form. */
export interface TextForm {
  /** The form. */
  readonly form: RegExp;
  /** The form in words: "64 hexadecimal digits". */
  readonly words: string;
}

/** A list whose entries are all alike. */
export interface ListOf {
  /** What each entry must be. */
  readonly each: Allowed;
  /** Entries there must be. */
  readonly count?: number;
  /** The entries in words: "height, width and channels". */
  readonly words?: string;
}

/** An object with these fields and no others. */
export interface ObjectOf {
  /** Fields that must be there. */
  readonly fields: Readonly<Record<string, Allowed>>;
  /** Fields that may be there. */
  readonly optional?: Readonly<Record<string, Allowed>>;
}

/** What a value must be. A pair is a whole number from a lowest to a highest. */
export type Allowed = Kind | readonly [low: number, high: number] | NumberRange | Choices | TextForm | ListOf | ObjectOf;

/** The largest size of anything. */
export const MOST = 2 ** 31 - 1;

/** A whole number. */
export const whole = (from?: number, to?: number): NumberRange => ({ whole: true, from, to });

function rangeOf(allowed: Allowed): NumberRange | undefined {
  if (typeof allowed === "string") return undefined;
  if ("oneOf" in allowed || "form" in allowed || "each" in allowed || "fields" in allowed) return undefined;
  return "length" in allowed ? whole(...allowed) : allowed;
}

/** Descriptions come from callers too. */
function checkAllowed(allowed: Allowed): void {
  if (typeof allowed === "string" ? Object.hasOwn(KINDS, allowed) : typeof allowed === "object" && allowed !== null) return;
  throw new ConfigError(`Cannot check a value: ${shown(allowed)} does not describe what is allowed`);
}

/** What is allowed, for people: "a whole number from 1 to 8". */
export function inWords(allowed: Allowed): string {
  checkAllowed(allowed);
  if (typeof allowed === "string") return allowed;
  if ("oneOf" in allowed) return `one of ${allowed.oneOf.join(", ")}`;
  if ("form" in allowed) return allowed.words;
  if ("each" in allowed) return allowed.words ?? (allowed.count === undefined ? "a list" : `a list of ${allowed.count}`);
  if ("fields" in allowed) return "an object";
  const { whole, from, to, above, below, orNull } = rangeOf(allowed)!, both = from !== undefined && to !== undefined;
  if (both && from === to) return String(from);
  const low = from !== undefined ? ` from ${from}` : above !== undefined ? ` above ${above}` : "";
  const high = to !== undefined ? `${both ? " to" : " up to"} ${to}` : below !== undefined ? ` below ${below}` : "";
  return `a ${whole ? "whole " : ""}number${low}${low && high && !both ? " and" : ""}${high}${orNull ? ", or null" : ""}`;
}

/** A value in a message: short, its text escaped. */
export function shown(value: unknown): string {
  const LIMIT = 60;
  let text = "";
  // Stops where there is enough: callers may hand in what has millions of entries.
  const put = (value: unknown): void => {
    if (text.length > LIMIT) return;
    if (typeof value === "string") text += excerpt(value, LIMIT);
    else if (Array.isArray(value)) {
      text += "[";
      for (let at = 0; at < value.length && text.length <= LIMIT; at++) {
        if (at > 0) text += ", ";
        put(value[at]);
      }
      text += "]";
    } else if (is(value, "Object")) {
      text += "{";
      let first = true;
      for (const name in value as Record<string, unknown>) {
        if (text.length > LIMIT) break;
        text += `${first ? "" : ", "}${excerpt(name, LIMIT)}: `;
        put((value as Record<string, unknown>)[name]);
        first = false;
      }
      text += "}";
    } else if (typeof value === "object" && value !== null) text += `a ${Object.prototype.toString.call(value).slice(8, -1)}`;
    else text += value === undefined ? "nothing" : typeof value === "function" ? "a function" : String(value);
  };
  put(value);
  return typeof value === "string" || text.length <= LIMIT ? text : `${text.slice(0, LIMIT)}…`;
}

/**
 * The sentence that refuses a value: what it must be, and what was found.
 *
 * @param name what the value is called
 */
export const mustBe = (name: string, allowed: Allowed, found: unknown): string =>
  `${name} must be ${inWords(allowed)}, found ${shown(found)}`;

/** Whether a value is what it must be, what is in it left aside. */
function isOfKind(value: unknown, allowed: Allowed): boolean {
  checkAllowed(allowed);
  if (typeof allowed === "string") return KINDS[allowed](value);
  if ("oneOf" in allowed) return allowed.oneOf.includes(value as string);
  if ("form" in allowed) return typeof value === "string" && allowed.form.test(value);
  if ("each" in allowed) return Array.isArray(value) && (allowed.count === undefined || value.length === allowed.count);
  if ("fields" in allowed) return typeof value === "object" && value !== null && !Array.isArray(value);
  const { whole, from = -Infinity, to = Infinity, above = -Infinity, below = Infinity, orNull } = rangeOf(allowed)!;
  if (value === null) return orNull ?? false;
  const number = value as number;
  return Number.isFinite(value) && (!whole || Number.isSafeInteger(value)) && number >= from && number <= to && number > above &&
    number < below;
}

/**
 * What is wrong with a value: a sentence that says where, what is allowed and what was found; undefined where all is right.
 *
 * @param name what the value is called; of "it", fields go by their names alone
 */
export function wrongOf(name: string, value: unknown, allowed: Allowed): string | undefined {
  if (!isOfKind(value, allowed)) return mustBe(name, allowed, value);
  if (typeof allowed === "string") return undefined;
  if ("each" in allowed) {
    const list = value as unknown[];
    for (let at = 0; at < list.length; at++) {
      const wrong = wrongOf(`${name}[${at}]`, list[at], allowed.each);
      if (wrong) return wrong;
    }
  } else if ("fields" in allowed) return wrongField(name, value as Record<string, unknown>, allowed);
}

function wrongField(name: string, value: Record<string, unknown>, { fields, optional = {} }: ObjectOf): string | undefined {
  const known = { ...fields, ...optional };
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(known, key)) return `${name} has an unknown field ${excerpt(key)}, known are ${Object.keys(known).join(", ")}`;
  }
  for (const key in fields) if (!Object.hasOwn(value, key)) return `${name} lacks ${key}, ${inWords(fields[key])}`;
  for (const key in known) {
    if (value[key] === undefined && Object.hasOwn(optional, key)) continue;
    const wrong = wrongOf(name === "it" ? key : `${name}.${key}`, value[key], known[key]);
    if (wrong) return wrong;
  }
}

/**
 * Refuses arguments that are not what they must be.
 *
 * @param cannot what cannot be done: "Cannot build the layout"
 * @param wanted by the argument's name, the value and what it must be
 * @throws {ConfigError} naming the first that is not
 */
export function expect(cannot: string, wanted: Readonly<Record<string, readonly [value: unknown, allowed: Allowed]>>): void {
  for (const name in wanted) {
    const wrong = wrongOf(name, ...wanted[name]);
    if (wrong) throw new ConfigError(`${cannot}: ${wrong}`);
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
