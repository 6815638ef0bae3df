/**
 * Text for people: prompts to bytes, and bytes to characters that a terminal can show.
 *
 * @module
 */

import { expect, MOST } from "../check.ts";

/** The bytes of a text, UTF-8. */
export function encodeText(text: string): Uint8Array<ArrayBuffer> {
  expect("Cannot encode the text", { text: [text, "a string"] });
  return new TextEncoder().encode(text);
}

/**
 * Characters that act on a terminal instead of showing: controls but tab and line feed (escape sequences begin with
 * one), and those that turn the direction of writing or hide what follows.
 */
// deno-lint-ignore no-control-regex
const ACTING = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** The text with every character that would act on a terminal replaced by a picture of it (␛ for escape), or by �. */
export function visible(text: string): string {
  expect("Cannot show the text", { text: [text, "a string"] });
  return text.replace(ACTING, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? "\u2421" : "\ufffd";
  });
}

/** Turns bytes into text as they come: a character split over two pieces is held back until it is whole. */
export class TextStream {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  /** The text that these bytes complete, made {@linkcode visible}; bytes that are not UTF-8 become �. */
  push(bytes: Uint8Array): string {
    expect("Cannot decode text", { bytes: [bytes, "an array of bytes"] });
    return visible(this.#decoder.decode(bytes, { stream: true }));
  }

  /** What was held back: a last � where a character was cut off. */
  end(): string {
    return visible(this.#decoder.decode());
  }
}

/** The text as XML or HTML shows it, between tags or in quotes. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&${{ "&": "amp", "<": "lt", ">": "gt", '"': "quot" }[c]};`);
}

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
