/**
 * The WASM kernels over memory of their own, for what is worked on a piece at a time.
 *
 * @module
 */

import { OutOfMemoryError } from "./errors.ts";
import { instantiateKernels, type KernelExports, MOST_PAGES, PAGE } from "./kernels.ts";

/** What SIMD wants addresses to be multiples of. */
const ALIGNMENT = 16;

const mib = (bytes: number) => Math.ceil(bytes / 2 ** 20);

/** An instance of the kernels and a bump allocator over its memory. */
export class Scratch {
  // The kernels have no data of their own; address 0 means "absent" to them.
  #top = ALIGNMENT;

  private constructor(
    readonly memory: WebAssembly.Memory,
    readonly kernels: KernelExports,
    private readonly full: (mib: number) => string,
  ) {}

  /**
   * A new instance, with nothing taken.
   *
   * @param full what to say where so many MiB are not to be had
   */
  static async create(full = (mib: number) => `Cannot prepare data: ${mib} MiB of WASM memory are not to be had`): Promise<Scratch> {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: MOST_PAGES });
    return new Scratch(memory, await instantiateKernels(memory), full);
  }

  /**
   * The address of `bytes` more, aligned for SIMD. Views made before may be detached.
   *
   * @throws {OutOfMemoryError} where the runtime has not that much
   */
  take(bytes: number): number {
    const at = this.#top, end = at + Math.ceil(bytes / ALIGNMENT) * ALIGNMENT, have = this.memory.buffer.byteLength;
    if (end > have) {
      try {
        this.memory.grow(Math.ceil((end - have) / PAGE));
      } catch {
        throw new OutOfMemoryError(this.full(mib(end)));
      }
    }
    this.#top = end;
    return at;
  }

  /** The place up to which memory is taken, for {@linkcode release}. */
  mark(): number {
    return this.#top;
  }

  /** Gives back what was taken since. Only memory that was never taken before is zeroed. */
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
