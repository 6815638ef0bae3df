/**
 * The pass of the build that leaves out what only people and editors read. Nothing that runs imports it.
 *
 * @module
 */

import { closing, gap, reads, type Token, tokenise, wrong } from "./tokens.ts";

/** Directives that the other passes know. */
const KNOWN = /^\/\/ @(import \w+\.wgsl|inline|splice)$/;

/** Directives of generation alone. */
export const VALUES = "// @values", LATE = "// @late", LATE_MATRICES = "// @late matrices", LATE_APART = "// @late apart";

const isForGeneration = (text: string) => text === VALUES || text.startsWith(LATE);

/**
 * Strip: a file's tokens without the numbers of bindings, which are counted again, and without directives of generation alone.
 *
 * @throws {KernelError} where a directive is unknown
 */
export function strip(text: string, file: string): Token[] {
  const tokens = tokenise(text, file), kept: Token[] = [];
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at];
    if (reads(tokens, at, "@", "group") || reads(tokens, at, "@", "binding")) at = closing(tokens, at + 2);
    else if (!isForGeneration(token.text)) kept.push(token);
    if (token.text.startsWith("//") && !isForGeneration(token.text) && !KNOWN.test(token.text)) {
      throw wrong(token, `there is no directive ${token.text.slice(3)}`);
    }
  }
  return kept;
}

// Lines without a token up to which it is shorter to leave them than to say where the next one is.
const NEAR = 12;

/**
 * The shortest text that is these tokens again, each with its file and line: lines stay where they are, and `// @at FILE LINE` says it where
 * they jump.
 *
 * @throws {KernelError} where two signs would become one
 */
export function pack(tokens: readonly Token[], name: string): string {
  let text = "", file = name, line = 1, last: Token | undefined;
  for (const token of tokens) {
    const isDirective = token.text.startsWith("//");
    if (token.file !== file || token.line < line || token.line > line + NEAR || (isDirective && last && token.line === line)) {
      text += `${last ? "\n" : ""}// @at ${token.file} ${token.line}\n`;
    } else if (token.line > line) text += "\n".repeat(token.line - line);
    else if (last) text += gap(last.text, token.text);
    text += token.text;
    [file, line, last] = [token.file, token.line, token];
  }
  const again = tokenise(text, name);
  tokens.forEach((token, at) => {
    const { text, file, line } = again[at] ?? {};
    if (text !== token.text || file !== token.file || line !== token.line) {
      throw wrong(token, `without the space before it, ${token.text} would be another sign`);
    }
  });
  return text + "\n";
}
