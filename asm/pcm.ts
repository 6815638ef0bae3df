// Samples of sound as files hold them, to one channel of f32: the mean of the channels. A unit is a frame.

import { setF32 } from "./lib/memory";

// Encodings.
export const PCM_U8: u32 = 0, PCM_S16: u32 = 1, PCM_S24: u32 = 2, PCM_S32: u32 = 3, PCM_F32: u32 = 4, PCM_F64: u32 = 5;

// @ts-ignore: decorator
@inline
function sample(from: usize, encoding: u32): f64 {
  if (encoding == PCM_U8) return ((load<u8>(from) as i32) - 128) as f64 * (1.0 / 128);
  if (encoding == PCM_S16) return load<i16>(from) as f64 * (1.0 / 32768);
  if (encoding == PCM_S24) return ((load<u16>(from) as i32) | (load<i8>(from, 2) as i32) << 16) as f64 * (1.0 / 8388608);
  if (encoding == PCM_S32) return load<i32>(from) as f64 * (1.0 / 2147483648);
  return encoding == PCM_F32 ? load<f32>(from) as f64 : load<f64>(from);
}

// One or two channels of 16 bits, what most files are, four frames at a time. Returns the frames done.
function common(frames: u32, channels: u32, from: usize, to: usize): u32 {
  const vectors = frames & ~3, one = f32x4.splat(1.0 / 32768), half = f32x4.splat(1.0 / 65536);
  for (let i: u32 = 0; i < vectors; i += 4) {
    const x = channels == 1
      ? f32x4.mul(one, f32x4.convert_i32x4_s(v128.load16x4_s(from + ((i as usize) << 1))))
      : f32x4.mul(half, f32x4.convert_i32x4_s(i32x4.extadd_pairwise_i16x8_s(v128.load(from + ((i as usize) << 2)))));
    v128.store(to + ((i as usize) << 2), x);
  }
  return vectors;
}

// Returns the first frame that is not finite, or `frames`.
export function pcm_mono(encoding: u32, channels: u32, frames: u32, from: usize, to: usize): u32 {
  const width: u32 = encoding == PCM_U8 ? 1 : encoding == PCM_S16 ? 2 : encoding == PCM_S24 ? 3 : encoding == PCM_S32 || encoding == PCM_F32 ? 4 : 8;
  const scale = 1.0 / (channels as f64);
  let i: u32 = encoding == PCM_S16 && channels <= 2 ? common(frames, channels, from, to) : 0;
  from += (i as usize) * width * channels;
  for (; i < frames; i++) {
    let sum: f64 = 0;
    for (let c: u32 = 0; c < channels; c++) {
      sum += sample(from, encoding);
      from += width;
    }
    const mean = (sum * scale) as f32;
    if (!isFinite(mean)) return i;
    setF32(to, i, mean);
  }
  return frames;
}

// f32 to 16 bits, rounded, cut at ±1. A unit is a sample.
export function pcm_s16(count: u32, from: usize, to: usize): void {
  const scale = f32x4.splat(32767), low = f32x4.splat(-1), high = f32x4.splat(1), vectors = count & ~3;
  for (let i: u32 = 0; i < vectors; i += 4) {
    const x = f32x4.mul(scale, f32x4.pmin(high, f32x4.pmax(low, v128.load(from + ((i as usize) << 2)))));
    const words = i32x4.trunc_sat_f32x4_s(f32x4.nearest(x));
    v128.store64_lane(to + ((i as usize) << 1), i16x8.narrow_i32x4_s(words, words), 0);
  }
  for (let i = vectors; i < count; i++) {
    const x = load<f32>(from + ((i as usize) << 2));
    store<i16>(to + ((i as usize) << 1), nearest<f32>(32767 * min<f32>(1, max<f32>(-1, x))) as i16);
  }
}
