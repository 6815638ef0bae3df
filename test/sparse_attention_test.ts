/**
 * Sparse attention by itself, and tensors in a caller's buffers.
 *
 * Plan. The oracle is held by the formula, written here once more over pairs that the test decides on; every engine by the oracle, for a
 * pattern of each way to say one. Kinds of arrays. Calls made at once, stopped or disposed of under way leave each other right. Buffers: the
 * numbers are those of arrays, whatever parts of whatever buffers are used; nothing of a caller's is written or destroyed beside what is
 * asked for; what cannot be used is refused by name. (Each operation on every engine is the conformance suite's to show.)
 */

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import {
  alibiSlopes,
  type AttentionArrays,
  type AttentionOptions,
  documentSpans,
  type FloatArray,
  NO_KEYS,
  SparseAttention,
  sparseAttention,
} from "../ops.ts";
import { ConfigError, KernelError, LongstrideError, ShapeError } from "../src/base/errors.ts";
import { fromHalves, toHalves } from "../src/base/half.ts";
import { Random } from "../src/base/random.ts";
import { Layouts } from "../src/engines/wasm/layouts.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import { type Engine, Program, tensor } from "../src/ops/mod.ts";
import { attends } from "../src/pattern/attends.ts";
import { relativeError } from "../src/run/verify.ts";
import { disposeEngines, engine, ENGINES, engineTest, gpuTest } from "./engines.ts";
import { bareDevice } from "./gpu.ts";

const TOLERANCE = 5e-6, HALF_TOLERANCE = 2e-3;

/** Normal numbers. */
function normals(count: number, seed: number): Float32Array<ArrayBuffer> {
  const random = new Random(seed, 1);
  return Float32Array.from({ length: count }, () => random.normal());
}

const SIZES = { batch: 2, n: 37, heads: 2, headDim: 8, valueDim: 4 };

/** Arrays of such sizes. */
function arrays(
  { batch = 1, n, keys = n, heads, kvHeads = heads, headDim, valueDim = headDim }: Omit<AttentionOptions, "pattern">,
  seed = 0,
) {
  const of = (rows: number, count: number, width: number, at: number) => normals(batch * rows * count * width, 10 * seed + at);
  const [k, v] = [of(keys, kvHeads, headDim, 2), of(keys, kvHeads, valueDim, 3)];
  return { q: of(n, heads, headDim, 1), k, v, dO: of(n, heads, valueDim, 4) };
}

/** All that attention makes of arrays, by the object or in one call. */
async function whole(on: Engine, options: AttentionOptions, x: ReturnType<typeof arrays>) {
  const attention = new SparseAttention(on, options);
  try {
    const out = await attention.forward(x);
    return { ...out, ...await attention.backward({ ...x, ...out }) };
  } finally {
    attention.dispose();
  }
}

/** Refuses what differs from what is wanted, by name. */
function close(got: object, want: object, limit = TOLERANCE): void {
  const wanted = want as Record<string, ArrayLike<number>>, found = got as Record<string, ArrayLike<number>>;
  const wrong = Object.keys(wanted).map((name) => [name, relativeError(found[name], wanted[name])] as const).filter(([, e]) =>
    !(e <= limit)
  );
  assertEquals(wrong, []);
}

/** o and lse by the formula over the pairs that `sees` says. */
function formula(
  { batch = 1, n, keys = n, heads, kvHeads = heads, headDim, valueDim = headDim, slopes }: AttentionOptions,
  { q, k, v }: AttentionArrays<Float32Array>,
  sees: (b: number, head: number, i: number, j: number) => boolean,
) {
  const o = new Float64Array(batch * n * heads * valueDim), lse = new Float64Array(batch * heads * n);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const g = Math.floor(h * kvHeads / heads);
      for (let i = 0; i < n; i++) {
        const weights = Array.from({ length: keys }, (_, j) => {
          if (!sees(b, h, i, j)) return 0;
          let score = 0;
          for (let c = 0; c < headDim; c++) {
            score += q[((b * n + i) * heads + h) * headDim + c] * k[((b * keys + j) * kvHeads + g) * headDim + c];
          }
          return Math.exp(score / Math.sqrt(headDim) - (slopes?.[h] ?? 0) * Math.abs(i - j));
        });
        const total = weights.reduce((a, b) => a + b);
        lse[(b * heads + h) * n + i] = Math.log(total);
        for (let c = 0; c < valueDim; c++) {
          let sum = 0;
          for (let j = 0; j < keys; j++) sum += weights[j] * v[((b * keys + j) * kvHeads + g) * valueDim + c];
          o[((b * n + i) * heads + h) * valueDim + c] = sum / total;
        }
      }
    }
  }
  return { o, lse };
}

