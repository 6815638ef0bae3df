/**
 * The WebGPU engine: a program becomes a list of dispatches over bound buffers once, and a run replays it in one compute
 * pass and one submit, without an allocation or a read-back.
 *
 * @module
 */

import { expect } from "../../base/check.ts";
import { BackendError, ConfigError, excerpt, LongstrideError } from "../../base/errors.ts";
import type { Engine, Executable, Program, Tensor, TensorData } from "../../ops/mod.ts";
import { Bands } from "./bands.ts";
import { compile, type Workshop, workshops } from "./compile.ts";
import { type Acquired, acquireDevice, type DeviceOptions } from "./device.ts";
import { Failures } from "./failures.ts";
import type { MatrixUnits } from "./matrices.ts";
import { Pages, release, storageBuffer } from "./memory.ts";
import type { TilePreference } from "./plan/plan.ts";
import { encode, recordings } from "./recording.ts";
import { saying } from "./scopes.ts";
import { Pipelines } from "./shader/pipelines.ts";
import { ALIGNMENT, storedBytes } from "./storage.ts";
import { streamAhead } from "./stream.ts";
import { Transfers } from "./transfers.ts";
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
  /**
   * What multiplies activations of f16: by default the device's matrix units, where it offers them to WGSL, `none` that do, or `plain`, which
   * stands in for them in tests, slowly.
   */
  matrices?: "auto" | "plain" | "none";
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
  /**
   * Milliseconds of runs after which a stream hands over their results; by default as short as waits on the device allow. 10 or less also says that
   * a wait is short and holds nothing up: gradients of several processes then go back to the device by buffers that are waited for.
   */
  streamMs?: number;
}

/** A program made ready to run on a GPU. */
export interface WebGpuExecutable extends Executable {
  /**
   * Binds tensors where they lie now: after {@linkcode WebGpuEngine.adopt} has moved some. Kernels are not compiled again.
   *
   * @throws {KernelError} where a kernel cannot be bound to them, naming it: buffers that overlap what it writes
   * @throws {ShapeError} where a tensor of the program has no place
   */
  rebind(): Promise<void>;
}

// Over 12,288 positions and 8 heads strided with l = 128 keeps 84 MiB and fixed with c = 32 612; dense would keep 2.3 GiB.
const KEPT_BYTES = 2 ** 30;

// Where a wait is polled for it may take some milliseconds.
const STREAM_MS = 50;

/** The operations contract on a GPU. */
export class WebGpuEngine implements Engine {
  readonly name = "webgpu";
  // Compiling another program makes a bind group a dispatch, hundreds of them for a deep model, which a short prompt does not make good.
  readonly sideBySide = 64;
  /** For people: the adapter, and what it computes on. */
  readonly description: string;
  /** The adapter computes on the CPU. */
  readonly isSoftware: boolean;
  /** Milliseconds of runs after which a stream hands over their results: about five times what a wait on the device is late. */
  readonly streamMs: number;
  readonly #device: GPUDevice;
  readonly #owned: boolean;
  readonly #keep: number;
  readonly #tuning: Tuning | undefined;
  readonly #bands: Bands;
  readonly #pages: Pages;
  readonly #pipelines: Pipelines;
  readonly #failures: Failures;
  readonly #transfers: Transfers;
  readonly #shop: Workshop;

