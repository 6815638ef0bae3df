/**
 * Text: prompts to bytes, bytes to characters that a terminal can show.
 *
 * @module
 */

import { expect } from "../base/check.ts";

/** Tokens of data: its bytes, or those that a tokenizer makes of them. */
export type TokenArray = Uint8Array | Uint16Array;

/** How bytes are written as tokens, and read again. */
export interface Codec {
  /** Number of different tokens. */
  readonly size: number;
  /** Tokens of bytes. */
  encode(bytes: Uint8Array): Promise<TokenArray>;
  /** The bytes of tokens. */
  decode(tokens: ArrayLike<number>): Uint8Array<ArrayBuffer>;
}

/** Each byte a token, for models without a tokenizer. */
export const BYTES: Codec = {
  size: 256,
  encode: (bytes) => Promise.resolve(bytes),
  decode: (tokens) => Uint8Array.from(tokens),
};

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

/** Signs for characters that leave no mark. */
const SIGNS: Readonly<Record<string, string>> = { " ": "␣", "\n": "↵", "\t": "⇥" };

/**
 * What stands for each byte of a text: its character at the first of that one's bytes, nothing at the others; signs for blanks and
 * controls; � for a byte that is not UTF-8.
 */
export function byteLabels(bytes: Uint8Array): string[] {
  expect("Cannot label the bytes", { bytes: [bytes, "an array of bytes"] });
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true }), labels: string[] = [];
  while (labels.length < bytes.length) {
    const at = labels.length, first = bytes[at], length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    const character = decoder.decode(bytes.subarray(at, at + length)), isOne = [...character].length === 1 && !character.includes("\ufffd");
    labels.push(isOne ? SIGNS[character] ?? visible(character) : "\ufffd", ...isOne ? Array(length - 1).fill("") : []);
  }
  return labels;
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