/** Unsorted, overlapping, empty ones among them; keys 5 to 8 are nobody's. */
const INTERVALS = Array.from({ length: SIZES.n }, (_, i): [number, number][] => [[i, Math.min(SIZES.n, i + 1)], [0, 3], [2, 4], [9, 9]])
  .map((list, i) => i >= 5 && i < 9 ? list.slice(1) : list);

/** Keys of another sequence, of 9 and of 90. */
const FEW = INTERVALS.map((_, i): [number, number][] => [[i % 4, 5 + i % 5]]);
const MANY = INTERVALS.map((_, i): [number, number][] => [[2 * i, 2 * i + 18], [0, 1]]);

/** A way to say which keys are seen, and what it means. */
const WAYS: readonly (readonly [string, Partial<AttentionOptions>, (head: number, i: number, j: number) => boolean])[] = [
  [
    "strided multihead",
    { pattern: "strided", stride: 6, integration: "multihead" },
    (h, i, j) => j <= i && (h ? (i - j) % 6 === 0 : i - j <= 6),
  ],
  ["local, both ways", { pattern: "local", stride: 5, causal: false }, (_, i, j) => Math.abs(i - j) <= 5],
  ["intervals", { intervals: INTERVALS, causal: false }, (_, i, j) => INTERVALS[i].some(([first, end]) => j >= first && j < end)],
  ["causal intervals", { intervals: INTERVALS.map(() => [[0, 37]]) }, (_, i, j) => j <= i],
  ["fewer keys of another sequence", { intervals: FEW, keys: 9 }, (_, i, j) => j >= i % 4 && j < 5 + i % 5],
  ["more keys of another sequence", { intervals: MANY, keys: 90 }, (_, i, j) => j === 0 || (j >= 2 * i && j < 2 * i + 18)],
  [
    "a set per head",
    { sets: [{ kind: "segment", l: 10, causal: true }, { kind: "blocks", block: 20, blocks: [[0], [1, 0, 1]], causal: false }] },
    (h, i, j) => h ? i >= 20 || j < 20 : j <= i && Math.floor(i / 10) === Math.floor(j / 10),
  ],
];

const GROUPED = { ...SIZES, heads: 4, kvHeads: 2, slopes: alibiSlopes(4), pattern: "strided", stride: 6, spans: true } as const;
/** Two documents, and one with padding. */
const DOCUMENTS = documentSpans([[20, 17], [30]], SIZES.n);

Deno.test("sparse attention: grouped keys, slopes by distance and documents are what the formula says, on the oracle", async () => {
  const x = { ...arrays(GROUPED), spans: DOCUMENTS }, { o, lse } = await whole(await engine("reference"), GROUPED, x);
  const want = formula(GROUPED, x, (b, _, i, j) => {
    return j <= i && (i - j <= 6 || (i - j) % 6 === 0) && (b === 0 ? (i < 20) === (j < 20) : i < 30);
  });
  // A query of the padding sees nothing.
  for (const [at, lse] of want.lse.entries()) if (lse === -Infinity) want.lse[at] = NO_KEYS;
  close({ o, lse }, { o: want.o.map((value) => Number.isNaN(value) ? 0 : value), lse: want.lse }, 1e-6);
});

for (const [name, pattern, sees] of WAYS) {
  Deno.test(`sparse attention: ${name} is what the formula says, on the oracle`, async () => {
    const options = { ...SIZES, ...pattern }, x = arrays(options), { o, lse } = await whole(await engine("reference"), options, x);
    close({ o, lse }, formula(options, x, (_, h, i, j) => sees(h, i, j)), 1e-6);
  });
}

