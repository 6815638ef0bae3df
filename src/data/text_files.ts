/**
 * Whether a file's bytes are text at all, and in which encoding.
 *
 * @module
 */

import { join } from "./reader.ts";
import { encodeText } from "./text.ts";

/** Bytes by which text is known. */
export const TEXT_HEAD = 65536;

/** Whether bytes read as text: no zero, and hardly a control character, in the first 64 kB. */
export function isText(bytes: Uint8Array): boolean {
  let controls = 0;
  const head = bytes.subarray(0, TEXT_HEAD);
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
  const [a, b] = bytes, head = bytes.subarray(0, TEXT_HEAD), half = (side: number) => head.filter((_, i) => i % 2 === side);
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
