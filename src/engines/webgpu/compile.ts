/**
 * From a program to what its runs encode: planned, its scratch tensors placed, its kernels compiled, everything bound.
 *
 * @module
 */

import { KernelError, OutOfMemoryError } from "../../base/errors.ts";
import { type Descriptor, DESCRIPTORS, lifetimes, type Linear, type Op, operands, type Program, type Tensor } from "../../ops/mod.ts";
import { type Bands, tooLarge } from "./bands.ts";
import type { Limits } from "./device.ts";
import type { Failures } from "./failures.ts";
import type { MatrixUnits } from "./matrices.ts";
import { type Pages, planSlots, release, storageBuffer } from "./memory.ts";
import { loadApart, loadLate, PLANNERS } from "./plan/index.gen.ts";
import { join, jointProducts } from "./plan/joint.ts";
import { type Dispatch, type Operand, Plan, type Planner, type TilePreference, timeOf } from "./plan/plan.ts";
import { planInPieces } from "./plan/pieces.ts";
import { bind, blame, type Bound, encode, type Ready } from "./recording.ts";
import { link, type Parts } from "./shader/link.ts";
import type { Pipelines } from "./shader/pipelines.ts";
import { bindingsOf } from "./shader/reflect.ts";
import { ALIGNMENT, bindable, roundUp, storedBytes } from "./storage.ts";
import type { Transfers } from "./transfers.ts";
import type { Tuning } from "./tuning/tuning.ts";

/** What an engine has that compiling uses. */
export interface Workshop {
  readonly device: GPUDevice;
  readonly limits: Limits;
  readonly bands: Bands;
  readonly pages: Pages;
  readonly pipelines: Pipelines;
  readonly failures: Failures;
  readonly transfers: Transfers;
  readonly tiles: TilePreference;
  readonly inOrder?: boolean;
  /** What multiplies matrices of f16, found once it is asked for. */
  matrices(): Promise<MatrixUnits | undefined>;
  /** Bound where a kernel declares an operand that its variant never touches: one range to read, others to write. */
  readonly absent: { readonly read: GPUBuffer; readonly write: GPUBuffer };
}

/** What each engine has: for tuning. */
export const workshops = new WeakMap<object, Workshop>();

/** A program ready to run. */
export interface Compiled {
  /** As of the last {@linkcode Compiled.rebind}. */
  readonly bound: readonly Bound[];
  readonly scratchBytes: number;
  /** Binds everything where it lies now. */
  rebind(): Promise<void>;
  /** Frees what is the program's own. */
  dispose(): void;
}

type Lives = Map<Tensor, readonly [number, number]>;

/** Plans an operation with the planner of its name. */
async function planOp(plan: Plan, op: Op): Promise<void> {
  const { apart } = DESCRIPTORS[op.op] as Descriptor<Op>;
  const own: Partial<Record<string, unknown>> = op.op in PLANNERS ? PLANNERS : apart ? (await loadApart()).APART : (await loadLate()).LATE;
  await (own[op.op] as Planner<Op>)(plan, op);
}

/** The dispatches of a program, and when each tensor without a place of its own is in use. */
async function planProgram(
  shop: Workshop,
  program: Program,
  tuning: Tuning | undefined,
  keep: number,
): Promise<{ plan: Plan; lives: Lives }> {
  const { limits, bands, tiles, inOrder, pages, transfers } = shop, lives: Lives = new Map(), spans = lifetimes(program);
  const live = (t: Tensor, time: readonly [number, number]) => bands.flat([t]).forEach((one) => lives.set(one, time));
  for (const [t, [first, last]] of spans) live(t, timeOf(first, last));
  for (const op of program.ops) {
    const { reads, writes } = operands(op);
    for (const t of [...reads, ...writes]) if (!t.scratch) transfers.segments(t, `compile ${program.name}: ${op.op} uses`);
  }
  const isHalf = program.ops.some((op) =>
    [op, ...Object.values(operands(op)).flat()].some((of) => (of as Partial<Tensor>).dtype === "f16")
  );
  // How f16 lies in memory comes with what sampling does without.
  if (isHalf) await loadLate();
  const matrices = isHalf ? await shop.matrices() : undefined;
  const plan = new Plan({ limits, bands, tiles, inOrder, keep, tuning, matrices, place: (t) => pages.place(t), late: loadLate });
  for (let at = 0; at < program.ops.length;) {
    const together = jointProducts(plan, program.ops, at);
    plan.begin(at);
    await planInPieces(plan, together.length > 1 ? join(plan, together as Linear[], spans) : together[0], planOp);
    at += together.length;
  }
  for (const [t, time] of plan.temporaries) live(t, time);
  // What is part of another needs no place of its own.
  for (const t of plan.views.keys()) lives.delete(t);
  return { plan, lives };
}

/** One program in the making. */
class Making {
  readonly #buffers = new Set<GPUBuffer>();
  /** Verdicts of error scopes that are not in yet. */
  readonly #pending: Promise<unknown>[] = [];
  /** Where tensors without a place in a page lie. */
  readonly #places = new Map<Tensor, GPUBuffer>();
  #uniforms: GPUBuffer | undefined;

  constructor(readonly shop: Workshop, readonly name: string, readonly plan: Plan) {}