for (const on of ENGINES) {
  for (const [name, pattern] of WAYS) {
    engineTest(on, `sparse attention: ${on}: ${name}`, async () => {
      const options = { ...SIZES, ...pattern }, x = arrays(options);
      close(await whole(await engine(on), options, x), await whole(await engine("reference"), options, x));
    });
  }

  engineTest(on, `sparse attention: ${on}: grouped keys, slopes by distance and documents`, async () => {
    const x = { ...arrays(GROUPED), spans: DOCUMENTS }, want = await whole(await engine("reference"), GROUPED, x), to = await engine(on);
    close(await whole(to, GROUPED, x), want);
    const { headDim: _, valueDim: __, spans: ___, ...call } = GROUPED;
    close(await sparseAttention(to, { ...call, ...x }), want);
  });

  engineTest(on, `sparse attention: ${on}: in one call, again after itself, and without o and lse`, async () => {
    const options = { ...SIZES, pattern: "strided", stride: 6 } as const,
      { headDim: _, valueDim: __, ...call } = options,
      x = arrays(options);
    const to = await engine(on), want = await whole(await engine("reference"), options, x), { dO, ...inputs } = x;
    close(await sparseAttention(to, { ...call, ...x }), want);
    const once = await sparseAttention(to, { ...call, ...inputs });
    assertEquals(Object.keys(once), ["o", "lse"]);
    const attention = new SparseAttention(to, options);
    close(await attention.backward(x), { dq: want.dq, dk: want.dk, dv: want.dv });
    await attention.forward(arrays(options, 1));
    const out = await attention.forward(inputs);
    assertEquals(out, once);
    close(await attention.backward({ ...inputs, ...out, dO }), { dq: want.dq, dk: want.dk, dv: want.dv });
    attention.dispose();
  });

  engineTest(on, `sparse attention: ${on}: calls made at once are each right`, async () => {
    const to = await engine(on), options = { ...SIZES, pattern: "strided", stride: 6 } as const;
    const a = new SparseAttention(to, options), b = new SparseAttention(to, { ...options, pattern: "local" });
    const alone: object[] = [], inputs = [0, 1, 2, 3].map((seed) => arrays(options, seed));
    const calls = inputs.flatMap((x) => [() => a.forward(x), () => b.backward(x), () => a.backward(x)]);
    for (const call of calls) alone.push(await call());
    assertEquals(await Promise.all(calls.map((call) => call())), alone);
    // One that is stopped while it waits, one before it begins.
    const stop = new AbortController(), reason = new Error("enough");
    const first = a.forward(inputs[0]), second = a.forward(inputs[1], { signal: stop.signal }), third = a.forward(inputs[2]);
    stop.abort(reason);
    assertEquals(await assertRejects(() => second), reason);
    assertEquals(await assertRejects(() => a.backward(inputs[1], { signal: stop.signal })), reason);
    assertEquals([await first, await third], [alone[0], alone[6]]);
    // Disposed of under way: what has begun ends, what has not is refused, and so is what comes after.
    const last = a.forward(inputs[0]), late = a.forward(inputs[1]);
    a.dispose();
    const settled = await Promise.allSettled([last, late]);
    assert(settled.every((one) => one.status === "fulfilled" || one.reason instanceof ConfigError));
    await assertRejects(() => a.forward(inputs[0]), ConfigError, "has been disposed of");
    assertEquals(await b.backward(inputs[0]), alone[1]);
    b.dispose();
    a.dispose();
  });
}

Deno.test("sparse attention: arrays come out as they went in", async () => {
  const on = await engine("wasm"), options = { ...SIZES, pattern: "local", stride: 5 } as const, x = arrays(options);
  const { headDim: _, valueDim: __, ...call } = options, want = await sparseAttention(on, { ...call, ...x });
  const as = async <A extends FloatArray>(make: (array: Float32Array<ArrayBuffer>) => A) =>
    await sparseAttention(on, { ...call, q: make(x.q), k: make(x.k), v: make(x.v), dO: make(x.dO) });
  const double = await as((array) => Float64Array.from(array)),
    bits = await as(toHalves),
    half = await as((array) => new Float16Array(array));
  for (const name of ["o", "dq", "dk", "dv"] as const) {
    assert(double[name] instanceof Float64Array && bits[name] instanceof Uint16Array && half[name] instanceof Float16Array);
    close({ [name]: double[name] }, { [name]: want[name] });
    close({ [name]: half[name] }, { [name]: want[name] }, HALF_TOLERANCE);
    assertEquals(Float32Array.from(half[name]), fromHalves(bits[name]));
  }
  assert(double.lse instanceof Float64Array && bits.lse instanceof Float32Array && half.lse instanceof Float32Array);
  // In f64 the oracle loses nothing.
  const exact = await sparseAttention(await engine("reference"), { ...call, q: double.o, k: double.o, v: double.o, headDim: 4 });
  const again = await sparseAttention(await engine("reference"), { ...call, q: exact.o, k: exact.o, v: exact.o });
  assert(again.o.some((value) => value !== Math.fround(value)));
});

