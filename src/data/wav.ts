/**
 * WAV files.
 *
 * RIFF: Microsoft and IBM, “Multimedia Programming Interface and Data Specifications 1.0”, 1991,
 * https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html; lengths of 64 bits: RF64, EBU Tech 3306, and BW64, ITU-R BS.2088.
 *
 * @module
 */

import { expect, inWords, MOST, wrongOf } from "../base/check.ts";
import { DataError, excerpt } from "../base/errors.ts";
import { Companding, PIECE } from "./mulaw.ts";
import { counted, type Notify } from "./notices.ts";
import { RAW, Stage } from "./pcm.ts";
import { ByteReader, type Bytes, join, WHOLE_LIMIT } from "./reader.ts";
import { FRAME_RATES, type Sound, SOUND_RATE, type SoundLevels, tellLevels, type WavFormat } from "./sound.ts";

/** Codecs that are read, and the tag of a format that names its codec further on. */
const WAVE_FORMAT_PCM = 1, WAVE_FORMAT_IEEE_FLOAT = 3, WAVE_FORMAT_EXTENSIBLE = 0xfffe;

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

/** {@linkcode WavFormat} with bytes per sample, and bits of them that hold nothing. */
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
  if (tag === WAVE_FORMAT_EXTENSIBLE) {
    if (chunk.length < 40) fail(0, `is extensible, which takes 40 bytes, and has ${chunk.length}`);
    if (SUBFORMAT.some((byte, i) => chunk[26 + i] !== byte)) fail(24, "is extensible with a codec that is not a registered one");
    codec = view.getUint16(24, true);
  }
  const width = frame / channels;
  // Fewer bits than the bytes have are their upper ones.
  const encoding = codec === WAVE_FORMAT_PCM && bits > 0 && width * 8 >= bits
    ? ({ 1: "8-bit", 2: "16-bit", 3: "24-bit", 4: "32-bit" } as const)[width]
    : codec === WAVE_FORMAT_IEEE_FLOAT && width * 8 === bits
    ? ({ 4: "32-bit float", 8: "64-bit float" } as const)[width]
    : undefined;
  if (codec !== WAVE_FORMAT_PCM && codec !== WAVE_FORMAT_IEEE_FLOAT) {
    fail(0, `is codec ${codec} (${CODECS[codec] ?? "unknown"}), known are 1 (PCM of 8, 16, 24, 32 bits) and 3 (float of 32, 64 bits)`);
  }
  if (channels === 0) fail(2, "has 0 channels, there must be at least 1");
  if (!encoding) {
    fail(
      12,
      `has ${bits} bits per sample in frames of ${frame} bytes and ${channels} channels; known are PCM of 8, 16, 24, 32 bits, float of 32, 64`,
    );
  }
  if (wrongOf("", rate, FRAME_RATES)) fail(4, `has ${rate} frames per second, it must be ${inWords(FRAME_RATES)}`);
  return { encoding: encoding!, channels, rate, width, spare: codec === WAVE_FORMAT_PCM ? width * 8 - bits : 0 };
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
 * @param rate samples per second wanted, from 1,000 to 384,000
 * @param notify is told of lengths that were not believed, of what was left out, and of sound that is partly clipped or cancels in part
 * @throws {DataError} with the offset, where it is not WAV, cut short, of another codec, empty, or has a sample that is not finite; where
 * more than half of what sounds is beyond full scale, or the channels cancel each other
 * @throws {ConfigError} where the rate is out of range, or has too few divisors in common with the file's
 */
export function decodeWav(file: Bytes, name: string, rate: number = SOUND_RATE, notify?: Notify): Promise<Sound> {
  expect("Cannot read WAV", { file: [file, "an object"], name: [name, "a string"] });
  return readWav(new ByteReader(file, name), rate, notify);
}

/**
 * {@linkcode decodeWav} of a file of which nothing has been read yet.
 *
 * @param take is given the codes in pieces as they are made, however many; `codes` then has none
 */
export async function readWav(
  reader: ByteReader,
  rate: number,
  notify: Notify = () => {},
  take?: (codes: Uint8Array) => Promise<void>,
): Promise<Sound> {
  const { name } = reader;
  expect(`Cannot read ${name}`, { "the rate": [rate, FRAME_RATES] });
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
        ...await samples(reader, format, { said, open }, rate, notify, take),
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
  take?: (codes: Uint8Array) => Promise<void>,
): Promise<{ codes: Uint8Array; levels: SoundLevels }> {
  const { encoding, channels, width } = format, frame = channels * width, start = reader.offset, { name } = reader;
  const stage = await Stage.create(format.rate, rate, name), codes: Uint8Array[] = [];
  let count = 0, found = 0, ended = false;
  const keep = async (made: readonly Uint8Array[]) => {
    for (const piece of made) {
      count += piece.length;
      if (take) {
        await take(piece);
        continue;
      }
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
    await keep(made.codes);
  }
  // Whole frames may be all there where not even the last, partial one is.
  if (found < said && !open && Math.floor(said / frame) > Math.floor(found / frame)) {
    throw new DataError(
      `Cannot read ${name}: cut short, its data chunk at byte ${start} has ${said} bytes, the file ends after ${found} of them`,
    );
  }
  await keep(stage.end());
  if (count === 0) throw new DataError(`Cannot read ${name}: its data chunk at byte ${start} is empty`);
  if (ended && found !== said) notify(name, `its data chunk says ${said} bytes; all ${found} up to the end of the file were read`);
  if (found % frame !== 0) {
    notify(name, `the last ${counted(found % frame, "byte")} of its samples are no whole frame of ${frame} and were left out`);
  }
  if (!ended || found === said) await skipRest(reader, said, notify);
  const { levels, mixed } = stage;
  tellLevels(levels, mixed, channels, name, notify);
  if (format.spare >= 8 && levels.peak > 0 && levels.peak < 2 ** -format.spare) {
    notify(name, `the upper ${format.spare} bits of its samples, taken for the loudest, hold nothing: they may be meant as the lower ones`);
  }
  return { codes: join(codes), levels };
}

/** Passes over what follows `said` bytes of samples: whole chunks, as notes on the sound; tells of what else there is. */
async function skipRest(reader: ByteReader, said: number, notify: Notify): Promise<void> {
  await skipPadding(reader, said);
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
  if (rest > 0) notify(reader.name, `${counted(rest, "byte")} behind its samples, at byte ${at}, were left out`);
}

/**
 * A WAV file: 16 bits, one channel.
 *
 * @param sound µ-law codes, or samples in [−1, 1], which are cut there
 * @param rate samples per second
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
  view.setUint16(20, WAVE_FORMAT_PCM, true);
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