  private constructor(
    { device, owned, isSoftware, adapterName, info }: Acquired,
    { tiles = "auto", inOrder, matrices: asked = "auto", tuning, bindingBytes = Infinity, keepBytes = KEPT_BYTES, streamMs }: WebGpuOptions,
  ) {
    this.#device = device;
    this.#owned = owned;
    this.#keep = keepBytes;
    this.streamMs = streamMs ?? info?.streamMs ?? STREAM_MS;
    this.isSoftware = isSoftware;
    this.description = `WebGPU on ${adapterName}${isSoftware ? " (software, on the CPU)" : ""}`;
    this.#tuning = typeof tuning === "function" ? tuning(this.description) : tuning;
    const limits = {
      maxBufferSize: device.limits.maxBufferSize,
      maxStorageBufferBindingSize: Math.min(device.limits.maxStorageBufferBindingSize, bindingBytes),
      maxComputeWorkgroupStorageSize: device.limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: device.limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupsPerDimension: device.limits.maxComputeWorkgroupsPerDimension,
    };
    const bands = this.#bands = new Bands(limits), pages = this.#pages = new Pages(device, bands);
    const pipelines = this.#pipelines = new Pipelines(device), failures = this.#failures = new Failures(device, owned);
    const transfers = this.#transfers = new Transfers(device, bands, pages, failures);
    const absent = { read: storageBuffer(device, "absent", ALIGNMENT), write: storageBuffer(device, "absent", 4 * ALIGNMENT) };
    let found: Promise<MatrixUnits | undefined> | undefined;
    // Who does without loads nothing of it.
    const matrices = () => found ??= import("./matrices.ts").then(({ findMatrices }) => findMatrices(device, info, pipelines, asked));
    this.#shop = { device, limits, bands, pages, pipelines, failures, transfers, tiles, inOrder, matrices, absent };
    workshops.set(this, this.#shop);
    failures.listen(adapterName);
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

  /** The device: what a caller's own buffers are made with. One that the engine made is destroyed with it. */
  get device(): GPUDevice {
    return this.#device;
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

  /**
   * Makes persistent tensors, zeroed. Memory that the device refuses shows at the next compile, run or read, since
   * WebGPU answers later.
   *
   * @throws {OutOfMemoryError} where not even 64 rows of a tensor fit one binding of the device, naming it
   */
  allocate(tensors: readonly Tensor[]): void {
    const bytes = tensors.reduce((sum, t) => sum + storedBytes(t), 0),
      what = `allocating ${tensors.length} tensors, ${(bytes / 2 ** 20).toFixed(1)} MiB`;
    this.#failures.later(what, () => void this.#failures.scoped(what, () => this.#pages.allocate(tensors)));
  }

  /**
   * Gives a tensor a place in a buffer of the caller's, instead of `allocate`: programs compiled from then on read and write it there, with
   * no copies. The bytes are the tensor's numbers, row-major: f32, u32 or i8, or of an f16 tensor halves. A tensor that lies in such a buffer
   * already is moved; programs compiled before keep the old place until their {@linkcode WebGpuExecutable.rebind}.
   *
   * The buffer stays the caller's: `free` and `dispose` leave it alone, it must live while programs use it, and its tensors must not overlap
   * where one of them is written. Work goes to `engine.device.queue` in the order of the calls, so what a caller submits there before `run`
   * is seen by the run, and what is submitted after `run` has resolved sees what the run wrote.
   *
   * @param given the whole buffer, or a part: from `offset`, a multiple of the device's `minStorageBufferOffsetAlignment`, `size` bytes
   * @throws {ConfigError} where it is no buffer, of another device, destroyed or mapped, made without usage STORAGE, or `offset` is not aligned
   * @throws {ShapeError} where it is too small; where the tensor was allocated; where it is of f16 in rows that are no multiple of 4
   */
  async adopt(t: Tensor, given: GPUBuffer | GPUBufferBinding): Promise<void> {
    await this.#failures.guard(`Cannot adopt a buffer for ${t?.name}`, async () => {
      expect("Cannot adopt a buffer", { tensor: [t, "an object"] });
      // Loaded by who adopts: a page that samples has no use for it.
      const { checkBuffer } = await import("./adopt.ts");
      const { buffer, offset } = await checkBuffer(this.#device, t, given);
      this.#pages.adopt(t, buffer, offset);
    });
  }

  /** Frees persistent tensors; a caller's buffer that one lies in is left alone. */
  free(tensors: readonly Tensor[]): void {
    this.#pages.free(tensors);
  }

  /**
   * Copies numbers into a tensor, in order with the runs around it.
   *
   * @throws {ShapeError} where the length differs from the tensor's size, or the tensor has no place
   */
  write(t: Tensor, data: TensorData): void {
    this.#transfers.write(t, data);
  }

  /**
   * Waits for the runs so far and copies a tensor out, or a range of its outermost dimension.
   *
   * @throws {ShapeError} where there is no such range
   * @throws {KernelError} naming the program, when an earlier run failed on the device
   */
  async read(t: Tensor, range?: readonly [number, number]): Promise<TensorData> {
    return await this.#transfers.read(t, range);
  }

  /**
   * Plans and prepares a program. Where the device has no room for what kernels keep for others, they compute it again.
   *
   * @param options `tuning` stands in for the engine's
   * @throws {KernelError} where a kernel does not compile, naming it and the line
   * @throws {OutOfMemoryError} where scratch tensors do not fit
   * @throws {ShapeError} where a tensor of the program is not allocated
   */
  async compile(program: Program, options: { tuning?: Tuning } = {}): Promise<WebGpuExecutable> {
    const device = this.#device, failures = this.#failures, { name } = program;
    return await failures.guard(`Cannot compile ${name}`, async () => {
      const compiled = await compile(this.#shop, program, options.tuning ?? this.#tuning, this.#keep);
      let next: { times: number; commands: GPUCommandBuffer } | undefined;
      const submit = (commands: () => GPUCommandBuffer) =>
        failures.guard(`Cannot run ${name}`, () => {
          failures.running = name;
          // The verdict comes when the device has looked at it; the next run or read throws it.
          failures.scoped(`running ${name}`, () => device.queue.submit([commands()]));
          return Promise.resolve();
        });
      const run = (times = 1) => {
        const made = next?.times === times ? next.commands : undefined;
        next = undefined;
        return submit(() => made ?? encode(device, compiled.bound, times));
      };
      const part = (from: number, to: number) =>
        submit(() => encode(device, compiled.bound.filter(({ dispatch: { op } }) => from <= op && op < to)));
      const prepare = (times: number) => {
        const what = `running ${name}`;
        failures.later(what, () => void failures.scoped(what, () => next = { times, commands: encode(device, compiled.bound, times) }));
      };
      const stream: Executable["stream"] = (options) => streamAhead(this, { run, prepare }, options, this.streamMs);
      const rebind = () =>
        failures.guard(`Cannot bind ${name}`, async () => {
          await compiled.rebind();
          next = undefined;
        });
      const executable: WebGpuExecutable = { scratchBytes: compiled.scratchBytes, run, part, stream, rebind, dispose: compiled.dispose };
      recordings.set(executable, {
        device,
        program,
        get bound() {
          return compiled.bound;
        },
        guard: (what, work) => failures.guard(what, work),
      });
      return executable;
    });
  }

  /** Frees everything; a device that was made here is destroyed, a caller's own is left. */
  dispose(): void {
    this.#failures.dispose();
    this.#pages.dispose();
    release(this.#shop.absent.read, this.#shop.absent.write);
    this.#pipelines.clear();
    if (this.#owned) release(this.#device);
  }
}