Deno.test("sparse attention: what cannot be meant is refused by the option's name", async () => {
  const on = await engine("wasm"), base = { ...SIZES, pattern: "local", stride: 5 } as const;
  const bad = (options: object, includes: string, kind: typeof LongstrideError = ConfigError) =>
    assertThrows(() => new SparseAttention(on, { ...base, ...options }), kind, includes);
  bad({ n: 0 }, "n must be a whole number from 1");
  bad({ heads: 1.5 }, "heads must be a whole number");
  bad({ headDim: undefined }, "headDim must be a whole number from 1 to 16777216, found nothing");
  bad({ valueDim: -1 }, "valueDim");
  bad({ batch: "2" }, 'batch must be a whole number from 1 to 16777216, found "2"');
  bad({ kvHeads: 4 }, "kvHeads is 4 and must divide heads, 2", ShapeError);
  bad({ dtype: "f64" }, "dtype must be one of f32, f16");
  bad({ spans: new Uint32Array(3) }, "spans must be true or false");
  bad({ slopes: [1] }, "slopes must be a list of 2 numbers, one per head");
  bad({ slopes: [1, -1] }, "slopes[1] must be a number from 0");
  bad({ strid: 5 }, 'there is no option "strid", known are n, heads');
  bad({ pattern: undefined }, "give one of pattern, intervals and sets, found none");
  bad({ intervals: INTERVALS }, "found pattern and intervals");
  bad({ pattern: "sparse" }, "pattern must be one of dense");
  const listed = { pattern: undefined, stride: undefined };
  bad({ ...listed, intervals: INTERVALS, stride: 3 }, "stride does not go with intervals");
  bad({ ...listed, sets: { kind: "dense", causal: true }, causal: false }, "causal does not go with sets");
  bad({ ...listed, sets: [{ kind: "dense", causal: true }] }, "sets must be one, or one per head: 2, found 1");
  bad({ ...listed, sets: { kind: "round", causal: true } }, "kind must be one of dense");
  bad({ ...listed, intervals: INTERVALS.slice(1) }, "intervals must be a list of 37");
  bad({ ...listed, intervals: INTERVALS.map(() => [[0, 38]]) }, "intervals[0][0][1] must be a whole number from 0 to 37, found 38");
  bad({ ...listed, intervals: INTERVALS.map((list, i) => i === 4 ? [[5, 7]] : list) }, "query 4 has no key up to itself");
  bad({ ...listed, intervals: INTERVALS.map((list, i) => i === 4 ? [] : list), causal: false }, "query 4 has no key; give it one");
  bad({ ...listed, sets: { kind: "blocks", block: 20, blocks: [[1], [0]], causal: true } }, "query 0 has no key up to itself");
  bad(
    { ...listed, sets: { kind: "blocks", block: 20, blocks: [[0], [2]], causal: true } },
    "query 20 has no key up to itself",
  );
  bad({ keys: 9 }, "keys of another sequence go with intervals alone");
  bad({ ...listed, intervals: FEW, keys: 0 }, "keys must be a whole number from 1");
  bad({ ...listed, intervals: FEW, keys: 9, causal: true }, "causal must be false");
  bad({ ...listed, intervals: FEW, keys: 8 }, "intervals[4][0][1] must be a whole number from 0 to 8, found 9");
  bad({ ...listed, intervals: FEW.map((list, i) => i === 3 ? [] : list), keys: 9 }, "query 3 has no key; give it one");
  const between = { kind: "intervals", intervals: FEW, causal: false } as const;
  bad({ ...listed, sets: [{ ...between, keys: 9 }, between] }, "sets must all have as many keys");
  assertThrows(() => new SparseAttention({} as Engine, base), ConfigError, "engine must be an engine");

  const attention = new SparseAttention(on, base), x = arrays(base);
  const refused = async (given: object, includes: string, kind: typeof LongstrideError = ConfigError) => {
    await assertRejects(() => attention.backward({ ...x, ...given }), kind, includes);
  };
  await refused({ k: x.k.subarray(1) }, "k has 1183 elements and must have 1184, those of [74, 16]", ShapeError);
  await refused({ v: [...x.v] }, "v must be a Float32Array, Float64Array, Float16Array, a Uint16Array of f16 in bits, or a GPUBuffer");
  await refused({ dO: new Float64Array(592) }, "dO must be a Float32Array, as q is, found a Float64Array");
  await refused({ q: undefined }, "q must be");
  await refused({ o: x.dO }, "needs o and lse, or neither");
  await refused({ spans: new Uint32Array(4) }, "spans are given, the option spans is false");
  await assertRejects(() => attention.forward(x, { signal: AbortSignal.abort(new Error("no")) }), Error, "no");
  attention.dispose();
  const { headDim: _, valueDim: __, ...call } = base;
  await assertRejects(
    () => sparseAttention(on, { ...call, ...x, n: 36 }),
    ShapeError,
    "q has 1184 elements, no multiple of its 2 × 36 × 2 rows",
  );
  await assertRejects(() => sparseAttention(on, { ...call, ...x, kvHeads: 3 }), ShapeError, "kvHeads is 3");
  const zeros = new Float32Array(8), none = { q: zeros, k: zeros, v: zeros, n: 2, heads: 1, keys: 0, intervals: [[], []] };
  await assertRejects(() => sparseAttention(on, none), ConfigError, "keys must be a whole number from 1");
  await assertRejects(() => sparseAttention(on, undefined as never), ConfigError, "options must be an object");
  await assertRejects(() => sparseAttention(on, { ...call, ...x, q: {} as never }), ConfigError, "q must be");
});

