/**
 * Sparse attention by itself: its output and its gradients, of a caller's arrays or of buffers on a caller's GPU.
 *
 * @module
 */

import { type BufferRange, isRange, rangeOf } from "../base/buffers.ts";
import { expect, shown } from "../base/check.ts";
import { ConfigError, ShapeError } from "../base/errors.ts";
import { classOf, type FloatArray, isFloats, isHalves, likeArray, numbersOf } from "../base/floats.ts";
import { inTurn, Turns } from "../base/turns.ts";
import {
  type AttentionOptions,
  attentionProgram,
  type AttentionTensors,
  attentionTensors,
  resolveAttention,
  type ResolvedAttention,
} from "../model/attention.ts";
import type { WebGpuEngine, WebGpuExecutable } from "../engines/webgpu/engine.ts";
import { type Engine, type Executable, readAll, size, type Tensor, type TensorData } from "../ops/mod.ts";

/** Choices of one call. */
export interface PassOptions {
  /** Gives up, waiting for a turn or between two steps; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What attention is computed of. A is the kind of array: all of one call are alike, and what comes out too. */
export interface AttentionArrays<A extends FloatArray = FloatArray> {
  /** [batch, n, heads, headDim] */
  readonly q: A;
  /** [batch, n, kvHeads, headDim]; n or, with `keys`, as many positions of another sequence */
  readonly k: A;
  /** [batch, n, kvHeads, valueDim], as k */
  readonly v: A;
  /** [batch, n, 2]: the keys that each query may see, from the first number to before the second; of `documentSpans` or `lengthSpans`. */
  readonly spans?: Uint32Array;
}

/** What attention makes of arrays. */
export interface AttentionOutput<A extends FloatArray = FloatArray> {
  /** [batch, n, heads, valueDim] */
  readonly o: A;
  /** [batch, heads, n]: natural log-sum-exp of each query's scaled scores, what the backward pass needs beside o. */
  readonly lse: A extends Float64Array ? Float64Array : Float32Array;
}

/** What gradients are computed of: the arrays of the forward pass, and what it made of them. */
export interface GradientArrays<A extends FloatArray = FloatArray> extends AttentionArrays<A> {
  /** As the forward pass made it, and so `lse`; where both are left out it is run again. */
  readonly o?: A;
  /** See `o`. */
  readonly lse?: Float32Array | Float64Array;
  /** [batch, n, heads, valueDim]: gradient of o. */
  readonly dO: A;
}

/** Gradients of the arrays that they are named after. */
export interface AttentionGradients<A extends FloatArray = FloatArray> {
  /** as q */
  readonly dq: A;
  /** as k */
  readonly dk: A;
  /** as v */
  readonly dv: A;
}

/** Buffers of the engine's device, or parts of them: shapes are those of {@linkcode AttentionArrays}, of f32 or, by `dtype`, f16. */
export interface AttentionBuffers extends Readonly<Record<"q" | "k" | "v" | "o", BufferRange>> {
  /** f32; kept by the engine where absent. */
  readonly lse?: BufferRange;
  /** u32 */
  readonly spans?: BufferRange;
}

/** Buffers of the backward pass. Where `o` and `lse` are left out, the forward pass is run again. */
export interface GradientBuffers extends Readonly<Record<"q" | "k" | "v" | "dO" | "dq" | "dk" | "dv", BufferRange>> {
  /** As the forward pass made it. */
  readonly o?: BufferRange;
  /** f32, as the forward pass made it. */
  readonly lse?: BufferRange;
  /** u32 */
  readonly spans?: BufferRange;
}

type Name = keyof AttentionTensors;
type Pass = "forward" | "backward";
type Given = Readonly<Record<string, unknown>>;

const CANNOT = "Cannot attend";
const INPUTS: Readonly<Record<Pass, readonly Name[]>> = { forward: ["q", "k", "v"], backward: ["q", "k", "v", "dO"] };
const MADE: Readonly<Record<Pass, readonly Name[]>> = { forward: ["o", "lse"], backward: ["dq", "dk", "dv"] };

/** The tensors of an attention with its programs. Each lies in memory of the engine's, or in a caller's buffer. */
class Placed {
  readonly tensors: AttentionTensors;
  /** Where a caller's buffer is one's place, else the engine's memory. */
  readonly #places = new Map<Tensor, GPUBufferBinding | "own">();
  readonly #made = new Map<Pass, Executable>();
  /** Programs that are bound to places where some tensor no longer lies. */
  readonly #stale = new Set<Executable>();

