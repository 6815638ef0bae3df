/**
 * Making tokens in WASM beside plain JavaScript that does the same: µ-law both ways, sound as files hold it to codes,
 * CIFAR-10 planes to rows, counting bytes. Results are compared before anything is timed.
 *
 *     deno run -A bench/mulaw.ts [--json] [--quick]
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { decodeMulaw, encodeMulaw } from "../src/data/mulaw.ts";
import { decodeWav } from "../src/data/wav.ts";
import { histogram } from "../src/data/entropy.ts";
import { decodeCifar10 } from "../src/data/cifar.ts";
import { Random } from "../src/base/random.ts";
import { QUICK, report, type Row, time } from "./lib.ts";

const MU = 255;

/** The formula, a sample at a time. */
function plainEncode(samples: Float32Array): Uint8Array {
  const codes = new Uint8Array(samples.length), scale = Math.log1p(MU);
  for (let i = 0; i < samples.length; i++) {
    const x = Math.max(-1, Math.min(1, samples[i])), steps = x < 0 ? 128 : 127;
    codes[i] = Math.round(128 + Math.sign(x) * steps * Math.log1p(MU * Math.abs(x)) / scale);
  }
  return codes;
}

function plainDecode(codes: Uint8Array): Float32Array {
  const samples = new Float32Array(codes.length), scale = Math.log1p(MU);
  for (let i = 0; i < codes.length; i++) {
    const step = codes[i] - 128;
    samples[i] = Math.sign(step) * Math.expm1(Math.abs(step) / (step < 0 ? 128 : 127) * scale) / MU;
  }
  return samples;
}

/** Two channels of 16 bits at the rate wanted: their mean, then the formula. */
function plainSound(wav: Uint8Array): Uint8Array {
  const view = new DataView(wav.buffer), frames = (wav.length - 44) / 4, samples = new Float32Array(frames);
  for (let i = 0; i < frames; i++) samples[i] = (view.getInt16(44 + i * 4, true) + view.getInt16(46 + i * 4, true)) / 65536;
  return plainEncode(samples);
}

function plainCifar(bytes: Uint8Array): Uint8Array {
  const rows = bytes.length / 3073, tokens = new Uint8Array(rows * 3072);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < 1024; i++) {
      for (let c = 0; c < 3; c++) tokens[row * 3072 + i * 3 + c] = bytes[row * 3073 + 1 + c * 1024 + i];
    }
  }
  return tokens;
}

function plainHistogram(bytes: Uint8Array): Float64Array {
  const counts = new Float64Array(256);
  for (let i = 0; i < bytes.length; i++) counts[bytes[i]]++;
  return counts;
}

/** Two channels of 16 bits at 12 kHz, with the header of `encodeWav` and one number of it changed. */
function stereo(frames: number, random: Random): Uint8Array<ArrayBuffer> {
  const wav = new Uint8Array(44 + frames * 4), view = new DataView(wav.buffer);
  const text = (at: number, characters: string) => wav.set(new TextEncoder().encode(characters), at);
  text(0, "RIFF");
  view.setUint32(4, wav.length - 8, true);
  text(8, "WAVEfmt ");
  [[16, 16], [24, 12000], [28, 48000], [40, frames * 4]].forEach(([at, value]) => view.setUint32(at, value, true));
  [[20, 1], [22, 2], [32, 4], [34, 16]].forEach(([at, value]) => view.setUint16(at, value, true));
  text(36, "data");
  for (let i = 44; i < wav.length; i += 2) view.setInt16(i, Math.round(random.normal() * 3000), true);
  return wav;
}

const COUNT = QUICK ? 1000 : 1_000_000, IMAGES = QUICK ? 2 : 300, random = new Random(1, 0), budget = 600;
const samples = Float32Array.from({ length: COUNT }, () => random.normal() / 4), codes = await encodeMulaw(samples);
const wav = stereo(COUNT, random),
  planes = Uint8Array.from({ length: 3073 * IMAGES }, (_, i) => i % 3073 === 0 ? i % 10 : random.below(256));

/** Codes may differ by one where float32 and float64 round a border differently. */
function close(got: Uint8Array, want: Uint8Array): void {
  const off = got.reduce((sum, code, i) => sum + Math.abs(code - want[i]), 0);
  if (got.length !== want.length || off > got.length * 1e-5) throw new Error(`${off} of ${want.length} codes differ`);
}

const work: [string, number, () => Promise<unknown>, () => unknown, () => Promise<void>][] = [
  [
    "µ-law, samples to codes",
    COUNT,
    () => encodeMulaw(samples),
    () => plainEncode(samples),
    async () => close(await encodeMulaw(samples), plainEncode(samples)),
  ],
  [
    "µ-law, codes to samples",
    COUNT,
    () => decodeMulaw(codes),
    () => plainDecode(codes),
    async () => assertEquals(await decodeMulaw(codes), plainDecode(codes)),
  ],
  [
    "WAV, 16-bit stereo, to codes",
    COUNT,
    () => decodeWav(wav, "bench"),
    () => plainSound(wav),
    async () => close((await decodeWav(wav, "bench")).codes, plainSound(wav)),
  ],
  [
    "CIFAR-10 planes to rows",
    3072 * IMAGES,
    () => decodeCifar10(planes, "bench"),
    () => plainCifar(planes),
    async () => assertEquals(await decodeCifar10(planes, "bench"), plainCifar(planes)),
  ],
  [
    "counting bytes",
    COUNT,
    () => histogram(codes),
    () => plainHistogram(codes),
    async () => assertEquals(await histogram(codes), plainHistogram(codes)),
  ],
];

const rows: Row[] = [];
for (const [name, tokens, ours, plain, check] of work) {
  await check();
  const js = await time(plain, { budget }), wasm = await time(ours, { budget });
  rows.push({
    what: name,
    "plain JS, ns per token": js.best * 1e6 / tokens,
    "WASM, ns per token": wasm.best * 1e6 / tokens,
    "× plain JS": js.best / wasm.best,
    "× by median wall time": js.wall / wasm.wall,
  });
}
report("tokens in WASM beside plain JavaScript", rows);