/** The WebGPU engine of this file: each more device of a process costs a second, and a software GPU's driver its stability. */
const gpu = async (name = "webgpu") => await engine(name) as WebGpuEngine;

/** Usage of a buffer: copied to and from, bound. */
const STORAGE = 0x80, COPY_SRC = 0x4, COPY_DST = 0x8, ALL = STORAGE | COPY_SRC | COPY_DST;

/** A buffer of these bytes. */
function upload(device: GPUDevice, data: ArrayBufferView, usage = ALL): GPUBuffer {
  const buffer = device.createBuffer({ size: data.byteLength, usage, mappedAtCreation: true });
  new Uint8Array(buffer.getMappedRange()).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  buffer.unmap();
  return buffer;
}

/** The bytes of a buffer, once what was submitted is through. */
async function download(device: GPUDevice, from: GPUBuffer): Promise<ArrayBuffer> {
  const copy = device.createBuffer({ size: from.size, usage: 0x1 | COPY_DST }), encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(from, 0, copy, 0, from.size);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(1);
  const bytes = copy.getMappedRange().slice(0);
  copy.destroy();
  return bytes;
}

/** Arrays in one buffer, one after the other where a binding may begin, filled with 7 between and behind; and where each begins. */
function packed(device: GPUDevice, parts: Readonly<Record<string, ArrayBufferView>>) {
  let top = 256;
  const at: Record<string, number> = {};
  for (const [name, { byteLength }] of Object.entries(parts)) {
    at[name] = top;
    top += Math.ceil(byteLength / 256) * 256 + 256;
  }
  const bytes = new Uint8Array(top).fill(7);
  for (const [name, part] of Object.entries(parts)) bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at[name]);
  return { buffer: upload(device, bytes), at, bytes };
}

