/**
 * Random numbers that every engine draws alike.
 *
 * Plan. Threefry against its authors' known answers; moments of what is made of it; numbers in bulk are those one by one.
 */

import { assert, assertEquals } from "@std/assert";
import { dropoutKeeps, Random, threefry } from "../src/base/random.ts";

Deno.test("random: Threefry-2x32-20 known answers (Random123's kat_vectors)", () => {
  assertEquals(threefry(0, 0, 0, 0), [0x6b200159, 0x99ba4efe]);
  assertEquals(threefry(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff), [0x1cb996fc, 0xbb002be7]);
  assertEquals(threefry(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3), [0xc4923a9c, 0x483df7a0]);
});

Deno.test("random: normals have mean 0 and variance 1, uniforms fill [0, 1)", () => {
  const random = new Random(1, 2), n = 20000;
  let sum = 0, squares = 0;
  for (let i = 0; i < n; i++) {
    const x = random.normal();
    sum += x;
    squares += x * x;
  }
  assert(Math.abs(sum / n) < 4 / Math.sqrt(n), `mean ${sum / n}`);
  assert(Math.abs(squares / n - 1) < 4 * Math.sqrt(2 / n), `variance ${squares / n}`);
  const counts = new Array(8).fill(0);
  for (let i = 0; i < 8000; i++) counts[random.below(8)]++;
  assert(counts.every((c) => Math.abs(c - 1000) < 150), counts.join());
});

Deno.test("random: normals in bulk are those one by one, wherever they begin and end", () => {
  for (const words of [0, 1, 2]) {
    for (const before of [0, 1, 2]) {
      for (const count of [0, 1, 2, 7, 64]) {
        const one = new Random(7, 3, 5), bulk = new Random(7, 3, 5), values = new Float32Array(count);
        for (const random of [one, bulk]) {
          for (let i = 0; i < words; i++) random.u32();
          for (let i = 0; i < before; i++) random.normal();
        }
        bulk.normals(values, 0.37);
        assertEquals(values, Float32Array.from({ length: count }, () => one.normal() * 0.37), `${words}, ${before}, ${count}`);
        assertEquals([bulk.normal(), bulk.u32()], [one.normal(), one.u32()], `after ${words}, ${before}, ${count}`);
      }
    }
  }
});

Deno.test("random: dropout drops its share, differs by seed, site and step", () => {
  const mask = (seed: number, site: number, step: number) =>
    Array.from({ length: 4000 }, (_, i) => dropoutKeeps(seed, site, step, i, 0.25));
  const base = mask(1, 2, 3), kept = base.filter(Boolean).length;
  assert(Math.abs(kept - 3000) < 120, `${kept} of 4000 kept`);
  for (const other of [mask(2, 2, 3), mask(1, 3, 3), mask(1, 2, 4)]) {
    const equal = other.filter((keep, i) => keep === base[i]).length;
    assert(Math.abs(equal - 2500) < 150, `${equal} of 4000 equal`);
  }
});
