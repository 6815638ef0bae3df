/**
 * Sums over processes with f16 on the way: half the bytes of f32, and sums still made in f32.
 *
 * @module
 */

import type { Communicator } from "./communicator.ts";

/** What sums arrays over ranks as halves; keeps its memory for the next. */
export class HalvesSum {
  #room = 0;
  #sent = new Float16Array(0);
  #received = new Float16Array(0);
  #sums = new Float32Array(0);

  constructor(readonly communicator: Communicator) {}

  #reserve(each: number): void {
    if (each <= this.#room) return;
    this.#room = each;
    this.#sent = new Float16Array(each * this.communicator.size);
    this.#received = new Float16Array(each * this.communicator.size);
    this.#sums = new Float32Array(each);
  }

  /**
   * Sums arrays of one length over all ranks, in place: each rank sums its part of all arrays in f32, in the order of the ranks, and sends
   * the sums round. What comes out is f16's nearest: beyond 65,520 infinity, which skips the step on all ranks.
   */
  async sum(data: Float32Array): Promise<void> {
    const { communicator } = this, { size } = communicator, each = Math.ceil(data.length / size);
    this.#reserve(each);
    const sent = this.#sent.subarray(0, each * size),
      received = this.#received.subarray(0, each * size),
      sums = this.#sums.subarray(0, each);
    const bytes = (halves: Float16Array) => new Uint8Array(halves.buffer, halves.byteOffset, halves.byteLength);
    sent.set(data);
    sent.fill(0, data.length);
    await communicator.alltoall(bytes(sent), bytes(received));
    sums.set(received.subarray(0, each));
    for (let rank = 1; rank < size; rank++) add(sums, received.subarray(rank * each, (rank + 1) * each));
    const own = sent.subarray(0, each);
    own.set(sums);
    await communicator.allgather(bytes(own), bytes(received));
    data.set(received.subarray(0, data.length));
  }
}

function add(sums: Float32Array, halves: Float16Array): void {
  for (let i = 0; i < sums.length; i++) sums[i] += halves[i];
}
