/**
 * The WebGPU engine: a program becomes a list of dispatches over bound buffers once, and a run replays it in one compute
 * pass and one submit, without an allocation or a read-back.
 *
 * @module
 */

import { BackendError, ConfigError, excerpt, KernelError, LongstrideError, OutOfMemoryError, ShapeError } from "../../base/errors.ts";
import { fromHalves, toHalves } from "../../base/half.ts";
import {
  type Engine,
  type Executable,
  extent,
  lifetimes,
  type Linear,
  type Op,
  operands,
  type Program,
  size,
  type Tensor,
  type TensorData,
} from "../../ops/mod.ts";
import { Bands, tooLarge } from "./bands.ts";
import { type Acquired, acquireDevice, type DeviceOptions } from "./device.ts";
import type { Limits } from "./device.ts";
import { Pages, planSlots, release, storageBuffer } from "./memory.ts";
import { PLANNERS } from "./plan/index.gen.ts";
import { join, jointProducts } from "./plan/joint.ts";
import { type Dispatch, type Operand, Plan, type Planner, type TilePreference, timeOf } from "./plan/plan.ts";
import { planInPieces } from "./plan/split.ts";
import { naming, saying, scoped } from "./scopes.ts";
import { type Pipeline, Pipelines, storageBindings } from "./shader/pipelines.ts";
import { kernelSource } from "./shader/specialise.ts";
import { ALIGNMENT, bindable, isPacked, roundUp, rowsOf, storedBytes } from "./storage.ts";
import type { Tuning } from "./tuning/tuning.ts";

export type { DeviceOptions, TilePreference, Tuning };

/** How to make a {@linkcode WebGpuEngine}. */
export interface WebGpuOptions extends DeviceOptions {
  /** Which tile variants to prefer; `auto` (the default) goes by the size of each problem. */
  tiles?: TilePreference;
  /**
   * Whether attention goes through sets in the rows' order (as far as there is room for their pairs as bits) or, false, by their parts;
   * the cheaper where absent. For tests and measurements.
   */
  inOrder?: boolean;
  /** What `tune` measured on this device, or what to ask for it by the engine's description. */
  tuning?: Tuning | ((device: string) => Tuning | undefined);
  /** Bind no more bytes at once than so many, where the device would bind more: tensors beyond are split. For tests. */
  bindingBytes?: number;
  /**
   * Bytes that a kernel may keep for a later one, which would otherwise compute them again; by default 1 GiB: attention's backward pass
   * keeps a number for each pair of its tiles, of one layer at a time. A program does without where the device refuses that memory when
   * it is compiled; for what shall be allocated or compiled after it, give less here.
   */
  keepBytes?: number;
}

// How long a failure waits for the news that the device is lost, since what was under way may be told of it first: a quarter of a second,
// in turns, because one that other work makes long is one turn only.
const LOSS_TURNS = 10, LOSS_MS = 25;

// Over 12,288 positions and 8 heads strided with l = 128 keeps 84 MiB and fixed with c = 32 612; dense would keep 2.3 GiB.
const KEPT_BYTES = 2 ** 30;

/** A dispatch ready to be encoded. */
export interface Bound {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly dispatch: Dispatch & { op: number };
}

/** What the runs of a program encode. */
export interface Recording {
  readonly device: GPUDevice;
  readonly program: Program;
  readonly bound: readonly Bound[];
  /** Does work on the device: what it throws, or has failed there since, comes out typed. */
  readonly guard: <T>(what: string, work: () => Promise<T>) => Promise<T>;
}

/** By executable: `profile` measures them. Its code is not here, since pages do not need it. */
export const recordings: WeakMap<Executable, Recording> = new WeakMap();

/** Plans an operation with the planner of its name. */
async function planOp(plan: Plan, op: Op): Promise<void> {
  await (PLANNERS[op.op] as Planner<Op>)(plan, op);
}