  constructor(readonly engine: Engine, readonly of: ResolvedAttention) {
    this.tensors = attentionTensors(of);
  }

  /** Gives a tensor its place. */
  async place(name: Name, given?: BufferRange): Promise<void> {
    const t = this.tensors[name], place = given === undefined ? "own" : rangeOf(given);
    const before = this.#places.get(t);
    if (before === place || (before && isSame(before, place))) return;
    if (before === "own" || (before && place === "own")) {
      this.engine.free([t]);
      this.#places.delete(t);
    }
    // Each by itself: a kernel that reads a buffer which it also writes would be compiled once more.
    if (place === "own") this.engine.allocate([t]);
    else await (this.engine as WebGpuEngine).adopt(t, place);
    this.#places.set(t, place);
    if (before) { for (const executable of this.#made.values()) this.#stale.add(executable); }
  }

  /** Runs a pass over what lies there, compiled when it is the first. */
  async run(pass: Pass, signal?: AbortSignal): Promise<void> {
    let executable = this.#made.get(pass);
    if (!executable) this.#made.set(pass, executable = await this.engine.compile(attentionProgram(this.of, this.tensors, pass)));
    else if (this.#stale.has(executable)) await (executable as WebGpuExecutable).rebind();
    this.#stale.delete(executable);
    signal?.throwIfAborted();
    await executable.run();
  }

  free(): void {
    for (const executable of this.#made.values()) executable.dispose();
    this.#made.clear();
    this.engine.free([...this.#places.keys()]);
    this.#places.clear();
  }
}

const isSame = (a: GPUBufferBinding | "own", b: GPUBufferBinding | "own") =>
  a !== "own" && b !== "own" && a.buffer === b.buffer && (a.offset ?? 0) === (b.offset ?? 0) && a.size === b.size;

/**
 * Sparse attention of fixed sizes: o = softmax(q·kᵀ/√headDim − slope·|i − j| over the pattern)·v by head, and its gradients, as often as
 * wanted. Scores outside the pattern are never computed.
 *
 * Arrays are row-major [batch, n, heads, width], the order of JAX's `dot_product_attention`; PyTorch's [batch, heads, n, width] is it with
 * two axes exchanged. On a WebGPU engine everything may lie in buffers of the caller's instead ({@linkcode WebGpuEngine.adopt} says what
 * they must be): then nothing passes through the CPU, and a pass resolves when its work is in the queue of `engine.device`, before which
 * comes what was submitted before the call, after which what is submitted from then on. The first pass of each kind compiles; one over other
 * buffers than the last binds them anew, which compiles nothing.
 *
 * Nothing is kept from one call for the next, so calls may be made at once, also of several of these on one engine: those of one take turns.
 * What a call is given must not change until its promise is settled.
 *
 * @example Forward and backward
 * ```ts
 * import { pickBackend } from "../../mod.ts";
 * import { SparseAttention } from "../../ops.ts";
 *
 * const { engine } = await pickBackend("wasm", { threads: 1 }), random = () => Float32Array.from({ length: 64 * 2 * 8 }, Math.random);
 * const attention = new SparseAttention(engine, { n: 64, heads: 2, headDim: 8, pattern: "strided", stride: 8 });
 * const x = { q: random(), k: random(), v: random() };
 * const out = await attention.forward(x);
 * const { dq, dk, dv } = await attention.backward({ ...x, ...out, dO: random() });
 * console.log(out.o.length, dq.length, dk.length, dv.length);
 * engine.dispose();
 * ```
 */
export class SparseAttention {
  readonly #engine: Engine;
  readonly #of: ResolvedAttention;
  #arrays: Placed | undefined;
  #buffers: Placed | undefined;
  readonly #turns = new Turns();
  #closed = false;

  /**
   * Checks the options; kernels are compiled by the first passes.
   *
   * @throws {ConfigError} naming the option that is missing, unknown or out of range
   * @throws {ShapeError} where the heads of k and v do not divide those of q
   */
  constructor(engine: Engine, options: AttentionOptions) {
    expect(CANNOT, { engine: [engine, "an engine"] });
    this.#engine = engine;
    this.#of = resolveAttention(CANNOT, options);
  }

  /**
   * o and lse of arrays.
   *
   * @throws {ShapeError} naming the array whose length is not that of its shape
   * @throws {ConfigError} naming what is no array of floats, or of another kind than q
   * @throws {OutOfMemoryError} where the engine has not the memory
   */
  forward<A extends FloatArray>(arrays: AttentionArrays<A>, options?: PassOptions): Promise<AttentionOutput<A>>;
  /**
   * o and lse of buffers into buffers; resolves when the work is submitted.
   *
   * @throws {ShapeError} naming the buffer that is too small
   * @throws {ConfigError} naming the buffer that is missing, overlaps another that is written, or cannot be used; on other engines than WebGPU
   */
  forward(buffers: AttentionBuffers, options?: PassOptions): Promise<void>;
  async forward(given: AttentionArrays | AttentionBuffers, options: PassOptions = {}): Promise<AttentionOutput | void> {
    return await this.#pass("forward", given as unknown as Given, options) as AttentionOutput | void;
  }

  /**
   * Gradients of arrays.
   *
   * @throws {ShapeError} naming the array whose length is not that of its shape
   * @throws {ConfigError} naming what is no array of floats, or of another kind than q; where one of o and lse is given
   * @throws {OutOfMemoryError} where the engine has not the memory
   */
  backward<A extends FloatArray>(arrays: GradientArrays<A>, options?: PassOptions): Promise<AttentionGradients<A>>;
  /**
   * Gradients of buffers into buffers; resolves when the work is submitted.
   *
   * @throws {ShapeError} naming the buffer that is too small
   * @throws {ConfigError} naming the buffer that is missing, overlaps another that is written, or cannot be used; on other engines than WebGPU
   */
  backward(buffers: GradientBuffers, options?: PassOptions): Promise<void>;
  async backward(given: GradientArrays | GradientBuffers, options: PassOptions = {}): Promise<AttentionGradients | void> {
    return await this.#pass("backward", given as unknown as Given, options) as AttentionGradients | void;
  }

  /** Frees what this made, as soon as no pass is under way; a caller's buffers are left alone. */
  dispose(): void {
    this.#closed = true;
    if (!this.#turns.holder) this.#free();
  }

  #free(): void {
    this.#arrays?.free();
    this.#buffers?.free();
    this.#arrays = this.#buffers = undefined;
  }

  async #pass(pass: Pass, given: Given, options: PassOptions): Promise<unknown> {
    expect(CANNOT, { [pass]: [given, "an object"], options: [options, "an object"] });
    const { signal } = options, onBuffers = isRange(given.q), again = this.#checkGiven(pass, given);
    try {
      return await inTurn(this.#turns, signal, async () => {
        if (this.#closed) throw new ConfigError(`${CANNOT}: the attention has been disposed of; make another`);
        return await (onBuffers ? this.#ofBuffers(pass, given, again, signal) : this.#ofArrays(pass, given, again, signal));
      });
    } finally {
      if (this.#closed && !this.#turns.holder) this.#free();
    }
  }

  /** What a pass is given; answers whether the forward pass comes before it. */
  #checkGiven(pass: Pass, given: Given): boolean {
    if ((given.spans !== undefined) !== this.#of.spans) {
      throw new ConfigError(`${CANNOT}: spans are ${this.#of.spans ? "missing" : "given"}, the option spans is ${this.#of.spans}`);
    }
    if (pass === "backward" && (given.o === undefined) !== (given.lse === undefined)) {
      throw new ConfigError(`${CANNOT}: the backward pass needs o and lse, or neither to make them again; found only one`);
    }
    return pass === "backward" && given.o === undefined;
  }

  /** Names of the tensors that a pass reads. */
  #inputs(pass: Pass, again: boolean): readonly Name[] {
    return [...INPUTS[pass], ...pass === "backward" && !again ? MADE.forward : [], ...this.#of.spans ? ["spans" as const] : []];
  }

  async #ofArrays(pass: Pass, given: Given, again: boolean, signal?: AbortSignal): Promise<unknown> {
    const engine = this.#engine,
      placed = this.#arrays ??= new Placed(engine, this.#of),
      { tensors } = placed,
      inputs = this.#inputs(pass, again);
    const data = inputs.map((name) => checkedArray(name, given[name], tensors[name], given.q));
    for (const name of [...inputs, ...again ? MADE.forward : [], ...MADE[pass]]) await placed.place(name);
    inputs.forEach((name, at) => engine.write(tensors[name], data[at]));
    if (again) await placed.run("forward", signal);
    await placed.run(pass, signal);
    const made = await readAll(engine, MADE[pass].map((name) => ({ tensor: tensors[name] })));
    return Object.fromEntries(MADE[pass].map((name, at) => [name, likeArray(kindOf(name, given.q as FloatArray), made[at])]));
  }

  async #ofBuffers(pass: Pass, given: Given, again: boolean, signal?: AbortSignal): Promise<void> {
    const engine = this.#engine, placed = this.#buffers ??= new Placed(engine, this.#of);
    if (engine.name !== "webgpu") {
      throw new ConfigError(
        `${CANNOT}: q is a GPUBuffer, of which the ${engine.name} engine knows nothing; use the WebGPU engine of its device`,
      );
    }
    const inputs = this.#inputs(pass, again), own: Name[] = again ? ["o", "lse"] : given.lse === undefined ? ["lse"] : [];
    const names = [...new Set([...inputs, ...again ? MADE.forward : [], ...MADE[pass]])];
    const ranges = names.filter((name) => !own.includes(name)).map((name) => checkedRange(name, given[name], placed.tensors[name]));
    checkApart(pass, ranges);
    for (const name of names) await placed.place(name, own.includes(name) ? undefined : given[name] as BufferRange);
    if (again) await placed.run("forward", signal);
    await placed.run(pass, signal);
  }
}

/** The kind of array that comes out of that name. */
const kindOf = (name: Name, q: FloatArray): FloatArray => name === "lse" && isHalves(q) ? new Float32Array(0) : q;

/** Says what something must be. */
const refuse = (name: string, what: string, value: unknown) => new ConfigError(`${CANNOT}: ${name} must be ${what}, found ${shown(value)}`);

/** Refuses what is no array of floats, or of another kind than q. */
function checkKind(name: Name, value: unknown, q: unknown): asserts value is FloatArray {
  if (!isFloats(value)) {
    throw refuse(name, "a Float32Array, Float64Array, Float16Array, a Uint16Array of f16 in bits, or a GPUBuffer", value);
  }
  if (name !== "lse" && classOf(value) !== classOf(q)) throw refuse(name, `a ${classOf(q)}, as q is`, value);
}

/** The numbers of an array for a tensor. */
function checkedArray(name: Name, value: unknown, t: Tensor, q: unknown): TensorData {
  if (name !== "spans") checkKind(name, value, q);
  else if (classOf(value) !== "Uint32Array") throw refuse(name, "a Uint32Array", value);
  const { length } = value as Uint32Array, shape = t.shape.join(", ");
  if (length !== size(t)) throw new ShapeError(`${CANNOT}: ${name} has ${length} elements and must have ${size(t)}, those of [${shape}]`);
  return name === "spans" ? value as Uint32Array : numbersOf(value as FloatArray);
}

/** A tensor's bytes in a caller's buffer. */
interface Range {
  readonly name: Name;
  readonly buffer: GPUBuffer;
  readonly from: number;
  readonly to: number;
}

function checkedRange(name: Name, value: unknown, t: Tensor): Range {
  if (!isRange(value)) throw refuse(name, "a GPUBuffer, as q is, or { buffer, offset }", value);
  const { buffer, offset: from = 0 } = rangeOf(value);
  return { name, buffer, from, to: from + size(t) * (t.dtype === "f16" ? 2 : 4) };
}

/** Refuses parts of one buffer that overlap where one of them is written. */
function checkApart(pass: Pass, ranges: readonly Range[]): void {
  for (const a of ranges.filter(({ name }) => MADE[pass].includes(name))) {
    const b = ranges.find((b) => a !== b && a.buffer === b.buffer && a.from < b.to && b.from < a.to);
    if (!b) continue;
    throw new ConfigError(
      `${CANNOT}: ${a.name}, which is written, has bytes ${a.from} to ${a.to} of a buffer of which ${b.name} has ${b.from} to ${b.to}; ` +
        `keep them apart`,
    );
  }
}

/** Sizes and pattern of {@linkcode sparseAttention}, as {@linkcode AttentionOptions} has them. */
export interface AttentionCall extends Omit<AttentionOptions, "headDim" | "spans" | "dtype">, PassOptions {
  /** Found from the lengths of arrays; buffers need it said. */
  readonly headDim?: number;
  /** Of buffers, default f32; of arrays f16 where they are of f16. */
  readonly dtype?: "f32" | "f16";
}

/**
 * Sparse attention once: o and lse of q, k and v; with dO also dq, dk and dv. What is called often is {@linkcode SparseAttention}, which
 * compiles once; this does as many calls of one engine as are made, in the order in which they come to it.
 *
 * @param engine of `pickBackend`
 * @param options arrays [batch, n, heads, width] with the sizes, and one of `pattern` (with its fields), `intervals` and `sets`
 * @throws {ConfigError} naming the option that is missing, unknown or out of range
 * @throws {ShapeError} naming the array whose length is not that of its shape
 * @throws {OutOfMemoryError} where the engine has not the memory
 *
 * @example
 * ```ts
 * import { pickBackend } from "../../mod.ts";
 * import { sparseAttention } from "../../ops.ts";
 *
 * const { engine } = await pickBackend("wasm", { threads: 1 }), random = () => Float32Array.from({ length: 64 * 2 * 8 }, Math.random);
 * const q = random(), k = random(), v = random();
 * const { o, lse } = await sparseAttention(engine, { q, k, v, n: 64, heads: 2, pattern: "fixed", stride: 16, c: 4 });
 * console.log(o.length, lse.length);
 * engine.dispose();
 * ```
 */
export function sparseAttention<A extends FloatArray>(
  engine: Engine,
  options: AttentionCall & AttentionArrays<A> & Required<Pick<GradientArrays<A>, "dO">>,
): Promise<AttentionOutput<A> & AttentionGradients<A>>;
/** Only forward. */
export function sparseAttention<A extends FloatArray>(
  engine: Engine,
  options: AttentionCall & AttentionArrays<A>,
): Promise<AttentionOutput<A>>;
/** From buffers into buffers: forward where there is `o`, backward where there is `dO`. Resolves when the work is submitted. */
export function sparseAttention(
  engine: Engine,
  options: AttentionCall & (AttentionBuffers | GradientBuffers | AttentionBuffers & GradientBuffers),
): Promise<void>;
export async function sparseAttention(engine: Engine, options: AttentionCall): Promise<unknown> {
  expect(CANNOT, { options: [options, "an object"] });
  const { signal, ...given } = options, entries = Object.entries(given), isData = ([name]: [string, unknown]) => DATA.includes(name);
  const data = Object.fromEntries(entries.filter(isData)) as Record<Name, never>, onBuffers = isRange(data.q), { o, lse, dO } = data;
  const shape = Object.fromEntries(entries.filter((entry) => !isData(entry))) as unknown as AttentionOptions;
  const sizes = onBuffers ? {} : sizesOf(shape, data.q, data.v);
  const attention = new SparseAttention(engine, { ...sizes, ...shape, spans: data.spans !== undefined });
  try {
    if (onBuffers) {
      if (o !== undefined || dO === undefined) await attention.forward(data, { signal });
      if (dO !== undefined) await attention.backward(lse === undefined ? { ...data, o: undefined } : data, { signal });
      return;
    }
    const out = await attention.forward(data, { signal });
    return dO === undefined ? out : { ...out, ...await attention.backward({ ...data, ...out }, { signal }) };
  } finally {
    attention.dispose();
  }
}

const DATA: readonly string[] = ["q", "k", "v", "o", "lse", "spans", "dO", "dq", "dk", "dv"];

/** Widths of heads by the lengths of arrays. */
function sizesOf({ batch = 1, n, keys, heads, kvHeads = heads, sets }: AttentionOptions, q: unknown, v: unknown) {
  const of = Array.isArray(sets) ? sets[0] : sets, others = keys ?? (of?.kind === "intervals" ? of.keys : undefined) ?? n;
  const width = (name: "q" | "v", array: unknown, n: number, heads: number) => {
    checkKind(name, array, q);
    const rows = batch * n * heads, found = array.length / rows;
    // Sizes that are none are named by what checks them.
    if (!(found % 1 > 0) && found !== 0) return isFinite(found) && found || 1;
    throw new ShapeError(`${CANNOT}: ${name} has ${array.length} elements, no multiple of its ${batch} × ${n} × ${heads} rows of heads`);
  };
  return {
    headDim: width("q", q, n, heads),
    valueDim: width("v", v, others, heads % kvHeads ? NaN : kvHeads),
    dtype: isHalves(q) ? "f16" as const : "f32" as const,
  };
}
