/**
 * Generated images and sounds as files.
 *
 * @module
 */

import { encodePng, encodeWav, type ImageShape, SILENCE } from "../data.ts";
import { contactSheet } from "../pictures.ts";

/** Silence between sounds, in seconds. */
const PAUSE = 0.25;

/** A PNG sheet of images, first row first. */
export function imagesFile(rows: readonly Uint8Array[], shape: ImageShape, columns?: number): Uint8Array {
  return encodePng(contactSheet(Uint8Array.from(rows.flatMap((row) => [...row])), shape, columns));
}

/** A WAV file of sounds one after another, a short silence between. */
export async function soundFile(rows: readonly Uint8Array[], rate: number): Promise<Uint8Array> {
  const silence = Array.from({ length: Math.round(rate * PAUSE) }, () => SILENCE);
  return await encodeWav(Uint8Array.from(rows.flatMap((row, at) => at === 0 ? [...row] : [...silence, ...row])), rate);
}

/**
 * Sequences made side by side, each after its prompt.
 *
 * @param stream the tokens of each position that is not of a prompt
 * @param prompts one per sequence, all of the same length
 * @param told after each position, how many there are; false ends it there
 * @returns [sequences] of `length` tokens, prompts included, and how many of each were made or given: fewer where `told` said no
 */
export async function rowsOf(
  stream: AsyncIterable<Uint32Array>,
  prompts: readonly ArrayLike<number>[],
  length: number,
  told: (positions: number) => boolean,
): Promise<{ readonly rows: Uint8Array[]; readonly made: number }> {
  const rows = prompts.map((prompt) => {
    const row = new Uint8Array(length);
    row.set(prompt);
    return row;
  });
  let at = prompts[0].length;
  for await (const tokens of stream) {
    tokens.forEach((token, which) => rows[which][at] = token);
    if (!told(++at)) break;
    // Lets signals through.
    if (at % 64 === 0) await new Promise((resume) => setTimeout(resume, 0));
  }
  return { rows, made: at };
}
