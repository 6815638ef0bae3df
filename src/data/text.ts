/**
 * Text: prompts to bytes, bytes to characters that a terminal can show, and whether bytes are text at all.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { join } from "./reader.ts";

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

/** Whether bytes read as text: no zero, and hardly a control character, in the first 64 kB. */
export function isText(bytes: Uint8Array): boolean {
  let controls = 0;
  const head = bytes.subarray(0, 65536);
  for (const byte of head) {
    if (byte === 0) return false;
    if (byte < 32 && byte !== 9 && byte !== 10 && byte !== 13 && byte !== 12 && byte !== 27) controls++;
  }
  return controls <= head.length / 200;
}

/**
 * Text that is written in 16 bits per character, as UTF-8.
 *
 * @returns undefined where it is none: it has no byte order mark, and its bytes are not by turns zero and text
 */
export function fromUtf16(bytes: Uint8Array): { text: Uint8Array<ArrayBuffer>; how: string; lost: number } | undefined {
  const [a, b] = bytes, head = bytes.subarray(0, 65536 & ~1), half = (side: number) => head.filter((_, i) => i % 2 === side);
  const bare = bytes.length % 2 === 0 && bytes.length > 16 && (a === 0) !== (b === 0);
  const big = a === 0xfe && b === 0xff || bare && a === 0;
  // Latin letters have one half zero; of other scripts a mark alone tells.
  if (!(a + b === 0x1fd && a !== b) && !(bare && half(big ? 0 : 1).every((byte) => byte === 0) && isText(half(big ? 1 : 0)))) {
    return undefined;
  }
  const decoder = new TextDecoder(big ? "utf-16be" : "utf-16le"), parts: Uint8Array[] = [];
  let lost = 0;
  // In pieces: a string holds no more than 2²⁹ characters.
  for (let at = 0; at < bytes.length; at += 2 ** 20) {
    const text = decoder.decode(bytes.subarray(at, at + 2 ** 20), { stream: at + 2 ** 20 < bytes.length });
    lost += text.split("\ufffd").length - 1;
    parts.push(encodeText(text));
  }
  return { text: join(parts), how: `UTF-16 of ${big ? "big" : "little"} ends`, lost };
}
