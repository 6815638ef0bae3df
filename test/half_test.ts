/**
 * f16 in bits, against the runtime's own Float16Array.
 *
 * Plan. All 65,536 of them there; back with ties, subnormals and what is beyond.
 */

import { assertEquals } from "@std/assert";
import { fromHalves, toHalves } from "../src/base/half.ts";
import { Random } from "../src/base/random.ts";

Deno.test("half: every f16 comes back, the runtime agrees on its value", () => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i),
    values = fromHalves(all),
    want = new Float32Array(new Float16Array(all.buffer));
  assertEquals(values, want);
  const back = toHalves(values);
  for (let i = 0; i < all.length; i++) if (!Number.isNaN(values[i])) assertEquals(back[i], i);
});

Deno.test("half: rounding is the runtime's, ties and subnormals too", () => {
  const random = new Random(1, 1),
    f32 = Uint32Array.from({ length: 200_000 }, () => random.u32()),
    values = [...new Float32Array(f32.buffer)];
  // Around every border between two neighbours of f16: the border itself is a tie.
  for (let half = 0; half < 0x7c00; half += 7) {
    const [low, high] = fromHalves(Uint16Array.of(half, half + 1)), middle = half + 1 === 0x7c00 ? 65520 : (low + high) / 2;
    values.push(middle, -middle, middle * (1 + 2 ** -20), middle * (1 - 2 ** -20));
  }
  values.push(NaN, 65519.996, 65520, 2 ** -25, 2 ** -24, -0);
  const rounded = Float32Array.from(values), got = fromHalves(toHalves(rounded));
  assertEquals(got, new Float32Array(new Float16Array(rounded)));
});
