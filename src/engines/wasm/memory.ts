/**
 * The engine's one WebAssembly memory: blocks on cache lines, first fit, freed blocks joined.
 *
 * @module
 */

import { OutOfMemoryError } from "../../base/errors.ts";
import { MOST_PAGES, PAGE } from "../../base/kernels.ts";
import { align, ALIGNMENT } from "./plan.ts";

const MIB = 2 ** 20;

/**
 * Shared memory must name its maximum at once, and some platforms set that much address space aside: 4 GiB first, then
 * less where that is refused.
 */
function create(shared: boolean): { memory: WebAssembly.Memory; most: number } {
  for (let most = MOST_PAGES;; most /= 2) {
    try {
      return { memory: new WebAssembly.Memory({ initial: 1, maximum: most, shared }), most };
    } catch (error) {
      if (most <= MOST_PAGES / 16) throw new OutOfMemoryError(`Cannot make a WASM memory of up to ${most / 16} MiB: ${error}`);
    }
  }
}

/** Blocks of one memory. */
export class Heap {
  readonly memory: WebAssembly.Memory;
  readonly #most: number;
  /** Free blocks by address, no two of them neighbours: [address, bytes]. */
  #free: [number, number][];
  readonly #taken = new Map<number, number>();

  /** @param shared whether other threads can use it */
  constructor(shared: boolean) {
    const { memory, most } = create(shared);
    this.memory = memory;
    this.#most = most;
    // The kernels have no data segment; address 0 means "absent" to them, so the first line stays free.
    this.#free = [[ALIGNMENT, PAGE - ALIGNMENT]];
  }

  /** Bytes that can still be taken, where the system has as many and no block lies in the way. */
  get room(): number {
    return this.#most * PAGE - this.used;
  }

  /** Bytes taken. */
  get used(): number {
    return [...this.#taken.values()].reduce((a, b) => a + b, 0);
  }

  /**
   * Takes a block, zeroed.
   *
   * @param what for the message
   * @throws {OutOfMemoryError} where no room is left
   */
  take(bytes: number, what: string): number {
    const need = Math.max(ALIGNMENT, align(bytes));
    let at = this.#free.findIndex(([, have]) => have >= need);
    if (at < 0) {
      this.#grow(need, what);
      at = this.#free.length - 1;
    }
    const block = this.#free[at], address = block[0];
    block[0] += need;
    block[1] -= need;
    if (block[1] === 0) this.#free.splice(at, 1);
    this.#taken.set(address, need);
    new Uint8Array(this.memory.buffer, address, need).fill(0);
    return address;
  }

  /** Gives a block back. */
  give(address: number): void {
    const bytes = this.#taken.get(address);
    if (bytes === undefined) return;
    this.#taken.delete(address);
    this.#release(address, bytes);
  }

  #release(address: number, bytes: number): void {
    const after = this.#free.findIndex(([at]) => at > address), index = after < 0 ? this.#free.length : after;
    this.#free.splice(index, 0, [address, bytes]);
    const [before, own, next] = [this.#free[index - 1], this.#free[index], this.#free[index + 1]];
    if (next && own[0] + own[1] === next[0]) {
      own[1] += next[1];
      this.#free.splice(index + 1, 1);
    }
    if (before && before[0] + before[1] === own[0]) {
      before[1] += own[1];
      this.#free.splice(index, 1);
    }
  }

  /** Makes the last free block at least `need` long. */
  #grow(need: number, what: string): void {
    const end = this.memory.buffer.byteLength, last = this.#free.at(-1);
    const tail = last && last[0] + last[1] === end ? last[1] : 0, pages = Math.ceil((need - tail) / PAGE);
    try {
      this.memory.grow(pages);
    } catch {
      throw new OutOfMemoryError(
        `Cannot allocate ${(need / MIB).toFixed(1)} MiB for ${what}: ${(this.used / MIB).toFixed(1)} MiB are in use and WASM memory ` +
          `stops at ${this.#most / 16} MiB or what the system has; use a smaller batch, a shorter context, or recomputation`,
      );
    }
    this.#release(end, pages * PAGE);
  }
}
