/**
 * The WASM kernels over memory of their own, for data a piece at a time.
 *
 * @module
 */

import { OutOfMemoryError } from "../base/errors.ts";
import { instantiateKernels, type KernelExports } from "../base/kernels.ts";

/** An instance of the kernels and a bump allocator over its memory. */
export class Scratch {
  // Below are the kernels' own constants, if they have any.
  #top = 65536;

  private constructor(readonly memory: WebAssembly.Memory, readonly kernels: KernelExports) {}

  /** A new instance, with nothing taken. */
  static async create(): Promise<Scratch> {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
    return new Scratch(memory, await instantiateKernels(memory));
  }

  /**
   * The address of `bytes` more, aligned for SIMD. Views made before may be detached.
   *
   * @throws {OutOfMemoryError} where the runtime has not that much
   */
  take(bytes: number): number {
    const at = this.#top, end = at + Math.ceil(bytes / 16) * 16, have = this.memory.buffer.byteLength;
    if (end > have) {
      try {
        this.memory.grow(Math.ceil((end - have) / 65536));
      } catch {
        throw new OutOfMemoryError(`Cannot prepare data: ${Math.ceil(end / 2 ** 20)} MiB of WASM memory are not to be had`);
      }
    }
    this.#top = end;
    return at;
  }

  /** The place up to which memory is taken, for {@linkcode release}. */
  mark(): number {
    return this.#top;
  }

  /** Gives back what was taken since. What lies there stays until it is taken again: only memory never taken before is zeroed. */
  release(mark: number): void {
    this.#top = mark;
  }

  /** `count` bytes at `at`. */
  u8(at: number, count: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.memory.buffer as ArrayBuffer, at, count);
  }

  /** `count` u32 at `at`. */
  u32(at: number, count: number): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.memory.buffer as ArrayBuffer, at, count);
  }

  /** `count` f32 at `at`. */
  f32(at: number, count: number): Float32Array<ArrayBuffer> {
    return new Float32Array(this.memory.buffer as ArrayBuffer, at, count);
  }
}

/** Makes something once, when it is first asked for; a failure is not kept. */
export function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () =>
    made ??= make().catch((error) => {
      made = undefined;
      throw error;
    });
}
