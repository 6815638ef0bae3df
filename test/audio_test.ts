/**
 * Sound: µ-law, WAV, rates and waveforms.
 *
 * Plan. µ-law and G.711 against their formulas at every code; files of every codec against what was put in; rate changes against sines
 * and clicks; and every way a file can be wrong.
 */

import { assert, assertAlmostEquals, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { decodeMulaw, encodeMulaw, mulaw, mulawAmplitude, SILENCE } from "../src/data/mulaw.ts";
import { decodeWav, encodeWav } from "../src/data/wav.ts";
import { orderG711 } from "../src/data/g711.ts";
import type { SoundEncoding } from "../src/data/sound.ts";
import { join } from "../src/data/reader.ts";
import { envelope, waveformImage, waveformSvg } from "../src/pictures/waveform.ts";
import { ConfigError, DataError, ShapeError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";

/** Codec, bits and how a sample in [−1, 1) is written. */
const CODECS: Readonly<
  Record<SoundEncoding, { tag: number; bits: number; write: (view: DataView, at: number, x: number) => void; unit: number }>
> = {
  "8-bit": { tag: 1, bits: 8, unit: 1 / 128, write: (view, at, x) => view.setUint8(at, Math.round(x * 128) + 128) },
  "16-bit": { tag: 1, bits: 16, unit: 1 / 32768, write: (view, at, x) => view.setInt16(at, Math.round(x * 32768), true) },
  "24-bit": {
    tag: 1,
    bits: 24,
    unit: 2 ** -23,
    write: (view, at, x) => {
      const word = Math.round(x * 2 ** 23);
      view.setUint16(at, word & 0xffff, true);
      view.setInt8(at + 2, word >> 16);
    },
  },
  "32-bit": { tag: 1, bits: 32, unit: 2 ** -31, write: (view, at, x) => view.setInt32(at, Math.round(x * 2 ** 31), true) },
  "32-bit float": { tag: 3, bits: 32, unit: 2 ** -24, write: (view, at, x) => view.setFloat32(at, x, true) },
  "64-bit float": { tag: 3, bits: 64, unit: 2 ** -24, write: (view, at, x) => view.setFloat64(at, x, true) },
};
const GUID = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

interface Made {
  encoding?: SoundEncoding;
  channels?: number;
  rate?: number;
  extensible?: boolean;
  /** Chunks before the data. */
  before?: [string, Uint8Array][];
  /** Instead of the true length of the data. */
  says?: number;
  /** 64-bit lengths. */
  long?: boolean;
}

/** A WAV file of samples [frames · channels]. */
function wav(
  samples: ArrayLike<number>,
  { encoding = "16-bit", channels = 1, rate = 12000, extensible, before = [], says, long }: Made = {},
) {
  const { tag, bits, write } = CODECS[encoding], width = bits / 8, size = samples.length * width, format = extensible ? 40 : 16;
  const chunk = (id: string, data: Uint8Array, length = data.length) => {
    const bytes = new Uint8Array(8 + data.length + data.length % 2);
    bytes.set(new TextEncoder().encode(id));
    new DataView(bytes.buffer).setUint32(4, length, true);
    bytes.set(data, 8);
    return bytes;
  };
  const fmt = new Uint8Array(format), view = new DataView(fmt.buffer);
  view.setUint16(0, extensible ? 0xfffe : tag, true);
  view.setUint16(2, channels, true);
  view.setUint32(4, rate, true);
  view.setUint32(8, rate * channels * width, true);
  view.setUint16(12, channels * width, true);
  view.setUint16(14, bits, true);
  if (extensible) {
    view.setUint16(16, 22, true);
    view.setUint16(18, bits, true);
    view.setUint16(24, tag, true);
    fmt.set(GUID, 26);
  }
  const data = new Uint8Array(size), samplesView = new DataView(data.buffer);
  for (let i = 0; i < samples.length; i++) write(samplesView, i * width, samples[i]);
  const ds64 = new Uint8Array(28);
  new DataView(ds64.buffer).setBigUint64(8, BigInt(size), true);
  const chunks = [
    ...(long ? [chunk("ds64", ds64)] : []),
    ...before.map(([id, bytes]) => chunk(id, bytes)),
    chunk("fmt ", fmt),
    chunk("data", data, long ? 0xffffffff : says),
    chunk("LIST", new Uint8Array(5)),
  ];
  const head = new Uint8Array(12);
  head.set(new TextEncoder().encode(long ? "RF64\xff" : "RIFF").subarray(0, 4));
  head.set(new TextEncoder().encode("WAVE"), 8);
  const length = chunks.reduce((sum, { length }) => sum + length, 4);
  new DataView(head.buffer).setUint32(4, long ? 0xffffffff : length, true);
  return join([head, ...chunks]);
}

async function* split(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

function noise(count: number, seed = 1): Float32Array<ArrayBuffer> {
  const random = new Random(seed, 1);
  // Every magnitude from 2⁻²⁰ to 1.
  return Float32Array.from({ length: count }, () => (random.uniform() * 2 - 1) * 2 ** (-20 * random.uniform()));
}

Deno.test("µ-law: within half a code of the formula everywhere, extremes and silence exact, monotone", async () => {
  const borders = Array.from({ length: 255 }, (_, code) => Math.fround(mulawAmplitude(code + 0.5))), near: number[] = [];
  const bits = new Uint32Array(1), float = new Float32Array(bits.buffer);
  for (const border of borders) {
    float[0] = border;
    bits[0] -= 3;
    for (let k = 0; k < 7; k++, bits[0]++) near.push(float[0]);
  }
  const words = Array.from({ length: 65536 }, (_, i) => (i - 32768) / 32768);
  const samples = Float32Array.from([...words, ...near, ...noise(200_000), -1, 0, 1, 1e-45, -1e-45]).sort();
  const codes = await encodeMulaw(samples), back = await decodeMulaw(codes);
  let worst = 0, falls = 0;
  for (let i = 0; i < samples.length; i++) {
    worst = Math.max(worst, Math.abs(mulaw(samples[i]) - codes[i]));
    if (i > 0 && codes[i] < codes[i - 1]) falls++;
    // The way back ends within half a code too, and on the same side of silence.
    const span = mulawAmplitude(Math.min(255, codes[i] + 0.5000005)) - mulawAmplitude(Math.max(0, codes[i] - 0.5000005));
    assert(Math.abs(back[i] - samples[i]) <= span, `${samples[i]} came back as ${back[i]}`);
  }
  assert(worst <= 0.5 + 1e-12, `a code is ${worst} from the formula`);
  assertEquals(falls, 0);
  assertEquals(await encodeMulaw(Float32Array.of(-1, 0, -0, 1)), Uint8Array.of(0, SILENCE, SILENCE, 255));
  assertEquals(await decodeMulaw(Uint8Array.of(0, SILENCE, 255)), Float32Array.of(-1, 0, 1));
  assertEquals(await encodeMulaw(Float32Array.of(-1.5, 7, Infinity, -Infinity)), Uint8Array.of(0, 255, 255, 0));
});

Deno.test("µ-law: every code is its own amplitude's, at any length; the formula is its inverse", async () => {
  const all = Uint8Array.from({ length: 256 }, (_, code) => code), amplitudes = await decodeMulaw(all);
  assertEquals(await encodeMulaw(amplitudes), all);
  assert(amplitudes.every((x, i) => i === 0 || x > amplitudes[i - 1]));
  for (const code of all) assertAlmostEquals(mulaw(mulawAmplitude(code)), code, 1e-9);
  assertAlmostEquals(mulaw(0.01), 128 + 127 * Math.log(1 + 2.55) / Math.log(256), 1e-12);
  for (const length of [0, 1, 2, 3, 4, 5, 7, 32767, 32768, 32769]) {
    const codes = Uint8Array.from({ length }, (_, i) => i * 7);
    assertEquals(await encodeMulaw(await decodeMulaw(codes)), codes);
  }
});

Deno.test("G.711 codes in order of amplitude: none lost, silence in the middle", () => {
  const ordered = orderG711(Uint8Array.from({ length: 256 }, (_, code) => code));
  assertEquals(new Set(ordered).size, 256);
  // ITU-T G.711, table 2a: 0x00 the most negative, 0x80 the most positive, 0xff and 0x7f the zeros.
  assertEquals([0x00, 0x01, 0x7f, 0xff, 0xfe, 0x80].map((code) => ordered[code]), [0, 1, 127, 128, 129, 255]);
});

Deno.test("WAV: every codec, channels, pieces of any size, extensible or not", async () => {
  for (const [name, { unit }] of Object.entries(CODECS)) {
    const encoding = name as SoundEncoding;
    for (const channels of [1, 2, 3]) {
      const samples = noise(channels * 1003, channels).map((x) => Math.max(-1, Math.min(1 - unit, Math.round(x / unit) * unit)));
      const mean = Float32Array.from({ length: 1003 }, (_, i) => {
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += samples[i * channels + c];
        return sum / channels;
      });
      const want = await encodeMulaw(mean);
      for (const extensible of [false, true]) {
        const file = wav(samples, { encoding, channels, extensible, before: [["JUNK", new Uint8Array(3)], ["bext", new Uint8Array(2)]] });
        for (const size of [file.length, 7, 1000]) {
          const { codes, rate, from } = await decodeWav(split(file, size), "t.wav");
          assertEquals({ rate, from }, { rate: 12000, from: { encoding, channels, rate: 12000 } });
          assertEquals(codes, want, `${encoding}, ${channels} channels, pieces of ${size}`);
        }
      }
    }
  }
});

Deno.test("WAV: streams, plain bytes, 64-bit lengths and lengths that a pipe left open", async () => {
  const samples = noise(500), want = await encodeMulaw(samples.map((x) => Math.round(x * 32768) / 32768)), plain = wav(samples);
  for (const file of [plain, wav(samples, { long: true })]) assertEquals((await decodeWav(file, "t.wav")).codes, want);
  assertEquals((await decodeWav(new Blob([plain]).stream(), "t.wav")).codes, want);
  const open = wav(samples, { says: 0xffffffff }).subarray(0, 44 + 1000);
  for (const size of [open.length, 3]) assertEquals((await decodeWav(split(open, size), "t.wav")).codes, want);
});

Deno.test("WAV: what is written is read back, codes and samples", async () => {
  const codes = Uint8Array.from({ length: 70_000 }, (_, i) => i * 31), file = await encodeWav(codes);
  assertEquals((await decodeWav(file, "t.wav")).codes, codes);
  assertEquals(file.length, 44 + 140_000);
  assertEquals(
    (await decodeWav(await encodeWav(Float32Array.of(-2, -1, 0, 1, 2), 8000), "t.wav", 8000)).codes,
    Uint8Array.of(0, 0, 128, 255, 255),
  );
});

/** Rates that files are met with: up, down, few and many phases. */
const RATES = [8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000];

Deno.test("resampling: sines below 0.9 of the lower Nyquist frequency pass unchanged, at their place", async () => {
  for (const rate of RATES) {
    const count = Math.round(rate / 4), half = Math.min(rate, 12000) / 2;
    for (const frequency of [100, half * 0.5, half * 0.9]) {
      const samples = Float32Array.from({ length: count }, (_, i) => 0.6 * Math.sin(2 * Math.PI * frequency * i / rate + 0.3));
      const { codes } = await decodeWav(wav(samples, { encoding: "32-bit float", rate }), "t.wav");
      assertEquals(codes.length, Math.ceil(count * 12000 / rate));
      const heard = await decodeMulaw(codes);
      // Away from the ends, where the sine begins out of nothing.
      for (let i = 200; i < codes.length - 200; i++) {
        const want = 0.6 * Math.sin(2 * Math.PI * frequency * i / 12000 + 0.3);
        const rounding = (mulawAmplitude(Math.min(255, codes[i] + 0.5)) - mulawAmplitude(Math.max(0, codes[i] - 0.5))) / 2;
        assert(Math.abs(heard[i] - want) <= rounding * 1.05 + 1.5e-4, `${rate} Hz, sine of ${frequency} at ${i}: ${heard[i]} for ${want}`);
      }
    }
  }
});

Deno.test("resampling: what the new rate cannot hold is silence, a constant stays, pieces do not matter", async () => {
  for (const rate of RATES) {
    if (rate > 12000) {
      for (const frequency of [6000, 7000, rate / 2 - 100]) {
        // Above −80 dB of it a code would differ from silence: 8.7e-5 is half of the smallest.
        const samples = Float32Array.from({ length: rate / 4 | 0 }, (_, i) => 0.8 * Math.sin(2 * Math.PI * frequency * i / rate + 1));
        const { codes } = await decodeWav(wav(samples, { encoding: "32-bit float", rate }), "t.wav"), middle = codes.subarray(200, -200);
        assert(middle.every((code) => code === SILENCE), `${rate} Hz: a sine of ${frequency} is heard`);
      }
    }
    const constant = await decodeWav(wav(new Float32Array(rate).fill(0.25), { encoding: "32-bit float", rate }), "t.wav");
    assert(constant.codes.subarray(200, -200).every((code) => code === Math.round(mulaw(0.25))));
    const file = wav(noise(rate), { rate }), whole = (await decodeWav(file, "t.wav")).codes;
    assertEquals((await decodeWav(split(file, 4999), "t.wav")).codes, whole);
  }
});

Deno.test("resampling: a single click keeps its place and its sum", async () => {
  const samples = new Float32Array(4800);
  samples[2400] = 1;
  const { codes } = await decodeWav(wav(samples, { encoding: "32-bit float", rate: 48000 }), "t.wav"), heard = await decodeMulaw(codes);
  assertEquals(heard.indexOf(Math.max(...heard)), 600);
  // Four samples in make one out: the click's height becomes a quarter of the passband's share of it.
  assertAlmostEquals(heard[600], 0.25 * 0.96, 0.01);
  // A few samples, shorter than the filter, and rates with few common divisors.
  for (const [count, rate] of [[1, 48000], [5, 44100], [3, 8000], [700, 44101]]) {
    assertEquals((await decodeWav(wav(noise(count), { rate }), "t.wav")).codes.length, Math.ceil(count * 12000 / rate));
  }
});

Deno.test("WAV: cut off anywhere is an error that names the file and an offset", async () => {
  const file = wav(noise(40), { encoding: "24-bit", channels: 2, extensible: true, before: [["JUNK", new Uint8Array(5)]] });
  const end = file.length - 14;
  for (let length = 0; length < end; length++) {
    const error = await assertRejects(() => decodeWav(file.subarray(0, length), "cut.wav"), DataError, "Cannot read cut.wav: ");
    assertStringIncludes(error.message, "byte");
  }
  await decodeWav(file.subarray(0, end), "t.wav");
});

Deno.test("WAV: what is not supported is named, with what to do", async () => {
  const good = wav(noise(40)), samples = noise(8);
  const changed = (at: number, value: number, bytes = 2) => {
    const file = good.slice(), view = new DataView(file.buffer);
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    return file;
  };
  const cases: [Uint8Array, string][] = [
    [new TextEncoder().encode("RIFX....WAVEfmt ........"), "big-endian; convert it first: ffmpeg"],
    [new TextEncoder().encode("hello, this is text"), 'begins with RIFF, RF64 or BW64 and has WAVE at byte 8, found "hell" and "his "'],
    [changed(20, 7), "its format at byte 20 is codec 7 (G.711 µ-law), known are 1"],
    [changed(20, 0x11), "codec 17 (IMA ADPCM)"],
    [changed(20, 0x1234), "codec 4660 (unknown)"],
    [changed(20, 3), "its format at byte 32 has 16 bits per sample in frames of 2 bytes and 1 channels"],
    [changed(22, 0), "its format at byte 22 has 0 channels"],
    [changed(22, 3), "in frames of 2 bytes and 3 channels"],
    [changed(34, 0), "0 bits per sample in frames of 2 bytes"],
    [changed(34, 20), "20 bits per sample in frames of 2 bytes"],
    [changed(24, 0, 4), "its format at byte 24 has 0 frames per second, it must be a whole number from 1000 to 384000"],
    [changed(24, 0xffffffff, 4), "has 4294967295 frames per second"],
    [changed(16, 0xfffffff0, 4), "its format at byte 12 has 4294967280 bytes, it must have 16 to 4096"],
    [changed(40, 0x70000000, 4), "cut short, its data chunk at byte 44 has 1879048192 bytes, the file ends after"],
    [wav([], { says: 0 }), "its data chunk at byte 44 is empty"],
    [join([good.subarray(0, 12), good.subarray(36)]), "its data chunk at byte 12 comes before its format"],
    [good.subarray(0, 36), "it ends at byte 36 without a data chunk"],
    [wav(samples, { says: 0 }).subarray(0, 44), "its data chunk at byte 44 is empty"],
    [wav([...samples.subarray(0, 5), NaN, 1, 1], { encoding: "32-bit float", channels: 2 }), "the frame at byte 60 is not finite"],
    [wav([0, Infinity], { encoding: "64-bit float" }), "the frame at byte 52 is not finite"],
  ];
  const extensible = wav(noise(4), { extensible: true });
  extensible[50] = 1;
  cases.push([extensible, "its format at byte 44 is extensible with a codec that is not a registered one"]);
  for (const [file, message] of cases) {
    const error = await assertRejects(() => decodeWav(file, "x.wav"), DataError, "Cannot read x.wav: ");
    assertStringIncludes(error.message, message);
  }
  for (const rate of [999, 384001, 1.5, NaN]) await assertRejects(() => decodeWav(good, "x.wav", rate), ConfigError, "from 1000 to 384000");
  const apart = await assertRejects(() => decodeWav(wav(samples, { rate: 383_987 }), "x.wav", 191_999), ConfigError, "common divisor");
  assertStringIncludes(apart.message, "Cannot read x.wav: to change its rate by 191999 / 383987");
});

Deno.test("WAV: reading stops where the file is known to be wrong", async () => {
  let pieces = 0;
  const bad = wav(noise(40));
  bad[20] = 9;
  async function* source() {
    for (;;) {
      pieces++;
      yield await Promise.resolve(pieces === 1 ? bad : new Uint8Array(1000));
    }
  }
  await assertRejects(() => decodeWav(source(), "x.wav"), DataError, "codec 9");
  assertEquals(pieces, 1);
});

Deno.test("waveform: spans and root mean squares by hand, codes as samples", async () => {
  const { low, high, rms, peak } = envelope(Float32Array.of(0, 0.5, -0.25, 0.25), 2);
  assertEquals([...low], [0, -0.25]);
  assertEquals([...high], [0.5, 0.5]);
  assertAlmostEquals(rms[0], Math.sqrt(0.125), 1e-6);
  assertAlmostEquals(rms[1], 0.25, 1e-6);
  assertEquals(peak, 0.5);
  const codes = await encodeMulaw(noise(300)), samples = await decodeMulaw(codes);
  assertEquals(envelope(codes, 10), envelope(samples, 10));
  // More columns than samples, and silence.
  assertEquals(envelope(Float32Array.of(1, -1), 6).high.length, 6);
  assertEquals(envelope(new Float32Array(9), 3).peak, 1);
  const { width, height, rgb } = waveformImage(Float32Array.of(1, -1, 1, -1), 4, 5);
  assertEquals([width, height, rgb.length], [4, 5, 60]);
  assert(rgb.some((byte) => byte !== 255));
  const svg = waveformSvg(codes, 100, 'a <b> & "c"', 50);
  assertStringIncludes(svg, "a &lt;b&gt; &amp; &quot;c&quot;");
  assertEquals([...svg.matchAll(/font-size="11"[^>]*>([^<±]+)</g)].map(([, label]) => label), [
    "0 s",
    "0.5 s",
    "1 s",
    "1.5 s",
    "2 s",
    "2.5 s",
    "3 s",
  ]);
  assertThrows(() => envelope(new Float32Array(), 4), ShapeError, "no sample");
  for (const wrong of [0, 1.5, 1e6]) {
    assertThrows(() => envelope(samples, wrong), ConfigError, "width must be a whole number from 1 to 16384");
  }
  assertThrows(() => waveformImage(samples, 4, 1), ConfigError, "height");
});
