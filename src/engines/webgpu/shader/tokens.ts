/**
 * WGSL as tokens that know where they come from, and as declarations: what every pass of this folder works on. README.md has the dialect.
 *
 * @module
 */

import { KernelError } from "../../../base/errors.ts";

/** A word, a number, a sign, or a directive such as `// @unroll`. */
export interface Token {
  readonly text: string;
  /** File of wgsl/, without its ending, and the line there, from 1. */
  readonly file: string;
  readonly line: number;
  /** Of a whole number without a sign. */
  readonly value?: number;
}

// A `>` is a token of its own, as it may end a template: `>=` and `>>` are two, and are printed as they were written.
const TOKEN = /\n|@unroll|\/\/.*|[A-Za-z_]\w*|\d[\w.]*(?:(?<=e)[+-]\d+)?|[-+*/%&|^=!<]=|\+\+|--|&&|\|\||->|<<|\S/g;

/** The tokens of a file; comments but directives are left out. */
export function tokenise(source: string, file: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  for (const text of source.match(TOKEN) ?? []) {
    if (text === "\n") line++;
    else if (text.startsWith("// @at ")) {
      const [, , from, first] = text.split(" ");
      [file, line] = [from, Number(first) - 1];
    } else if (text[0] !== "/" || text[1] !== "/" || text.startsWith("// @")) {
      const isNumber = text[0] >= "0" && text[0] <= "9" && /^\d+u?$/.test(text);
      tokens.push({ text: text === "// @unroll" ? "@unroll" : text, file, line, value: isNumber ? parseInt(text) : undefined });
    }
  }
  return tokens;
}

/** Another token in the place of one. */
export const as = ({ file, line }: Token, text: string): Token => ({ text, file, line });

/** What is wrong at a token. */
export const wrong = ({ file, line }: Token, reason: string): KernelError => new KernelError(`wgsl/${file}.wgsl:${line}: ${reason}`);

/** Whether it is a word or a number, which all begin with a letter, a digit or `_`. */
function isWord(text: string): boolean {
  const code = text.charCodeAt(0) | 0x20;
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x7f;
}

/** The text between two tokens of one line. */
export const gap = (a: string, b: string): string => isWord(a) && isWord(b) ? " " : "";

const opens = (text: string) => text === "(" || text === "[" || text === "{";
const closes = (text: string) => text === ")" || text === "]" || text === "}";

/**
 * The place of the bracket that closes the one at `open`.
 *
 * @throws {KernelError} where there is none
 */
export function closing(tokens: readonly Token[], open: number): number {
  let depth = 0;
  for (let at = open; at < tokens.length; at++) {
    if (opens(tokens[at].text)) depth++;
    else if (closes(tokens[at].text) && --depth === 0) return at;
  }
  throw wrong(tokens[open], `nothing closes this ${tokens[open].text}`);
}

/** The place of the first of some tokens, outside of brackets, from `from` on; the end where there is none. */
export function find(tokens: readonly Token[], from: number, ...texts: readonly string[]): number {
  for (let at = from; at < tokens.length; at++) {
    if (texts.includes(tokens[at].text)) return at;
    if (opens(tokens[at].text)) at = closing(tokens, at);
  }
  return tokens.length;
}

/** Whether the tokens from `at` on are these. */
export function reads(tokens: readonly Token[], at: number, ...texts: readonly string[]): boolean {
  for (const text of texts) if (tokens[at++]?.text !== text) return false;
  return true;
}

/** A declaration of a module. */
export interface Declaration {
  /** `fn`, `struct`, `const`, `override`, `var`, `alias`; `enable`, `requires`, `diagnostic`; `import`. */
  readonly kind: string;
  readonly name: string;
  /** `// @inline` or `// @splice` above it. */
  readonly mark?: string;
  /** All of it, from its attributes to its `;` or `}`. */
  readonly tokens: readonly Token[];
}

const IMPORT = /^\/\/ @import (\w+)\.wgsl$/;

/** The declarations of a file, in order. */
export function declarations(tokens: readonly Token[]): Declaration[] {
  const made: Declaration[] = [];
  for (let first = 0; first < tokens.length;) {
    const file = IMPORT.exec(tokens[first].text)?.[1];
    if (file) {
      made.push({ kind: "import", name: file, tokens: [tokens[first++]] });
      continue;
    }
    const mark = tokens[first].text.startsWith("//") ? tokens[first++].text : undefined;
    let at = first;
    while (tokens[at]?.text === "@") at = tokens[at + 2]?.text === "(" ? closing(tokens, at + 2) + 1 : at + 2;
    const end = find(tokens, at, ";", "{"), last = tokens[end]?.text === "{" ? closing(tokens, end) : end;
    if (last >= tokens.length) throw wrong(tokens[first], "this declaration has no end");
    const name = tokens[at + 1].text === "<" ? find(tokens, at, ">") + 1 : at + 1;
    made.push({ kind: tokens[at].text, name: tokens[name].text, mark, tokens: tokens.slice(first, last + 1) });
    first = last + 1;
  }
  return made;
}
