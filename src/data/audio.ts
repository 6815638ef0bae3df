/**
 * Sound as tokens: WAV to one channel at 12 kHz, companded by the µ-law (section 7.4) to 256 codes in order of
 * amplitude, and back.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { ConfigError, DataError, excerpt } from "../base/errors.ts";
import { MULAW_CELLS, PCM_F32, PCM_F64, PCM_S16, PCM_S24, PCM_S32, PCM_U8 } from "../base/kernel_exports.gen.ts";
import { ByteReader, type Bytes, counted, join, type Notify, WHOLE_LIMIT } from "./reader.ts";
import { lazily, Scratch } from "./scratch.ts";

/** Samples a second, of the paper's sound and of ours unless said otherwise. */
export const SOUND_RATE = 12000;

const MU = 255;

/** The code of silence. Codes below it are negative, 128 steps to −1; those above positive, 127 steps to 1. */
export const SILENCE = 128;

const stepsOf = (x: number) => x < 0 ? SILENCE : 255 - SILENCE;

/**
 * The µ-law as a formula, before rounding: sign(x)·ln(1 + 255|x|)/ln 256 in steps from {@linkcode SILENCE}. With as
 * many steps on both sides, 256 codes would have none for 0; so one side has 127 and the other 128, and −1, 0, 1 are
 * exactly codes 0, 128, 255.
 *
 * @param x amplitude in [−1, 1]
 * @returns 0 … 255, the code where it is whole
 */
export function mulaw(x: number): number {
  expect("Cannot encode the amplitude", { x: [x, "a finite number"] });
  return SILENCE + Math.sign(x) * stepsOf(x) * Math.log1p(MU * Math.abs(x)) / Math.log1p(MU);
}

/** The amplitude of a code, or of a place between two: the inverse of {@linkcode mulaw}. */
export function mulawAmplitude(code: number): number {
  expect("Cannot decode the amplitude", { code: [code, "a finite number"] });
  const steps = code - SILENCE;
  return Math.sign(steps) * Math.expm1(Math.abs(steps) / stepsOf(steps) * Math.log1p(MU)) / MU;
}

/** Samples worked on at once: with both ends in a 256 kB cache. */
const PIECE = 32768;

/** [2 signs, cells] of border and code below it. */
function mulawCells(): ArrayBuffer {
  const cells = new ArrayBuffer(2 * MULAW_CELLS * 8), borders = new Float32Array(cells), codes = new Uint32Array(cells);
  for (const [side, sign] of [1, -1].entries()) {
    const steps = stepsOf(sign), position = (cell: number) => steps * Math.log2(2 ** (cell >> 7) * (1 + (cell & 127) / 128)) / 8;
    for (let cell = 0; cell < MULAW_CELLS; cell++) {
      // A sample belongs to the nearest code; between the cell's ends at most one border, halfway between two codes.
      const first = Math.round(position(cell)), crossed = cell < MULAW_CELLS - 1 && position(cell + 1) > first + 0.5;
      const at = 2 * (side * MULAW_CELLS + cell);
      const border = crossed ? mulawAmplitude(SILENCE + sign * (first + 0.5)) : Infinity;
      borders[at] = border;
      // The last float32 at or below it: then no sample is on the wrong side.
      if (borders[at] > border) codes[at] -= sign;
      codes[at + 1] = SILENCE + sign * first - (crossed && sign < 0 ? 1 : 0);
    }
  }
  return cells;
}

/** The kernels with the tables of the µ-law and room for a piece. */
class Companding {
  readonly #cells: number;
  readonly #values: number;
  /** Room for {@linkcode PIECE} f32. */
  readonly samples: number;
  readonly #codes: number;

