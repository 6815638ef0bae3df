/**
 * The contract of an engine: what allocates tensors, compiles programs and runs them.
 *
 * @module
 */

import type { Program } from "./program.ts";
import type { Tensor, TensorData } from "./tensor.ts";

/** A tensor, or a range [from, to) of its outermost dimension. */
export interface TensorPart {
  /** Which. */
  readonly tensor: Tensor;
  /** The whole tensor where absent. */
  readonly range?: readonly [number, number];
}

/** Runs whose results are wanted as they come. */
export interface StreamOptions {
  /** Runs in all. */
  readonly times: number;
  /** So many of them, the first, are run without a look at their results; fewer than `times`, default 0. */
  readonly skip?: number;
  /** What is to be read when runs [from, to) of the stream are over, as they left it. */
  reads(from: number, to: number): readonly TensorPart[];
}

/** Results of some runs of a stream. */
export interface Streamed {
  /** The first of the runs. */
  readonly from: number;
  /** The one after the last. */
  readonly to: number;
  /** Runs of the stream that have begun: maybe more than are over, whether or not more results are asked for. */
  readonly begun: number;
  /** What `reads(from, to)` asked for. */
  readonly data: readonly TensorData[];
}

/** A program made ready to run on one engine. */
export interface Executable {
  /**
   * Runs the whole list, `times` times over. On WebGPU it resolves when the work is submitted, not when it is done.
   *
   * @param times default 1
   * @throws {KernelError} naming the kernel, when this or an earlier run failed on the device
   */
  run(times?: number): Promise<void>;
  /**
   * Runs operations [from, to) of the list alone. Parts that are the list together, in order and with nothing else of this program between
   * them, are a run; what other programs do and what is read or written between them is in order with them.
   *
   * @throws {KernelError} as {@linkcode Executable.run}
   */
  part(from: number, to: number): Promise<void>;
  /**
   * Runs the whole list over and over, as many times at once as suits the engine, and hands over what the runs left, in order. Results of
   * runs are as good however many go together. No more runs begin than results are asked for, but for those that the engine begins ahead.
   *
   * @throws {ShapeError} where a range is none of its tensor's
   * @throws {KernelError} naming the kernel, when this or an earlier run failed on the device
   */
  stream(options: StreamOptions): AsyncIterable<Streamed>;
  /** Bytes of arena for scratch tensors, after sharing by lifetime. */
  readonly scratchBytes: number;
  /** Frees what compile made. */
  dispose(): void;
}

/** What allocates tensors, compiles programs and runs them. */
export interface Engine {
  /** Which. */
  readonly name: "reference" | "wasm" | "webgpu";
  /** For people: device or cores, and what limits it. */
  readonly description: string;
  /** Bytes that it can still allocate, where that is known and less than machines have. */
  readonly room?: number;
  /**
   * Rows from which a program for all of them side by side takes less time, its compilation included, than as many runs of a program for
   * one: so a prompt of this many positions goes through a model at once, a shorter one position by position.
   */
  readonly sideBySide: number;
  /**
   * Makes persistent tensors, zeroed. Tensors of one call are laid out together in the order given.
   *
   * @throws {OutOfMemoryError} saying how much was asked for
   * @throws {ShapeError} where one is allocated already
   */
  allocate(tensors: readonly Tensor[]): void;
  /** Frees persistent tensors. */
  free(tensors: readonly Tensor[]): void;
  /**
   * Copies numbers into a tensor, in order with the runs around it.
   *
   * @throws {ShapeError} where the length differs from the tensor's size
   */
  write(t: Tensor, data: TensorData): void;
  /**
   * Waits for the runs so far and copies a tensor out, or the part of it that `range` gives: [from, to) of its outermost
   * dimension. Runs that follow the call do not change what it reads.
   *
   * @throws {ShapeError} where there is no such range
   * @throws {KernelError} naming the kernel, when an earlier run failed on the device
   */
  read(t: Tensor, range?: readonly [number, number]): Promise<TensorData>;
  /**
   * Plans and prepares a program.
   *
   * @throws {KernelError} where a kernel does not compile
   * @throws {OutOfMemoryError} where the arena does not fit
   */
  compile(program: Program): Promise<Executable>;
  /** Frees everything. */
  dispose(): void;
}
