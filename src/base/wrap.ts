/**
 * Lines of text, for terminals and pictures.
 *
 * @module
 */

import { expect, MOST } from "./check.ts";

/**
 * A text in lines of at most so many characters, broken between words. A longer word has a line of its own.
 *
 * @param measure the length of a text, where another counts than its characters: columns, pixels
 */
export function wrapText(text: string, most: number, measure: (text: string) => number = ({ length }) => length): string[] {
  expect("Cannot wrap the text", { text: [text, "a string"], most: [most, [1, MOST]], measure: [measure, "a function"] });
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = lines.at(-1) + (lines.at(-1) ? " " : "") + word;
    if (measure(longer) > most && lines.at(-1)) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}
