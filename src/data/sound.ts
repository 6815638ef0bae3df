/**
 * Sound as tokens: what was read, and how loud it was.
 *
 * @module
 */

import { type NumberRange, whole } from "../base/check.ts";
import { DataError } from "../base/errors.ts";
import type { Notify } from "./notices.ts";

/** Samples per second, of the paper's sound and of ours unless said otherwise. */
export const SOUND_RATE = 12000;

/** Rates that are read and made. */
export const FRAME_RATES: NumberRange = whole(1000, 384_000);

/** How a file stores samples. */
export type SoundEncoding = "8-bit" | "16-bit" | "24-bit" | "32-bit" | "32-bit float" | "64-bit float";

/** What a WAV file says of its samples. */
export interface WavFormat {
  /** How each sample is stored. */
  readonly encoding: SoundEncoding;
  /** Samples per frame. */
  readonly channels: number;
  /** Frames per second. */
  readonly rate: number;
}

/** How loud sound is: what tells one that cannot be meant. */
export interface SoundLevels {
  /** Largest magnitude of a sample of any channel; full scale is 1. */
  readonly peak: number;
  /** Share of the frames whose mean is beyond full scale, and becomes an extreme. */
  readonly clipped: number;
  /** Share of the frames whose mean is nearer to silence than to any other code. */
  readonly silent: number;
}

/** Sound as tokens. */
export interface Sound {
  /** One code per sample. */
  readonly codes: Uint8Array;
  /** Samples per second. */
  readonly rate: number;
  /** What it was made from. */
  readonly from: WavFormat;
  /** How loud it was. */
  readonly levels: SoundLevels;
}

/** Share of full scale, or of all, with as many digits as tell something. */
const percent = (share: number) => `${Number((100 * share).toPrecision(2))} %`;

/** Numbers of 16, 24 and 32 bits that were written as float end here. */
const INTEGERS = [2 ** 15, 2 ** 23, 2 ** 31];

/** Tells sound that can hardly be meant, and refuses what cannot. */
export function tellLevels({ peak, clipped, silent }: SoundLevels, mixed: number, channels: number, name: string, notify: Notify): void {
  const much = Number(peak.toPrecision(3));
  if (clipped > 0.5 * (1 - silent)) {
    // Rounded up, so that nothing is beyond full scale then.
    const factor = (peak > 128 ? INTEGERS.find((full) => peak <= full) : undefined) ?? Number((peak * 1.005).toPrecision(3));
    throw new DataError(
      `Cannot read ${name}: ${percent(clipped)} of it is beyond full scale, its peak is ${much}; divide its samples by ${factor}: ` +
        `ffmpeg -i in.wav -af volume=1/${factor} out.wav`,
    );
  }
  if (clipped > 0) notify(name, `${percent(clipped)} of it is beyond full scale and was cut there, its peak is ${much}`);
  // 20 dB below what channels have that are not alike at all, and 10.
  if (mixed < 0.01) {
    throw new DataError(
      `Cannot read ${name}: its ${channels} channels cancel each other, their mean has ${percent(mixed)} of their power; ` +
        `give one of them: ffmpeg -i in.wav -af pan=mono\|c0=c0 out.wav`,
    );
  }
  if (mixed < 0.1) notify(name, `its ${channels} channels cancel each other in part: their mean has ${percent(mixed)} of their power`);
  if (silent === 1) notify(name, `it is silence from beginning to end`);
}