gpuTest("sparse attention: parts of one buffer, forward and backward, and nothing beside them is written", async () => {
  const device = await bareDevice(),
    on = await WebGpuEngine.create({ device }),
    options = { ...SIZES, pattern: "strided", stride: 6 } as const;
  const x = arrays(options), want = await whole(await engine("reference"), options, x);
  const outputs = Object.fromEntries(Object.entries(want).map(([name, { length }]) => [name, new Float32Array(length)]));
  const { buffer, at, bytes } = packed(device, { ...x, ...outputs }), part = (name: string) => ({ buffer, offset: at[name] });
  const parts = Object.fromEntries(Object.keys(at).map((name) => [name, part(name)])) as Record<
    keyof typeof x | keyof typeof want,
    GPUBufferBinding
  >;
  const attention = new SparseAttention(on, options);
  await attention.forward(parts);
  await attention.backward(parts);
  const found = new Uint8Array(await download(device, buffer)),
    floats = (name: string, count: number) => new Float32Array(found.buffer, at[name], count);
  close(Object.fromEntries(Object.entries(want).map(([name, { length }]) => [name, floats(name, length)])), want);
  for (const [name, { length }] of Object.entries(want)) found.set(bytes.subarray(at[name], at[name] + 4 * length), at[name]);
  assertEquals(found, bytes);

  // Other buffers of the caller's, of which each is one: bound anew; then with the forward pass made again, where lse is the engine's.
  const y = arrays(options, 1), other = await whole(await engine("reference"), options, y);
  const own = Object.fromEntries(
    Object.entries({ ...y, ...other }).map(([name, data]) => [name, upload(device, new Float32Array(data.length))]),
  ) as unknown as Record<
    keyof typeof parts,
    GPUBuffer
  >;
  for (const [name, data] of Object.entries(y)) device.queue.writeBuffer(own[name as "q"], 0, data);
  const { o, lse, ...rest } = own;
  await attention.forward({ ...rest, o });
  close({ o: new Float32Array(await download(device, o)) }, { o: other.o });
  assertEquals(new Float32Array(await download(device, lse)), new Float32Array(lse.size / 4));
  await attention.backward(rest);
  for (const name of ["dq", "dk", "dv"] as const) {
    close({ [name]: new Float32Array(await download(device, own[name])) }, { [name]: other[name] });
  }
  // Work comes in the order in which it was submitted: what is written before a call is what it reads.
  device.queue.writeBuffer(own.v, 0, x.v);
  device.queue.writeBuffer(own.q, 0, x.q);
  device.queue.writeBuffer(own.k, 0, x.k);
  await attention.forward({ ...rest, o, lse });
  device.queue.writeBuffer(own.v, 0, y.v);
  close({ o: new Float32Array(await download(device, o)), lse: new Float32Array(await download(device, lse)) }, {
    o: want.o,
    lse: want.lse,
  });
  // Arrays meanwhile, and calls at once.
  const [array] = await Promise.all([attention.forward(x), attention.forward({ ...parts }), attention.forward({ ...rest, o })]);
  close(array, { o: want.o });

  // In one call, and nothing of the caller's goes with the engine or with what it made.
  const before = on.persistentBytes;
  attention.dispose();
  assert(on.persistentBytes < before);
  assertEquals(on.persistentBytes, 0);
  const { valueDim, headDim, ...call } = options;
  await sparseAttention(on, { ...call, headDim, valueDim, ...parts });
  on.dispose();
  await assertRejects(() => sparseAttention(on, { ...call, headDim, valueDim, ...parts }), LongstrideError, "disposed");
  device.pushErrorScope("validation");
  assertEquals((await download(device, own.q)).byteLength, own.q.size);
  const once = new Float32Array((await download(device, buffer)).slice(at.dk, at.dk + 4 * want.dk.length));
  close({ dk: once }, { dk: want.dk });
  assertEquals(await device.popErrorScope(), null);
  device.destroy();
});

gpuTest("sparse attention: buffers of f16", async () => {
  const on = await gpu(), { device } = on, options = { ...SIZES, pattern: "strided", stride: 6 } as const;
  const x = arrays(options), { o: want } = await whole(await engine("reference"), options, x);
  const { dO: _, ...inputs } = x;
  const halves = Object.fromEntries(Object.entries(inputs).map(([name, data]) => [name, upload(device, toHalves(data))])) as Record<
    "q" | "k" | "v",
    GPUBuffer
  >;
  const o = upload(device, new Uint16Array(want.length)), { headDim, valueDim, ...call } = options;
  await sparseAttention(on, { ...call, headDim, valueDim, dtype: "f16", ...halves, o });
  close({ o: fromHalves(new Uint16Array(await download(device, o))) }, { o: want }, HALF_TOLERANCE);
  const odd = { ...call, n: 3, heads: 1, batch: 1, headDim: 3, dtype: "f16" } as const;
  await assertRejects(() => sparseAttention(on, { ...odd, ...halves, o }), ShapeError, "q: its rows of 3 halves are kept in f32");
});

