/**
 * JSON from files that nobody vouches for.
 *
 * @module
 */

import { expect } from "./check.ts";
import { excerpt } from "./errors.ts";

/** Levels of nesting that a file may have: ours need 5, and JSON.parse alone accepts millions. */
const DEPTH = 32;

/**
 * Parses JSON and refuses what JSON.parse lets pass: a name twice in one object (it keeps the last) and deep nesting. What stands in the
 * file's place is named. Names such as `__proto__` become plain properties of their own; read objects by `Object.entries` or `Object.hasOwn`.
 *
 * @throws {SyntaxError} saying what was found and where, escaped
 */
export function parseJson(text: string): unknown {
  const instead = standIn(text.slice(0, HEAD));
  if (instead) throw new SyntaxError(`it is ${instead}`);
  scan(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SyntaxError(`it is not valid JSON: ${excerpt((error as Error).message, 120)}`);
  }
}

/**
 * Parses JSON for readers that say what is wrong in their own way, and refuses what JSON.parse lets pass: a name twice in one object and deep
 * nesting. What stands in a file's place, a web page or a pointer of Git LFS, is named.
 *
 * @param fail is told what is wrong, and throws
 */
export function jsonOf(text: string, fail: (what: string) => never): unknown {
  expect("Cannot read JSON", { text: [text, "a string"], fail: [fail, "a function"] });
  try {
    return parseJson(text);
  } catch (error) {
    return fail((error as SyntaxError).message);
  }
}

/** Walks over brackets and strings only; whether the text is JSON is JSON.parse's to say. */
function scan(text: string): void {
  // One entry per level: the names seen so far in an object, null for a list.
  const open: (Set<string> | null)[] = [];
  let name = false;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case "{":
      case "[":
        open.push(text[at] === "{" ? new Set() : null);
        name = text[at] === "{";
        if (open.length > DEPTH) throw new SyntaxError(`it nests deeper than ${DEPTH} levels at character ${at}`);
        break;
      case "}":
      case "]":
        open.pop();
        break;
      case ",":
        name = true;
        break;
      case '"': {
        const from = at++;
        while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
        const names = open.at(-1);
        if (name && names) {
          const key = unquote(text.slice(from, at + 1));
          if (names.has(key)) throw new SyntaxError(`it names ${excerpt(key)} twice, the second time at character ${from}`);
          names.add(key);
        }
        name = false;
      }
    }
  }
}

/** The string that a JSON string literal stands for, so that `"a"` and `"\u0061"` are one name. */
function unquote(literal: string): string {
  try {
    return JSON.parse(literal);
  } catch {
    return literal;
  }
}

/** Characters that tell what stands in a file's place. */
export const HEAD = 256;

/** What stands in a file's place, by its first characters: people meet both where a download went wrong. */
export function standIn(head: string): string | undefined {
  if (/^version https:\/\/git-lfs/.test(head)) return "a Git LFS pointer in place of the file; fetch it: git lfs pull";
  if (/^\s*<(!doctype html|html|head|body)\b/i.test(head)) return "a web page in place of the file; take the address that downloads it";
}