/** The bytes that the device keeps. */
function stored(t: Tensor, data: TensorData): Uint32Array | Uint16Array | Float32Array {
  if (t.dtype === "u32") return data instanceof Uint32Array ? data : new Uint32Array(data);
  if (isPacked(t)) return toHalves(data);
  return data instanceof Float32Array ? data : new Float32Array(data);
}

/** The numbers in bytes that the device kept. */
function loaded(t: Tensor, bytes: ArrayBuffer): TensorData {
  if (t.dtype === "u32") return new Uint32Array(bytes);
  return isPacked(t) ? fromHalves(new Uint16Array(bytes)) : new Float32Array(bytes);
}

/** Whom the loss of a device concerns: nobody, once its engine is disposed of. */
interface Watched {
  fail?: (error: BackendError) => void;
}

/**
 * Tells of the loss of a device. Not in the engine's constructor, whose functions all keep the engine: a caller's device lives on, and
 * would keep every engine that there was, half a megabyte each.
 */
function watch(device: GPUDevice, name: string, watched: Watched): void {
  const lost = (why: string) =>
    watched.fail?.(
      new BackendError(
        `The WebGPU device (${name}) is lost, ${why}; what was on it is gone, make a new engine and load the last checkpoint`,
      ),
    );
  device.lost.then(({ reason, message }) => lost(`${reason}: ${message}`), (error) => lost(saying(error)));
}