  dispose(): void {
    release(...this.#buffers);
    this.#buffers.clear();
  }

  /** Makes something on the device; what goes wrong with it is known once {@linkcode settle} is through. */
  make<T>(what: string, made: () => T): T {
    const [value, verdict] = this.shop.failures.scoped(`compiling ${this.name}${what}`, made);
    this.#pending.push(verdict);
    return value;
  }

  async settle(): Promise<void> {
    await Promise.all(this.#pending.splice(0));
  }

  #buffer(label: string, bytes: number): GPUBuffer {
    const buffer = storageBuffer(this.shop.device, label, bytes);
    this.#buffers.add(buffer);
    return buffer;
  }

  /** Places scratch tensors; what the device says of it. */
  async placeScratch(slots: ReadonlyMap<Tensor, number>, bytes: readonly number[]): Promise<unknown> {
    const mebibytes = bytes.reduce((sum, count) => sum + count, 0) / 2 ** 20;
    const [scratch, verdict] = this.shop.failures.scoped(
      `compiling ${this.name}, ${mebibytes.toFixed(1)} MiB of scratch tensors`,
      () => bytes.map((count, slot) => this.#buffer(`${this.name} scratch ${slot}`, count)),
    );
    for (const [t, slot] of slots) this.#places.set(t, scratch[slot]);
    return await verdict;
  }

  placeConstants(): void {
    this.make(", layouts", () => {
      for (const [t, data] of this.plan.constants) {
        const buffer = this.#buffer(t.name, roundUp(data.byteLength, ALIGNMENT));
        this.#places.set(t, buffer);
        this.shop.device.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>);
      }
    });
  }

  /** The range of a buffer that an operand is. */
  #rangeOf(operand: Operand, kernel: string): GPUBufferBinding {
    const { plan, shop: { limits, transfers } } = this;
    const { tensor: bound, bytes } = "tensor" in operand ? operand : { tensor: operand, bytes: storedBytes(operand) };
    const { of: t, at } = plan.views.get(bound) ?? { of: bound, at: 0 };
    if (bytes > bindable(limits)) {
      throw tooLarge(`bind kernel ${kernel}`, t, bytes, limits, "use fewer sequences at once, a shorter context or a smaller model");
    }
    const own = this.#places.get(t);
    if (own) return { buffer: own, offset: at, size: bytes };
    const { buffer, offset } = transfers.placed(t, "bind");
    return { buffer, offset: offset + at, size: bytes };
  }

  /** The pipeline of a dispatch and its buffers, absent operands filled in. */
  async ready(dispatch: Dispatch & { op: number }): Promise<Ready> {
    const { kernel, values, bindings } = dispatch,
      { absent, pages, pipelines } = this.shop,
      declared = bindingsOf(link(kernel, values as Parts));
    let left = 0;
    const resources = declared.map(({ name, writes }): GPUBufferBinding => {
      const operand = bindings[name];
      if (operand) return this.#rangeOf(operand, kernel);
      return writes
        ? { buffer: absent.write, offset: ALIGNMENT * left++, size: ALIGNMENT }
        : { buffer: absent.read, offset: 0, size: ALIGNMENT };
    });
    if (pages.adopted) (await import("./adopt.ts")).checkApart(`Cannot bind ${this.name}: kernel ${kernel}`, declared, resources);
    // One dispatch may not bind a buffer both for reading and for writing; all for writing it may.
    const written = new Set(resources.filter((_, at) => declared[at].writes).map(({ buffer }) => buffer));
    const promoted = declared.filter(({ writes }, at) => !writes && written.has(resources[at].buffer)).map(({ name }) => name);
    return { dispatch, resources, pipeline: await pipelines.get(kernel, values, promoted) };
  }

  /**
   * Everything bound where it lies.
   *
   * @throws {KernelError} where a dispatch cannot be bound or encoded, naming its kernel
   */
  async bind(): Promise<readonly Bound[]> {
    const { name, plan, shop: { device, failures } } = this, ready = await Promise.all(plan.dispatches.map((one) => this.ready(one)));
    const { bound, uniforms } = this.make(", bindings", () => bind(device, name, ready));
    this.#buffers.add(uniforms);
    // Encoding without submitting: what a run would get wrong comes out here, and by name.
    this.make("", () => void encode(device, bound));
    await this.settle();
    if (failures.kept instanceof KernelError) failures.replace(await blame(device, name, bound) ?? failures.kept);
    failures.check();
    const before = this.#uniforms;
    this.#uniforms = uniforms;
    // Runs that were submitted keep what they use.
    if (before && this.#buffers.delete(before)) release(before);
    return bound;
  }
}

/**
 * Plans and prepares a program. Where the device has no room for what kernels keep for others, they compute it again.
 *
 * @param keep bytes that a kernel may keep for a later one
 * @throws {KernelError} where a kernel does not compile, naming it and the line
 * @throws {OutOfMemoryError} where scratch tensors do not fit
 * @throws {ShapeError} where a tensor of the program is not allocated
 */
export async function compile(shop: Workshop, program: Program, tuning: Tuning | undefined, keep: number): Promise<Compiled> {
  const { failures } = shop, { name } = program, { plan, lives } = await planProgram(shop, program, tuning, keep);
  const { slots, bytes } = planSlots(lives), making = new Making(shop, name, plan);
  try {
    const refused = await making.placeScratch(slots, bytes);
    // Only where nothing before it failed: a page that was refused is not mended by keeping less.
    if (plan.keeps && refused instanceof OutOfMemoryError && failures.mend(refused)) {
      making.dispose();
      return await compile(shop, program, tuning, 0);
    }
    making.placeConstants();
    await making.settle();
    failures.check();
    const compiled = {
      bound: await making.bind(),
      scratchBytes: bytes.reduce((sum, count) => sum + count, 0),
      async rebind() {
        compiled.bound = await making.bind();
      },
      dispose: () => making.dispose(),
    };
    return compiled;
  } catch (error) {
    await making.settle();
    making.dispose();
    throw error;
  }
}