  constructor(readonly scratch: Scratch) {
    const cells = mulawCells();
    this.#cells = scratch.take(cells.byteLength);
    this.#values = scratch.take(256 * 4);
    this.samples = scratch.take(PIECE * 4);
    this.#codes = scratch.take(PIECE);
    scratch.u8(this.#cells, cells.byteLength).set(new Uint8Array(cells));
    scratch.f32(this.#values, 256).forEach((_, code, values) => values[code] = mulawAmplitude(code));
  }

  static readonly create = lazily(async () => new Companding(await Scratch.create()));

  /** Codes of samples that are in WASM memory already. */
  encodeAt(samples: number, count: number, out: Uint8Array): void {
    for (let at = 0; at < count; at += PIECE) {
      const n = Math.min(PIECE, count - at);
      this.scratch.kernels.mulaw_encode(samples + at * 4, this.#codes, n, this.#cells);
      out.set(this.scratch.u8(this.#codes, n), at);
    }
  }

  encode(samples: Float32Array): Uint8Array<ArrayBuffer> {
    const codes = new Uint8Array(samples.length);
    for (let at = 0; at < samples.length; at += PIECE) {
      const n = Math.min(PIECE, samples.length - at);
      this.scratch.f32(this.samples, n).set(samples.subarray(at, at + n));
      this.encodeAt(this.samples, n, codes.subarray(at, at + n));
    }
    return codes;
  }

  decode(codes: Uint8Array): Float32Array<ArrayBuffer> {
    const samples = new Float32Array(codes.length);
    for (let at = 0; at < codes.length; at += PIECE) {
      const n = Math.min(PIECE, codes.length - at);
      this.scratch.u8(this.#codes, n).set(codes.subarray(at, at + n));
      this.scratch.kernels.mulaw_decode(this.#codes, this.samples, n, this.#values);
      samples.set(this.scratch.f32(this.samples, n), at);
    }
    return samples;
  }

  /** 16-bit samples, little-endian, to `out`. */
  pcm(samples: Float32Array, out: Uint8Array): void {
    for (let at = 0; at < samples.length; at += PIECE) {
      const n = Math.min(PIECE, samples.length - at);
      this.scratch.f32(this.samples, n).set(samples.subarray(at, at + n));
      // In place: each sample is read before its half is written.
      this.scratch.kernels.pcm_s16(n, this.samples, this.samples);
      out.set(this.scratch.u8(this.samples, n * 2), at * 2);
    }
  }
}

/**
 * Samples to codes, rounded to the nearest by {@linkcode mulaw}; those beyond ±1 become the extremes.
 *
 * @param samples in [−1, 1], none NaN
 * @example
 * ```ts
 * import { decodeMulaw, encodeMulaw } from "../../mod.ts";
 * const codes = await encodeMulaw(Float32Array.of(-1, 0, 0.01, 1));
 * console.log(codes, await decodeMulaw(codes)); // 0, 128, 157, 255
 * ```
 */
export async function encodeMulaw(samples: Float32Array): Promise<Uint8Array<ArrayBuffer>> {
  expect("Cannot encode the samples", { samples: [samples, "an array of floats"] });
  return (await Companding.create()).encode(samples);
}

/** Codes to samples in [−1, 1]. */
export async function decodeMulaw(codes: Uint8Array): Promise<Float32Array<ArrayBuffer>> {
  expect("Cannot decode the codes", { codes: [codes, "an array of bytes"] });
  return (await Companding.create()).decode(codes);
}

/**
 * Telephony's µ-law codes (G.711) in order of amplitude: the sign bit and the magnitude are stored inverted there. No
 * two codes become one, so the entropy stays. G.711 draws the logarithm in straight pieces, so what
 * {@linkcode decodeMulaw} plays is up to 9 % from its amplitudes.
 */
export function orderG711(codes: Uint8Array): Uint8Array<ArrayBuffer> {
  expect("Cannot order the codes", { codes: [codes, "an array of bytes"] });
  return Uint8Array.from(codes, (code) => code & 0x80 ? 0x80 | ~code & 0x7f : code & 0x7f);
}

/**
 * Zero crossings of the low-pass on each side of its centre: with {@linkcode BETA} it falls from 0.92 of the lower
 * Nyquist frequency (5.53 kHz at 12 kHz) to below −80 dB at that frequency. Codes of 8 bits have about 38 dB.
 */
const CROSSINGS = 64;

/** Kaiser's window for 80 dB: 0.1102 · (80 − 8.7). */
const BETA = 7.857;

/** Width of the fall, of the lower Nyquist frequency: (80 − 7.95) / (14.36 · 2 · CROSSINGS) · 2. */
const FALL = 0.0784;

/** Most numbers of a filter, 128 MiB: rates without a common divisor need one phase for each output sample a second. */
const FILTER_LIMIT = 2 ** 25;

/** Modified Bessel function of the first kind, order 0, by its series. */
function bessel(x: number): number {
  let term = 1, sum = 1;
  for (let k = 1; term > sum * 1e-17; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** Phases of a windowed sinc for a rate change by up / down: [up, taps], each phase with sum 1. */
function lowPass(up: number, down: number, name: string): { half: number; filter: Float32Array<ArrayBuffer> } {
  const stretch = Math.max(1, down / up), half = Math.ceil(CROSSINGS * stretch / 4) * 4, taps = half * 2;
  if (up * taps > FILTER_LIMIT) {
    throw new ConfigError(
      `Cannot read ${name}: to change its rate by ${up} / ${down} takes a filter of ${up * taps} numbers, at most ${FILTER_LIMIT} are ` +
        `allowed; choose rates with a common divisor (ffmpeg -i in.wav -ar 48000 out.wav)`,
    );
  }
  const filter = new Float32Array(up * taps), cutoff = (1 - FALL / 2) / stretch, scale = bessel(BETA);
  for (let phase = 0; phase < up; phase++) {
    const weights = filter.subarray(phase * taps, (phase + 1) * taps);
    let sum = 0;
    for (let j = 0; j < taps; j++) {
      const t = phase / up + half - 1 - j, u = t / half, x = Math.PI * cutoff * t;
      const weight = Math.abs(u) >= 1 ? 0 : (x === 0 ? 1 : Math.sin(x) / x) * bessel(BETA * Math.sqrt(1 - u * u)) / scale;
      weights[j] = weight;
      sum += weight;
    }
    for (let j = 0; j < taps; j++) weights[j] /= sum;
  }
  return { half, filter };
}

/** Frames that a stage takes at once. */
const FRAMES = 16384;

/** Bytes of raw frames that a stage takes at once: at least 16 of the widest there can be. */
const RAW = 2 ** 20;

/** How a file stores samples. */
export type SoundEncoding = "8-bit" | "16-bit" | "24-bit" | "32-bit" | "32-bit float" | "64-bit float";

const ENCODING: Readonly<Record<SoundEncoding, number>> = {
  "8-bit": PCM_U8,
  "16-bit": PCM_S16,
  "24-bit": PCM_S24,
  "32-bit": PCM_S32,
  "32-bit float": PCM_F32,
  "64-bit float": PCM_F64,
};

/** How loud sound is: what tells one that cannot be meant. */
export interface SoundLevels {
  /** Largest magnitude of a sample of any channel; full scale is 1. */
  readonly peak: number;
  /** Share of the frames whose mean is beyond full scale, and becomes an extreme. */
  readonly clipped: number;
  /** Share of the frames whose mean is nearer to silence than to any other code. */
  readonly silent: number;
}

/** Means below this have the code of silence. */
const HUSH = mulawAmplitude(SILENCE + 0.5);

/** Frames of a file to codes, a piece at a time, all in WASM memory: raw → mean of channels → new rate → µ-law. */
class Stage {
  readonly #companding: Companding;
  readonly #raw: number;
  readonly #mono: number;
  readonly #out: number;
  readonly #filter: number = 0;
  readonly #half: number = 0;
  readonly #up: number;
  readonly #down: number;
  /** Samples at #mono, and where in them the next output's taps begin. */
  #filled = 0;
  #at = 0;
  #phase = 0;
  #frames = 0;
  #made = 0;
  #peak = 0;
  #clipped = 0;
  #silent = 0;
  /** Sums of squares: of the means, and of all samples over the channels. */
  #mixed = 0;
  #heard = 0;

  private constructor(companding: Companding, from: number, to: number, name: string) {
    const { scratch } = companding, common = divisor(from, to);
    this.#companding = companding;
    this.#up = to / common;
    this.#down = from / common;
    this.#raw = scratch.take(RAW);
    let history = 0;
    if (from !== to) {
      const { half, filter } = lowPass(this.#up, this.#down, name);
      this.#half = half;
      this.#filter = scratch.take(filter.byteLength);
      scratch.f32(this.#filter, filter.length).set(filter);
      history = 2 * half;
    }
    this.#mono = scratch.take((FRAMES + history) * 4);
    this.#out = scratch.take((Math.ceil((FRAMES + history) * this.#up / this.#down) + 1) * 4);
    // Before the first sample there is silence; output 0 is at its place.
    this.#filled = history === 0 ? 0 : this.#half - 1;
    scratch.f32(this.#mono, this.#filled).fill(0);
  }

  /** @param name of the file, for messages */
  static async create(from: number, to: number, name: string): Promise<Stage> {
    return new Stage(new Companding(await Scratch.create()), from, to, name);
  }

  /** Takes whole frames. Answers codes, and the first frame that is not finite, if there is one. */
  push(frames: Uint8Array, encoding: SoundEncoding, channels: number, width: number): { codes: Uint8Array[]; bad?: number } {
    const { scratch } = this.#companding, { kernels } = scratch, codes: Uint8Array[] = [], wide = channels * width;
    const most = Math.min(FRAMES, Math.floor(RAW / wide)) * wide;
    for (let at = 0; at < frames.length; at += most) {
      const piece = frames.subarray(at, at + most), count = piece.length / wide;
      scratch.u8(this.#raw, piece.length).set(piece);
      const fine = kernels.pcm_mono(ENCODING[encoding], channels, count, this.#raw, this.#mono + this.#filled * 4);
      if (fine < count) return { codes, bad: this.#frames + fine };
      this.#measure(encoding, channels, count, width);
      this.#filled += count;
      this.#frames += count;
      codes.push(this.#drain(Infinity));
    }
    return { codes };
  }

  /** What the frames pushed have for levels. */
  get levels(): SoundLevels {
    return { peak: this.#peak, clipped: this.#clipped / this.#frames, silent: this.#silent / this.#frames };
  }

  /** Share of the power of its channels that their mean has, of what it would have of channels that have nothing to do with each other. */
  get mixed(): number {
    return this.#heard > 0 ? this.#mixed / this.#heard : 1;
  }

  /** Counts levels of the frames at #raw, whose means follow those of before. */
  #measure(encoding: SoundEncoding, channels: number, frames: number, width: number): void {
    const { scratch } = this.#companding, means = scratch.f32(this.#mono + this.#filled * 4, frames);
    let clipped = 0, silent = 0, mixed = 0, heard = 0, peak = this.#peak;
    for (let i = 0; i < frames; i++) {
      const mean = means[i], magnitude = Math.abs(mean);
      if (magnitude > 1) clipped++;
      if (magnitude < HUSH) silent++;
      mixed += mean * mean;
      if (magnitude > peak) peak = magnitude;
    }
    for (let at = 0, all = channels > 1 ? frames * channels : 0; at < all; at += PIECE) {
      const count = Math.min(PIECE, all - at), { samples } = this.#companding, each = scratch.f32(samples, count);
      // Taken for one channel, each sample is its own mean.
      scratch.kernels.pcm_mono(ENCODING[encoding], 1, count, this.#raw + at * width, samples);
      for (let i = 0; i < count; i++) {
        const x = each[i], magnitude = Math.abs(x);
        heard += x * x;
        if (magnitude > peak) peak = magnitude;
      }
    }
    this.#clipped += clipped;
    this.#silent += silent;
    this.#peak = peak;
    this.#mixed += mixed * channels;
    this.#heard += channels > 1 ? heard / channels : mixed;
  }

  /** What is held back until the taps of its last samples are known: silence. */
  end(): Uint8Array[] {
    const { scratch } = this.#companding, codes: Uint8Array[] = [];
    for (let all = Math.ceil(this.#frames * this.#up / this.#down), left = this.#half; this.#half > 0 && this.#made < all;) {
      const count = Math.min(FRAMES, left);
      scratch.f32(this.#mono + this.#filled * 4, count).fill(0);
      this.#filled += count;
      left -= count;
      codes.push(this.#drain(all));
    }
    return codes;
  }

  /** Codes of what is there, up to `all` in the whole. */
  #drain(all: number): Uint8Array {
    const { scratch } = this.#companding, taps = this.#half * 2;
    let from = this.#mono, count = this.#filled;
    if (taps === 0) this.#filled = 0;
    else {
      // Outputs whose taps end at #filled or before.
      const room = this.#filled - taps - this.#at;
      count = room < 0 ? 0 : Math.min(all - this.#made, Math.ceil(((room + 1) * this.#up - this.#phase) / this.#down));
      scratch.kernels.resample(this.#mono, this.#at, this.#phase, count, this.#up, this.#down, this.#filter, taps, this.#out);
      from = this.#out;
      const moved = this.#phase + count * this.#down, samples = scratch.f32(this.#mono, this.#filled);
      this.#at += Math.floor(moved / this.#up);
      this.#phase = moved % this.#up;
      samples.copyWithin(0, this.#at);
      this.#filled -= this.#at;
      this.#at = 0;
    }
    const codes = new Uint8Array(count);
    this.#companding.encodeAt(from, count, codes);
    this.#made += count;
    return codes;
  }
}

/** What a WAV file says of its samples. */
export interface WavFormat {
  /** How each sample is stored. */
  readonly encoding: SoundEncoding;
  /** Samples a frame. */
  readonly channels: number;
  /** Frames a second. */
  readonly rate: number;
}

/** Sound as tokens. */
export interface Sound {
  /** One code a sample. */
  readonly codes: Uint8Array;
  /** Samples a second. */
  readonly rate: number;
  /** What it was made from. */
  readonly from: WavFormat;
  /** How loud it was. */
  readonly levels: SoundLevels;
}

/** Codecs that files are met with, so that the message can name them. */
const CODECS: Readonly<Record<number, string>> = {
  2: "Microsoft ADPCM",
  6: "G.711 A-law",
  7: "G.711 µ-law",
  0x11: "IMA ADPCM",
  0x31: "GSM 6.10",
  0x50: "MPEG",
  0x55: "MP3",
  0xf1ac: "FLAC",
};

/** The rest of the identifier of an extensible format, whose first two bytes are the codec. */
const SUBFORMAT = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

const CONVERT = "convert it first: ffmpeg -i in.wav -c:a pcm_s16le out.wav";

/**
 * What recorders and pipes leave where the length was not known is 0, or from here on: sox writes 0x7ffff000, others 0x7fffffff,
 * 0xffffffff, or that less a header.
 */
const UNKNOWN_LENGTH = 0x7ffff000;

/** Most that a length of 32 bits says. */
const LENGTH_LIMIT = 0xffffffff;

/** {@linkcode WavFormat} with bytes a sample, and bits of them that hold nothing. */
interface Layout extends WavFormat {
  readonly width: number;
  readonly spare: number;
}

function wavFormat(chunk: Uint8Array, name: string, offset: number): Layout {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const fail = (at: number, what: string): never => {
    throw new DataError(`Cannot read ${name}: its format at byte ${offset + at} ${what}; ${CONVERT}`);
  };
  const [tag, channels] = [0, 2].map((at) => view.getUint16(at, true)), rate = view.getUint32(4, true);
  const [frame, bits] = [12, 14].map((at) => view.getUint16(at, true));
  let codec = tag;
  if (tag === 0xfffe) {
    if (chunk.length < 40) fail(0, `is extensible, which takes 40 bytes, and has ${chunk.length}`);
    if (SUBFORMAT.some((byte, i) => chunk[26 + i] !== byte)) fail(24, "is extensible with a codec that is not a registered one");
    codec = view.getUint16(24, true);
  }
  const width = frame / channels;
  // Fewer bits than the bytes have are their upper ones.
  const encoding = codec === 1 && bits > 0 && width * 8 >= bits
    ? ({ 1: "8-bit", 2: "16-bit", 3: "24-bit", 4: "32-bit" } as const)[width]
    : codec === 3 && width * 8 === bits
    ? ({ 4: "32-bit float", 8: "64-bit float" } as const)[width]
    : undefined;
  if (codec !== 1 && codec !== 3) {
    fail(0, `is codec ${codec} (${CODECS[codec] ?? "unknown"}), known are 1 (PCM of 8, 16, 24, 32 bits) and 3 (float of 32, 64 bits)`);
  }
  if (channels === 0) fail(2, "has 0 channels, there must be at least 1");
  if (!encoding) {
    fail(
      12,
      `has ${bits} bits a sample in frames of ${frame} bytes and ${channels} channels; known are PCM of 8, 16, 24, 32 bits, float of 32, 64`,
    );
  }
  if (rate < 1000 || rate > 384000) fail(4, `has ${rate} frames a second, it must be from 1000 to 384000`);
  return { encoding: encoding!, channels, rate, width, spare: codec === 1 ? width * 8 - bits : 0 };
}

const fourCharacters = (bytes: Uint8Array) => String.fromCharCode(...bytes.subarray(0, 4));

/** Whether a chunk may begin with these bytes. */
const isChunk = (bytes: Uint8Array) => /^[A-Za-z_][\w ]{3}$/.test(fourCharacters(bytes));

/** Whether bytes behind the samples, or what may be samples, are a chunk that is known: of sound one in 250 looks like the name of some chunk. */
const isKnownChunk = (bytes: Uint8Array) =>
  /^(LIST|fact|PEAK|bext|iXML|axml|chna|cue |smpl|inst|plst|acid|JUNK|PAD |FLLR|id3 |_PMX|afsp)$/i.test(fourCharacters(bytes));

/** Passes over the byte behind a chunk of odd length, which some writers leave out. */
async function skipPadding(reader: ByteReader, length: number): Promise<void> {
  if (length % 2 === 0) return;
  const next = await reader.peek(5);
  if (next.length > 0 && (next[0] === 0 || !isChunk(next) || isChunk(next.subarray(1)))) await reader.skip(1, "padding");
}

/**
 * Reads a WAV file of any length, in memory for its codes alone: PCM of 8, 16, 24, 32 bits or float of 32, 64, plain,
 * extensible, RF64 or BW64; the mean of its channels, at another rate by a Kaiser-windowed sinc, as µ-law codes. A length that was never
 * filled in is the file's; a part of a frame at the end, and bytes behind the end, are left out.
 *
 * @param file its bytes, whole or in pieces
 * @param name of the file, for messages
 * @param rate samples a second wanted, from 1,000 to 384,000
 * @param notify is told of lengths that were not believed, of what was left out, and of sound that is partly clipped or cancels in part
 * @throws {DataError} with the offset, where it is not WAV, cut short, of another codec, empty, or has a sample that is not finite; where
 * more than half of what sounds is beyond full scale, or the channels cancel each other
 * @throws {ConfigError} where the rate is out of range, or has too few divisors in common with the file's
 */
export function decodeWav(file: Bytes, name: string, rate: number = SOUND_RATE, notify?: Notify): Promise<Sound> {
  expect("Cannot read WAV", { file: [file, "an object"], name: [name, "a string"] });
  return readWav(new ByteReader(file, name), rate, notify);
}

/** {@linkcode decodeWav} of a file of which nothing has been read yet. */
export async function readWav(reader: ByteReader, rate: number, notify: Notify = () => {}): Promise<Sound> {
  const { name } = reader;
  if (!Number.isInteger(rate) || rate < 1000 || rate > 384000) {
    throw new ConfigError(
      `Cannot read ${name}: the rate must be a whole number from 1000 to 384000 samples a second, current value is ${rate}`,
    );
  }
  const fail = (what: string): never => {
    throw new DataError(`Cannot read ${name}: ${what}`);
  };
  const head = await reader.read(12, "the header of a WAV file"), kind = fourCharacters(head), long = kind === "RF64" || kind === "BW64";
  if ((kind !== "RIFF" && !long) || fourCharacters(head.subarray(8)) !== "WAVE") {
    fail(
      `a WAV file begins with RIFF, RF64 or BW64 and has WAVE at byte 8, found ${excerpt(kind)} and ${
        excerpt(fourCharacters(head.subarray(8)))
      }` +
        (kind === "RIFX" ? `: big-endian; ${CONVERT}` : ""),
    );
  }
  const lengthAt = (bytes: Uint8Array, at: number) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
  // Of all of the file and of its data.
  let all = lengthAt(head, 4), wide: number | undefined, format: Layout | undefined;
  for (;;) {
    const at = reader.offset;
    if ((await reader.peek(1)).length === 0) fail(`it ends at byte ${at} without a data chunk`);
    const header = await reader.read(8, "a chunk's header"), id = fourCharacters(header), length = lengthAt(header, 4);
    if (id === "fmt ") {
      if (length < 16 || length > 4096) fail(`its format at byte ${at} has ${length} bytes, it must have 16 to 4096`);
      format = wavFormat(await reader.read(length, "the format"), name, at + 8);
    } else if (id === "ds64" && long) {
      if (length < 28 || length > 4096) fail(`its 64-bit lengths at byte ${at} have ${length} bytes, they must have 28 to 4096`);
      const sizes = await reader.read(length, "the 64-bit lengths"), view = new DataView(sizes.buffer, sizes.byteOffset);
      [all, wide] = [0, 8].map((field) => Number(view.getBigUint64(field, true)));
    } else if (id === "data") {
      if (!format) return fail(`its data chunk at byte ${at} comes before its format`);
      const said = length === LENGTH_LIMIT && wide !== undefined ? wide : length;
      // Nothing, where the whole file is said to end here too, or no chunk follows.
      const next = said === 0 ? await reader.peek(4) : new Uint8Array();
      const none = next.length > 0 && (all <= at || all >= UNKNOWN_LENGTH || !isKnownChunk(next));
      // Files of 4 GiB and more have true lengths of 64 bits.
      const open = none || said >= (wide === undefined ? UNKNOWN_LENGTH : 2 ** 62);
      return {
        ...await samples(reader, format, { said, open }, rate, notify),
        rate,
        from: { encoding: format.encoding, channels: format.channels, rate: format.rate },
      };
    } else await reader.skip(length, `chunk ${excerpt(id)}`);
    await skipPadding(reader, length);
  }
}

/** The data chunk: as many bytes as it is said to have; where those may not have been filled in, all that are there. */
async function samples(
  reader: ByteReader,
  format: Layout,
  { said, open }: { said: number; open: boolean },
  rate: number,
  notify: Notify,
): Promise<{ codes: Uint8Array; levels: SoundLevels }> {
  const { encoding, channels, width } = format, frame = channels * width, start = reader.offset, { name } = reader;
  const stage = await Stage.create(format.rate, rate, name), codes: Uint8Array[] = [];
  let count = 0, found = 0, ended = false;
  const keep = (made: readonly Uint8Array[]) => {
    for (const piece of made) {
      count += piece.length;
      if (count > WHOLE_LIMIT) throw new DataError(`Cannot read ${name}: it makes more than ${WHOLE_LIMIT} samples; give a part of it`);
      codes.push(piece);
    }
  };
  for (let left = !open ? said : said < UNKNOWN_LENGTH ? Infinity : said - said % frame; left > 0 && !ended;) {
    // A piece may end inside a frame.
    let piece = await reader.some(Math.min(left, RAW));
    if (piece.length % frame !== 0 && piece.length < left) {
      piece = join([piece, await reader.upTo(Math.min(left - piece.length, frame - piece.length % frame))]);
    }
    found += piece.length;
    left -= piece.length;
    ended = piece.length === 0 || piece.length % frame !== 0;
    if (left === 0 && open) {
      // A length that looks never filled in may be true, and then a chunk follows.
      const next = await reader.peek(4);
      if (next.length > 0 && !isKnownChunk(next)) left = Infinity;
    }
    const made = stage.push(piece.subarray(0, piece.length - piece.length % frame), encoding, channels, width);
    if (made.bad !== undefined) {
      throw new DataError(`Cannot read ${name}: the frame at byte ${start + made.bad * frame} is not finite; the file is damaged`);
    }
    keep(made.codes);
  }
  // Whole frames may be all there where not even the last, partial one is.
  if (found < said && !open && Math.floor(said / frame) > Math.floor(found / frame)) {
    throw new DataError(
      `Cannot read ${name}: cut short, its data chunk at byte ${start} has ${said} bytes, the file ends after ${found} of them`,
    );
  }
  keep(stage.end());
  if (count === 0) throw new DataError(`Cannot read ${name}: its data chunk at byte ${start} is empty`);
  if (ended && found !== said) notify(name, `its data chunk says ${said} bytes; all ${found} up to the end of the file were read`);
  if (found % frame !== 0) {
    notify(name, `the last ${counted(found % frame, "byte")} of its samples are no whole frame of ${frame} and were left out`);
  }
  if (!ended || found === said) {
    await skipPadding(reader, said);
    // Whole chunks may follow, as notes on the sound.
    let at = reader.offset;
    for (;;) {
      const next = await reader.peek(8), length = next.length === 8 ? new DataView(next.buffer, next.byteOffset).getUint32(4, true) : 0;
      if (next.length < 8 || !isChunk(next) || fourCharacters(next) === "data") break;
      for (let left = 8 + length, piece; left > 0; left -= piece) if ((piece = (await reader.some(left)).length) === 0) break;
      if (reader.offset < at + 8 + length) break;
      await skipPadding(reader, length);
      at = reader.offset;
    }
    await reader.count();
    const rest = reader.offset - at;
    if (rest > 0) notify(name, `${counted(rest, "byte")} behind its samples, at byte ${at}, were left out`);
  }
  const { levels, mixed } = stage;
  tellLevels(levels, mixed, channels, name, notify);
  if (format.spare >= 8 && levels.peak > 0 && levels.peak < 2 ** -format.spare) {
    notify(name, `the upper ${format.spare} bits of its samples, taken for the loudest, hold nothing: they may be meant as the lower ones`);
  }
  return { codes: join(codes), levels };
}

/** Share of full scale, or of all, with as many digits as tell something. */
const percent = (share: number) => `${Number((100 * share).toPrecision(2))} %`;

/** Numbers of 16, 24 and 32 bits that were written as float end here. */
const INTEGERS = [2 ** 15, 2 ** 23, 2 ** 31];

/** Tells sound that can hardly be meant, and refuses what cannot. */
function tellLevels({ peak, clipped, silent }: SoundLevels, mixed: number, channels: number, name: string, notify: Notify): void {
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

/**
 * A WAV file: 16 bits, one channel.
 *
 * @param sound µ-law codes, or samples in [−1, 1], which are cut there
 * @param rate samples a second
 * @throws {DataError} where it is longer than a WAV file can say, 4 GiB
 */
export async function encodeWav(sound: Uint8Array | Float32Array, rate: number = SOUND_RATE): Promise<Uint8Array<ArrayBuffer>> {
  expect("Cannot write WAV", { sound: [sound, "a typed array"], rate: [rate, [1, MOST]] });
  const bytes = sound.length * 2;
  if (36 + bytes > LENGTH_LIMIT) {
    throw new DataError(`Cannot write WAV: ${sound.length} samples of 2 bytes do not fit in its 4 GiB; write parts`);
  }
  const companding = await Companding.create(), file = new Uint8Array(44 + bytes), view = new DataView(file.buffer);
  const text = (at: number, four: string) => file.set(new TextEncoder().encode(four), at);
  text(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, bytes, true);
  for (let at = 0; at < sound.length; at += PIECE) {
    const piece = sound.subarray(at, at + PIECE);
    companding.pcm(piece instanceof Uint8Array ? companding.decode(piece) : piece, file.subarray(44 + at * 2));
  }
  return file;
}
