/**
 * What a model's tokens stand for: bytes, or several of them.
 *
 * @module
 */

import { visible } from "../data.ts";

/** Bytes that leave no mark, or another than one sees. */
const NAMED: Readonly<Record<number, string>> = { 9: "tab", 10: "line end", 13: "return", 32: "space" };

const nameOfByte = (byte: number) =>
  NAMED[byte] ?? (byte > 32 && byte < 127 ? String.fromCharCode(byte) : byte < 127 ? `byte ${byte}` : `0x${byte.toString(16)}`);

/** The bytes of each token. */
export class Vocabulary {
  /** @param pieces by token; absent, each token is its byte */
  constructor(readonly pieces?: readonly Uint8Array[]) {}

  /** The bytes of tokens. */
  bytesOf(tokens: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    const { pieces } = this;
    return Uint8Array.from(pieces ? Array.from(tokens, (token) => [...pieces[token]]).flat() : tokens as ArrayLike<number>);
  }

  /** How a token is written where it stands alone; a blank at an end is a sign, since it would not be seen. */
  nameOf(token: number): string {
    const bytes = this.bytesOf([token]);
    if (bytes.length === 1) return nameOfByte(bytes[0]);
    const text = new TextDecoder().decode(bytes);
    if (text.includes("\ufffd")) return [...bytes].map(nameOfByte).join(" ");
    return visible(text.replace(/^ | $/g, "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥"));
  }

  /** Tokens in an array as small as they allow. */
  array(tokens: ArrayLike<number>): Uint8Array | Uint16Array {
    return this.pieces ? Uint16Array.from(tokens) : Uint8Array.from(tokens);
  }
}