/** The operations contract on a GPU. */
export class WebGpuEngine implements Engine {
  readonly name = "webgpu";
  readonly deferred = true;
  /** For people: the adapter, and what it computes on. */
  readonly description: string;
  /** The adapter computes on the CPU. */
  readonly isSoftware: boolean;
  readonly #device: GPUDevice;
  readonly #owned: boolean;
  readonly #tiles: TilePreference;
  readonly #inOrder: boolean | undefined;
  readonly #keep: number;
  readonly #tuning: Tuning | undefined;
  readonly #limits: Limits;
  readonly #bands: Bands;
  readonly #pages: Pages;
  readonly #pipelines: Pipelines;
  /** Bound where a kernel declares an operand that its variant never touches: one range to read, others to write. */
  readonly #absent: { read: GPUBuffer; write: GPUBuffer };
  readonly #unwatch: () => void;
  #failure: LongstrideError | undefined;
  #running = "no program yet";
  readonly #onError = (event: Event) => {
    const { message } = (event as GPUUncapturedErrorEvent).error;
    const whose = this.#owned ? "" : " (or other work on the caller's device)";
    this.#fail(new KernelError(`WebGPU failed, last run was ${this.#running}${whose}: ${message}`));
  };

  private constructor(
    { device, owned, isSoftware, adapterName }: Acquired,
    { tiles, inOrder, tuning, bindingBytes = Infinity, keepBytes = KEPT_BYTES }: WebGpuOptions,
  ) {
    this.#device = device;
    this.#owned = owned;
    this.#tiles = tiles ?? "auto";
    this.#inOrder = inOrder;
    this.#keep = keepBytes;
    this.isSoftware = isSoftware;
    this.description = `WebGPU on ${adapterName}${isSoftware ? " (software, on the CPU)" : ""}`;
    this.#tuning = typeof tuning === "function" ? tuning(this.description) : tuning;
    const { limits } = device;
    this.#limits = {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: Math.min(limits.maxStorageBufferBindingSize, bindingBytes),
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    };
    this.#bands = new Bands(this.#limits);
    this.#pages = new Pages(device, this.#bands);
    this.#pipelines = new Pipelines(device);
    this.#absent = { read: storageBuffer(device, "absent", ALIGNMENT), write: storageBuffer(device, "absent", 4 * ALIGNMENT) };
    device.addEventListener("uncapturederror", this.#onError);
    const watched: Watched = { fail: (error) => this.#fail(error) };
    this.#unwatch = () => watched.fail = undefined;
    watch(device, adapterName, watched);
  }

  /**
   * Makes an engine.
   *
   * @throws {BackendError} where there is no WebGPU, no adapter, only a software adapter that is not allowed, or no device; and where
   * the caller's device is lost, or its limits are below what the kernels need
   * @throws {ConfigError} where the tuning was measured on another device
   */
  static async create(options: WebGpuOptions = {}): Promise<WebGpuEngine> {
    const acquired = await acquireDevice(options);
    let engine: WebGpuEngine;
    try {
      engine = new WebGpuEngine(acquired, options);
    } catch (cause) {
      if (acquired.owned) release(acquired.device);
      if (cause instanceof LongstrideError) throw cause;
      throw new BackendError(`Cannot use WebGPU: ${acquired.adapterName} failed at once: ${saying(cause)}`, { cause });
    }
    const { description } = engine, measured = engine.#tuning?.device;
    if (measured === undefined || measured === description) return engine;
    engine.dispose();
    throw new ConfigError(
      `Cannot use that tuning: it was measured on ${excerpt(measured)}, this device is ${excerpt(description)}; tune on this device`,
    );
  }

  /** Limits of the device. */
  get limits(): GPUSupportedLimits {
    return this.#device.limits;
  }

  /** Whether times can be measured on the GPU. */
  get timestamps(): boolean {
    return this.#device.features.has("timestamp-query");
  }

  /** Bytes of persistent tensors. */
  get persistentBytes(): number {
    return this.#pages.bytes;
  }

  /** Keeps the first failure; a lost device outweighs what follows from it. */
  #fail(error: LongstrideError): void {
    if (!this.#failure || (error instanceof BackendError && !this.#gone)) this.#failure = error;
  }

  /** Throws a failure once: what is on the device can still be read and saved after it, unless the device is lost. */
  #check(): void {
    const failure = this.#failure;
    if (failure && !this.#gone) this.#failure = undefined;
    if (failure) throw failure;
  }

  /**
   * Does work on the device, begun at once. Every error comes out typed, as that of a lost device where it is lost: a call may fail of
   * it before the device says so.
   */
  async #guard<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      this.#check();
      return await work();
    } catch (error) {
      const typed = this.#typed(what, error);
      if (!(typed instanceof KernelError || typed instanceof OutOfMemoryError)) throw typed;
      for (let turn = 0; turn < LOSS_TURNS && !this.#gone; turn++) await new Promise((resume) => setTimeout(resume, LOSS_MS));
      throw this.#gone ?? typed;
    }
  }

  /** Does work whose failure on the device, WebGPU answering late, the next compile, run or read tells. */
  #later(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof LongstrideError && !(error instanceof KernelError)) throw error;
      this.#fail(this.#typed(what, error));
    }
  }

  /** The loss of the device. */
  get #gone(): BackendError | undefined {
    return this.#failure instanceof BackendError ? this.#failure : undefined;
  }

  #typed(what: string, error: unknown): LongstrideError {
    return error instanceof LongstrideError ? error : new KernelError(`${what}: ${saying(error)}`, { cause: error });
  }

  /** Notes what error scopes caught, and names what it was about. */
  async #note(what: string, scopes: Promise<(GPUError | null)[]>): Promise<LongstrideError | undefined> {
    let noted: LongstrideError | undefined;
    const errors = await scopes.catch((error) => [new Error(`its error scope gave no answer: ${saying(error)}`)]);
    for (const error of errors) {
      if (!error) continue;
      const memory = error.constructor.name === "GPUOutOfMemoryError";
      noted = memory ? new OutOfMemoryError(`Out of GPU memory: ${what}: ${error.message}`) : new KernelError(`${what}: ${error.message}`);
      this.#fail(noted);
    }
    return noted;
  }

  /** Runs `make` inside validation and out-of-memory scopes; returns with what they caught, once their verdict is in. */
  #scoped<T>(what: string, make: () => T): [T, Promise<LongstrideError | undefined>] {
    const [made, scopes] = scoped(this.#device, ["validation", "out-of-memory"], make);
    return [made, this.#note(what, scopes)];
  }

  /**
   * Makes persistent tensors, zeroed. Memory that the device refuses shows at the next compile, run or read, since
   * WebGPU answers later.
   *
   * @throws {OutOfMemoryError} where not even 64 rows of a tensor fit one binding of the device, naming it
   */
  allocate(tensors: readonly Tensor[]): void {
    const bytes = tensors.reduce((sum, t) => sum + storedBytes(t), 0),
      what = `allocating ${tensors.length} tensors, ${(bytes / 2 ** 20).toFixed(1)} MiB`;
    this.#later(what, () => void this.#scoped(what, () => this.#pages.allocate(tensors)));
  }

  /** Frees persistent tensors. */
  free(tensors: readonly Tensor[]): void {
    this.#pages.free(tensors);
  }

  /** A tensor's places in order, with the elements that each holds: of all bands, or the one. */
  #segments(t: Tensor, what: string): { buffer: GPUBuffer; offset: number; first: number; count: number }[] {
    const { width } = rowsOf(t), blocks = this.#bands.of(t) ?? [{ tensor: t, first: 0, rows: rowsOf(t).rows }];
    return blocks.map(({ tensor, first, rows }) => ({ ...this.#placed(tensor, what), first: first * width, count: rows * width }));
  }

  #placed(t: Tensor, what: string): { buffer: GPUBuffer; offset: number } {
    const place = this.#pages.place(t);
    if (!place) throw new ShapeError(`Cannot ${what} ${t.name}: it is not allocated on this engine`);
    return place;
  }

  /**
   * Copies numbers into a tensor, in order with the runs around it.
   *
   * @throws {ShapeError} where the length differs from the tensor's size, or the tensor has no place
   */
  write(t: Tensor, data: TensorData): void {
    // Where not even its place could be made, the next run tells.
    if (this.#failure && !this.#bands.flat([t]).every((one) => this.#pages.place(one))) return;
    const segments = this.#segments(t, "write");
    // Also what a detached array looks like: writeBuffer would end the process.
    if (data.length !== size(t)) {
      throw new ShapeError(`Cannot write ${t.name} [${t.shape.join(", ")}]: it has ${size(t)} elements, got ${data.length}`);
    }
    this.#later(`writing ${t.name}`, () => {
      for (const { buffer, offset, first, count } of segments) {
        const some = segments.length > 1 ? data.subarray(first, first + count) : data;
        if (count > 0) this.#device.queue.writeBuffer(buffer, offset, stored(t, some) as Float32Array<ArrayBuffer>);
      }
    });
  }

  /**
   * Waits for the runs so far and copies a tensor out, or a range of its outermost dimension.
   *
   * @throws {ShapeError} where there is no such range
   * @throws {KernelError} naming the program, when an earlier run failed on the device
   */
  async read(t: Tensor, range?: readonly [number, number]): Promise<TensorData> {
    return await this.#guard(`Cannot read ${t.name}`, () => this.#read(t, range));
  }

  async #read(t: Tensor, range?: readonly [number, number]): Promise<TensorData> {
    const { first, count } = extent(t, range), width = isPacked(t) ? 2 : 4;
    const wanted = this.#segments(t, "read").flatMap((segment) => {
      const from = Math.max(first, segment.first), to = Math.min(first + count, segment.first + segment.count);
      if (from >= to) return [];
      return [{
        buffer: segment.buffer,
        offset: segment.offset + (from - segment.first) * width,
        bytes: (to - from) * width,
        at: (from - first) * width,
      }];
    });
    if (wanted.length === 0) return loaded(t, new ArrayBuffer(0));
    const copies: GPUBuffer[] = [];
    let verdict: Promise<unknown> | undefined;
    try {
      [, verdict] = this.#scoped(`reading ${t.name}`, () => {
        const encoder = this.#device.createCommandEncoder();
        for (const { buffer, offset, bytes } of wanted) {
          const copy = this.#device.createBuffer({ label: `copy of ${t.name}`, size: bytes, usage: 0x1 | 0x8 }); // MAP_READ | COPY_DST
          copies.push(copy);
          encoder.copyBufferToBuffer(buffer, offset, copy, 0, bytes);
        }
        this.#device.queue.submit([encoder.finish()]);
      });
      await Promise.all(copies.map(async (copy) => await copy.mapAsync(1)));
      await verdict;
      this.#check();
      if (copies.length === 1) return loaded(t, copies[0].getMappedRange().slice(0));
      const all = new Uint8Array(count * width);
      copies.forEach((copy, i) => all.set(new Uint8Array(copy.getMappedRange()), wanted[i].at));
      return loaded(t, all.buffer);
    } catch (error) {
      // What the scopes caught says more than the call that followed from it.
      await verdict;
      this.#check();
      throw error;
    } finally {
      release(...copies);
    }
  }

  /**
   * Plans and prepares a program. Where the device has no room for what kernels keep for others, they compute it again.
   *
   * @param options `tuning` stands in for the engine's
   * @throws {KernelError} where a kernel does not compile, naming it and the line
   * @throws {OutOfMemoryError} where scratch tensors do not fit
   * @throws {ShapeError} where a tensor of the program is not allocated
   */
  async compile(program: Program, options: { tuning?: Tuning } = {}): Promise<Executable> {
    return await this.#guard(
      `Cannot compile ${program.name}`,
      () => this.#compile(program, options.tuning ?? this.#tuning, this.#keep),
    );
  }

  async #compile(program: Program, tuning: Tuning | undefined, keep: number): Promise<Executable> {
    const device = this.#device, limits = this.#limits, bands = this.#bands, lives = new Map<Tensor, readonly [number, number]>();
    const live = (t: Tensor, time: readonly [number, number]) => bands.flat([t]).forEach((one) => lives.set(one, time));
    const spans = lifetimes(program);
    for (const [t, [first, last]] of spans) live(t, timeOf(first, last));
    for (const op of program.ops) {
      const { reads, writes } = operands(op);
      for (const t of [...reads, ...writes]) if (!t.scratch) this.#segments(t, `compile ${program.name}: ${op.op} uses`);
    }
    const plan = new Plan({ limits, bands, tiles: this.#tiles, inOrder: this.#inOrder, keep, tuning, place: (t) => this.#pages.place(t) });
    for (let at = 0; at < program.ops.length;) {
      const together = jointProducts(plan, program.ops, at);
      plan.begin(at);
      await planInPieces(plan, together.length > 1 ? join(plan, together as Linear[], spans) : together[0], planOp);
      at += together.length;
    }
    for (const [t, time] of plan.temporaries) live(t, time);
    // What is part of another needs no place of its own.
    for (const t of plan.views.keys()) lives.delete(t);

    const { slots, bytes } = planSlots(lives), scratchBytes = bytes.reduce((sum, count) => sum + count, 0);
    const pending: Promise<unknown>[] = [], buffers: GPUBuffer[] = [];
    const make = <T>(what: string, made: () => T): T => {
      const [value, verdict] = this.#scoped(what, made);
      pending.push(verdict);
      return value;
    };
    const dispose = () => release(...buffers.splice(0));
    try {
      const [scratch, verdict] = this.#scoped(
        `compiling ${program.name}, ${(scratchBytes / 2 ** 20).toFixed(1)} MiB of scratch tensors`,
        () =>
          bytes.map((count, slot) => {
            const buffer = storageBuffer(device, `${program.name} scratch ${slot}`, count);
            buffers.push(buffer);
            return buffer;
          }),
      );
      const refused = await verdict;
      // Only where nothing before it failed: a page that was refused is not mended by keeping less.
      if (plan.keeps && refused instanceof OutOfMemoryError && refused === this.#failure) {
        this.#failure = undefined;
        dispose();
        return await this.#compile(program, tuning, 0);
      }
      const constants = new Map<Tensor, GPUBuffer>();
      make(`compiling ${program.name}, layouts`, () => {
        for (const [t, data] of plan.constants) {
          const buffer = storageBuffer(device, t.name, roundUp(data.byteLength, ALIGNMENT));
          buffers.push(buffer);
          constants.set(t, buffer);
          device.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>);
        }
      });
      await Promise.all(pending);
      this.#check();

      const bindingOf = (operand: Operand, kernel: string): GPUBufferBinding => {
        const { tensor: bound, bytes } = "tensor" in operand ? operand : { tensor: operand, bytes: storedBytes(operand) };
        const { of: t, at } = plan.views.get(bound) ?? { of: bound, at: 0 };
        if (bytes > bindable(limits)) {
          throw tooLarge(`bind kernel ${kernel}`, t, bytes, limits, "use fewer sequences at once, a shorter context or a smaller model");
        }
        const constant = constants.get(t);
        if (constant) return { buffer: constant, offset: at, size: bytes };
        const slot = slots.get(t);
        if (slot !== undefined) return { buffer: scratch[slot], offset: at, size: bytes };
        const { buffer, offset } = this.#placed(t, "bind");
        return { buffer, offset: offset + at, size: bytes };
      };
      const ready = await Promise.all(plan.dispatches.map((dispatch) => this.#pipelineFor(dispatch, bindingOf)));
      const { groups, uniforms } = make(`compiling ${program.name}, bindings`, () => this.#bind(program.name, plan.dispatches, ready));
      buffers.push(uniforms);
      const bound = plan.dispatches.map((dispatch, i): Bound => ({ pipeline: ready[i].pipeline.pipeline, group: groups[i], dispatch }));
      // Encoding without submitting: what a run would get wrong comes out here, and by name.
      make(`compiling ${program.name}`, () => void this.#encode(bound));
      await Promise.all(pending);
      if (this.#failure instanceof KernelError) await this.#blame(program.name, bound);
      this.#check();
      let next: { times: number; commands: GPUCommandBuffer } | undefined;
      const executable: Executable = {
        scratchBytes,
        run: (times = 1) => {
          const made = next?.times === times ? next.commands : undefined;
          next = undefined;
          return this.#run(program.name, () => made ?? this.#encode(bound, times));
        },
        prepare: (times) => {
          const what = `running ${program.name}`;
          this.#later(what, () => void this.#scoped(what, () => next = { times, commands: this.#encode(bound, times) }));
        },
        dispose,
      };
      recordings.set(executable, { device, program, bound, guard: (what, work) => this.#guard(what, work) });
      return executable;
    } catch (error) {
      await Promise.all(pending);
      dispose();
      throw error;
    }
  }

  /** The pipeline of a dispatch and its buffers, absent operands filled in. */
  async #pipelineFor(dispatch: Dispatch, bindingOf: (operand: Operand, kernel: string) => GPUBufferBinding) {
    const declared = storageBindings(kernelSource(dispatch.kernel));
    let absent = 0;
    const entries = declared.map(({ name, writes }): { name: string; writes: boolean; resource: GPUBufferBinding } => {
      const operand = dispatch.bindings[name];
      if (operand) return { name, writes, resource: bindingOf(operand, dispatch.kernel) };
      if (!writes) return { name, writes, resource: { buffer: this.#absent.read, offset: 0, size: ALIGNMENT } };
      return { name, writes, resource: { buffer: this.#absent.write, offset: ALIGNMENT * absent++, size: ALIGNMENT } };
    });
    const unknown = Object.keys(dispatch.bindings).filter((name) => !declared.some((binding) => binding.name === name));
    if (unknown.length) throw new KernelError(`Cannot bind kernel ${dispatch.kernel}: it declares no ${unknown.join(", ")}`);
    // One dispatch may not bind a buffer both for reading and for writing; all for writing it may.
    const written = new Set(entries.filter((entry) => entry.writes).map((entry) => entry.resource.buffer));
    const promoted = entries.filter((entry) => !entry.writes && written.has(entry.resource.buffer)).map((entry) => entry.name);
    return { pipeline: await this.#pipelines.get(dispatch.kernel, dispatch.values, promoted), entries };
  }

  /** Uniforms of all dispatches in one buffer, and a bind group a dispatch. */
  #bind(
    name: string,
    dispatches: readonly Dispatch[],
    ready: readonly { pipeline: Pipeline; entries: { resource: GPUBufferBinding }[] }[],
  ) {
    const device = this.#device, stride = Math.max(ALIGNMENT, device.limits.minUniformBufferOffsetAlignment);
    const data = new DataView(new ArrayBuffer(Math.max(1, dispatches.length) * stride));
    dispatches.forEach(({ kernel, params }, i) => {
      const { fields } = ready[i].pipeline.uniforms;
      fields.forEach(({ name, type }, field) => {
        const value = params[name], at = i * stride + field * 4;
        if (value === undefined) throw new KernelError(`Cannot bind kernel ${kernel}: its uniform ${name} has no value`);
        if (type === "f32") data.setFloat32(at, value, true);
        else data.setUint32(at, value, true);
      });
    });
    const uniforms = device.createBuffer({ label: `${name} uniforms`, size: data.byteLength, usage: 0x40 | 0x8 }); // UNIFORM | COPY_DST
    device.queue.writeBuffer(uniforms, 0, data.buffer as ArrayBuffer);
    const groups = dispatches.map(({ kernel }, i) => {
      const { pipeline, entries } = ready[i];
      return naming(`Cannot compile ${name}`, kernel, () =>
        device.createBindGroup({
          label: kernel,
          layout: pipeline.layout,
          entries: [
            ...entries.map(({ resource }, at) => ({ binding: pipeline.bindings[at].number, resource })),
            {
              binding: pipeline.uniforms.number,
              resource: { buffer: uniforms, offset: i * stride, size: roundUp(pipeline.uniforms.fields.length * 4, 16) },
            },
          ],
        }));
    });
    return { groups, uniforms };
  }

  #encode(bound: readonly Bound[], times = 1): GPUCommandBuffer {
    const encoder = this.#device.createCommandEncoder(), pass = encoder.beginComputePass();
    let last: GPUComputePipeline | undefined;
    for (let time = 0; time < times; time++) {
      for (const { pipeline, group, dispatch: { grid, kernel } } of bound) {
        naming("Cannot encode a run", kernel, () => {
          if (pipeline !== last) pass.setPipeline(last = pipeline);
          pass.setBindGroup(0, group);
          pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
        });
      }
    }
    pass.end();
    return encoder.finish();
  }

  /** Finds the first dispatch that cannot be encoded, so that the failure names its kernel. */
  async #blame(name: string, bound: readonly Bound[]): Promise<void> {
    for (const one of bound) {
      const [error] = await scoped(this.#device, ["validation"], () => this.#encode([one]))[1];
      if (!error) continue;
      this.#failure = new KernelError(`Cannot compile ${name}: kernel ${one.dispatch.kernel}: ${error.message}`);
      return;
    }
  }

  #run(name: string, commands: () => GPUCommandBuffer): Promise<void> {
    return this.#guard(`Cannot run ${name}`, () => {
      this.#running = name;
      // The verdict comes when the device has looked at it; the next run or read throws it.
      this.#scoped(`running ${name}`, () => this.#device.queue.submit([commands()]));
      return Promise.resolve();
    });
  }

  /** Frees everything; a device that was made here is destroyed, a caller's own is left. */
  dispose(): void {
    release({ destroy: () => this.#device.removeEventListener("uncapturederror", this.#onError) });
    this.#pages.dispose();
    release(this.#absent.read, this.#absent.write);
    this.#unwatch();
    this.#pipelines.clear();
    this.#fail(new BackendError("Cannot use this WebGPU engine: it has been disposed"));
    if (this.#owned) release(this.#device);
  }
}