gpuTest("sparse attention: grouped keys, slopes by distance and documents, in buffers", async () => {
  const on = await gpu(), { device } = on, x = { ...arrays(GROUPED), spans: DOCUMENTS };
  const { o, dk, dq, dv } = await whole(await engine("reference"), GROUPED, x), { spans: _, ...call } = GROUPED;
  const made = {
    ...x,
    o: new Float32Array(o.length),
    dq: new Float32Array(dq.length),
    dk: new Float32Array(dk.length),
    dv: new Float32Array(dv.length),
  };
  const given = Object.fromEntries(Object.entries(made).map(([name, data]) => [name, upload(device, data)])) as Record<
    keyof typeof made,
    GPUBuffer
  >;
  await sparseAttention(on, { ...call, ...given });
  for (const [name, want] of Object.entries({ o, dq, dk, dv })) {
    close({ [name]: new Float32Array(await download(device, given[name as "o"])) }, { [name]: want });
  }
});

gpuTest("sparse attention: a buffer that cannot be used is refused by the option's name, and the next call is right", async () => {
  const on = await gpu(), { device } = on, other = await bareDevice();
  const options = { ...SIZES, pattern: "strided", stride: 6 } as const, x = arrays(options), { o: want } = await whole(on, options, x);
  const { q, k, v } = { q: upload(device, x.q), k: upload(device, x.k), v: upload(device, x.v) },
    o = upload(device, new Float32Array(want.length));
  const attention = new SparseAttention(on, options);
  const refused = async (given: object, includes: string, kind: typeof LongstrideError = ConfigError) => {
    await assertRejects(() => attention.forward({ q, k, v, o, ...given }), kind, includes);
    await attention.forward({ q, k, v, o });
    close({ o: new Float32Array(await download(device, o)) }, { o: want });
  };
  const big = upload(device, new Uint8Array(65536)), mapped = device.createBuffer({ size: 65536, usage: ALL, mappedAtCreation: true });
  const gone = upload(device, new Uint8Array(65536));
  gone.destroy();
  await refused({ k: upload(device, x.k.subarray(4)) }, "k: [74, 16] of f32 takes 4736 bytes, there are 4720 from offset 0 on", ShapeError);
  await refused({ k: { buffer: big, offset: 65536 - 256 } }, "there are 256 from offset 65280 on", ShapeError);
  await refused({ k: { buffer: big, offset: 256, size: 4 } }, "there are 4 from offset 256 on", ShapeError);
  await refused({ v: { buffer: big, offset: 100 } }, "v: offset is 100 and must be a multiple of");
  await refused({ v: { buffer: big, offset: -256 } }, "v: offset must be a whole number from 0");
  await refused({ v: upload(device, x.v, COPY_DST | COPY_SRC) }, "v: the buffer was made without usage STORAGE");
  await refused({ q: mapped }, "q: the buffer is mapped; unmap it first");
  await refused({ o: upload(other, new Float32Array(want.length)) }, "o: the engine's device cannot bind it");
  await refused({ q: gone }, "q");
  await refused({ o: q }, "o, which is written, has bytes 0 to 2368 of a buffer of which q has 0 to 4736; keep them apart");
  await refused({ o: undefined }, "o must be a GPUBuffer, as q is, or { buffer, offset }, found nothing");
  await refused({ v: x.v }, "v must be a GPUBuffer, as q is");
  await assertRejects(() => attention.forward({ ...x, k } as never), ConfigError, "k must be a Float32Array");
  const cpu = new SparseAttention(await engine("wasm"), options);
  await assertRejects(() => cpu.forward({ q, k, v, o }), ConfigError, "q is a GPUBuffer, of which the wasm engine knows nothing");
  cpu.dispose();
  attention.dispose();
  other.destroy();
});

