/**
 * The contract of an engine: what allocates tensors, compiles programs and runs them.
 *
 * @module
 */

import type { Program } from "./program.ts";
import type { Tensor, TensorData } from "./tensor.ts";

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
   * Makes ready what can be made ready of a run of so many times, while another is under way: the next run of as many begins at
   * once. A run of another number drops it. Absent where nothing can be.
   */
  prepare?(times: number): void;
  /** Bytes of arena for scratch tensors, after sharing by lifetime. */
  readonly scratchBytes: number;
  /** Frees what compile made. */
  dispose(): void;
}

/** An implementation of this page. */
export interface Engine {
  /** Which. */
  readonly name: "reference" | "wasm" | "webgpu";
  /** For people: device or cores, and what limits it. */
  readonly description: string;
  /** Runs go on after `run` resolved, and a read waits for them: read seldom, with the next run already under way. */
  readonly deferred: boolean;
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
