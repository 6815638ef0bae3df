/**
 * Sums over processes with f16 on the way: half the bytes of f32, and sums still made in f32.
 *
 * @module
 */

import { instantiate, MOST_PAGES, PAGE } from "../base/kernels.ts";
import type { UnitKernels } from "../engines/wasm/kernels.gen.ts";
import { checkCommunicator, type Communicator } from "./communicator.ts";

/** Kernels of asm/halves.ts: units are 8 numbers. */
type Kernels = Pick<UnitKernels, "halves_pack" | "halves_unpack" | "halves_sum">;

/** Numbers of a unit, and bytes of as many f16. */
const UNIT = 8, UNIT_BYTES = 16;

/** What sums arrays over ranks as halves, for the calls of a communicator; keeps its memory for the next. */
export class HalvesSum {
  readonly #memory = new WebAssembly.Memory({ initial: 1, maximum: MOST_PAGES });
  #kernels: Promise<Kernels> | undefined;

  /**
   * Asks nothing of the communicator yet.
   *
   * @throws {ConfigError} where it is none
   */
  constructor(readonly communicator: Communicator) {
    checkCommunicator("Cannot sum halves", communicator);
  }

  /** The CPU engine's kernels, which nobody else who imports this has loaded yet. */
  async #load(): Promise<Kernels> {
    const { engineModule } = await import("../engines/wasm/binary.ts");
    return await instantiate(await engineModule(), this.#memory) as unknown as Kernels;
  }

  /** So many bytes of the memory, beginning at 0. */
  #reserve(bytes: number): Uint8Array<ArrayBuffer> {
    const missing = bytes - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    return new Uint8Array(this.#memory.buffer as ArrayBuffer, 0, bytes);
  }

  /**
   * Sums arrays of one length, of f32 or of the bits of f16, over all ranks, in place: each rank sums its part of all arrays in f32, in the
   * order of the ranks, and sends the sums round. What comes out is f16's nearest: from 65,520 on infinity, which skips the step on all ranks.
   */
  async sum(data: Float32Array | Uint16Array): Promise<void> {
    const { communicator } = this, { size } = communicator, { length } = data, isHalf = data instanceof Uint16Array;
    const kernels = await (this.#kernels ??= this.#load());
    // All arrays' parts are as long as each other: what is sent, what comes, and f32 on its way in and out.
    const each = Math.ceil(length / size / UNIT), part = each * UNIT_BYTES, all = part * size;
    const memory = this.#reserve(2 * all + (isHalf ? 0 : 2 * all)),
      sent = memory.subarray(0, all),
      received = memory.subarray(all, 2 * all);
    const halves = new Uint16Array(memory.buffer, 0, all / 2), wide = new Float32Array(memory.buffer, 2 * all, isHalf ? 0 : all / 2);
    if (isHalf) halves.fill(0, length).set(data);
    else {
      wide.fill(0, length).set(data);
      kernels.halves_pack(0, each * size, wide.byteOffset, 0);
    }
    await communicator.alltoall(sent, received);
    kernels.halves_sum(0, each, size, part, all, 0);
    await communicator.allgather(sent.subarray(0, part), received);
    if (isHalf) data.set(new Uint16Array(memory.buffer, all, length));
    else {
      kernels.halves_unpack(0, each * size, all, wide.byteOffset);
      data.set(wide.subarray(0, length));
    }
  }
}