gpuTest("a tensor in a caller's buffer: written, read and run over, in bands too, and moved by rebind", async () => {
  for (const name of ["webgpu", "webgpu-split"]) {
    const on = await gpu(name), { device } = on, rows = 700, width = 100;
    const x = tensor("x", [rows, width]), w = tensor("w", [8, width]), y = tensor("y", [rows, 8]), program = new Program("a product");
    program.add({ op: "linear", x, w, y });
    const a = upload(device, normals(rows * width + 64, 1)), b = upload(device, normals(rows * width, 2));
    on.allocate([w, y]);
    on.write(w, normals(8 * width, 3));
    await on.adopt(x, { buffer: a, offset: 256 });
    const executable = await on.compile(program), data = [normals(rows * width + 64, 1).subarray(64), normals(rows * width, 2)];
    const product = async (x: Float32Array) => {
      await executable.run();
      const weights = normals(8 * width, 3),
        want = Float64Array.from({ length: rows * 8 }, (_, at) => {
          let sum = 0;
          for (let c = 0; c < width; c++) sum += x[(at >> 3) * width + c] * weights[(at & 7) * width + c];
          return sum;
        });
      assert(relativeError(await on.read(y), want) < TOLERANCE);
    };
    assertEquals(await on.read(x), data[0]);
    assertEquals(await on.read(x, [690, 692]), data[0].subarray(690 * width, 692 * width));
    await product(data[0]);
    await on.adopt(x, b);
    await product(data[0]);
    await executable.rebind();
    await product(data[1]);
    on.write(x, data[0]);
    assertEquals(new Float32Array(await download(device, b)), data[0]);
    await product(data[0]);
    // Its place is its own, and free leaves the buffer.
    assertThrows(() => on.allocate([x]), ShapeError, "Cannot allocate x: it already has a place; free it first");
    await assertRejects(() => on.adopt(w, b), ShapeError, "Cannot adopt a buffer for w: it already has a place; free it first");
    await assertRejects(() => on.adopt(program.scratch("s", [4]), b), ShapeError, "it is a scratch tensor");
    await assertRejects(() => on.adopt(x, {} as never), ConfigError, "Cannot adopt a buffer for x: it is no GPUBuffer");
    await assertRejects(() => on.adopt(undefined as never, b), ConfigError, "tensor must be an object");
    on.free([x]);
    assertThrows(() => on.write(x, data[0]), ShapeError, "it is not allocated");
    assertEquals(new Float32Array(await download(device, b)), data[0]);
    // What was not made for copies can be computed on.
    await on.adopt(x, upload(device, data[1], STORAGE));
    await executable.rebind();
    await product(data[1]);
    assertThrows(() => on.write(x, data[0]), ConfigError, "was made without usage COPY_DST");
    await assertRejects(() => on.read(x), ConfigError, "was made without usage COPY_SRC");
    executable.dispose();
    on.free([w, x, y]);
  }
});

gpuTest("a program whose tensors overlap in a caller's buffer is refused when it is bound", async () => {
  const on = await gpu(), x = tensor("x", [64, 4]), y = tensor("y", [64, 4]), w = tensor("w", [4, 4]);
  const program = new Program("in place"), buffer = upload(on.device, new Float32Array(512));
  program.add({ op: "linear", x, w, y });
  on.allocate([w]);
  await on.adopt(x, buffer);
  await on.adopt(y, { buffer, offset: 512 });
  await assertRejects(() => on.compile(program), KernelError, "over x in a caller's buffer; keep them apart");
  await on.adopt(y, { buffer, offset: 1024 });
  const executable = await on.compile(program);
  await executable.run();
  assertEquals(await on.read(y), new Float32Array(256));
  executable.dispose();
  on.free([w, x, y]);
});

Deno.test("sets of intervals are what they say, in any order", () => {
  const set = { kind: "intervals", intervals: INTERVALS, causal: true } as const;
  assertEquals([attends(set, 4, 3), attends(set, 4, 4), attends(set, 4, 5), attends(set, 6, 6), attends(set, 99, 0)], [
    true,
    true,
    false,
    false,
    false,
  ]);
  assertStringIncludes(JSON.stringify(set), "intervals");
});

Deno.test("the CPU engine forgets layouts of sets that are asked for no more", async () => {
  const layouts = new Layouts(),
    of = (l: number) => layouts.of({ kind: "window", l, causal: true }, 8),
    first = await of(0),
    second = await of(1);
  for (let l = 2; l < 64; l++) await of(l);
  assert(await of(0) === first);
  await of(64);
  assert(await of(0) === first && await of(1) !== second);
});

Deno.test.afterAll(disposeEngines);
