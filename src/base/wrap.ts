/**
 * Lines of text, for terminals and pictures.
 *
 * @module
 */

import { expect, MOST } from "./check.ts";

/** A text in lines of at most so many characters, broken between words. */
export function wrapText(text: string, most: number): string[] {
  expect("Cannot wrap the text", { text: [text, "a string"], most: [most, [1, MOST]] });
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = lines.at(-1) + (lines.at(-1) ? " " : "") + word;
    if (longer.length > most && lines.at(-1)) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}
