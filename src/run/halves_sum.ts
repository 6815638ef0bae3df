/**
 * Sums over processes with f16 on the way: half the bytes of f32, and sums still made in f32.
 *
 * @module
 */

import { BackendError } from "../base/errors.ts";
import type { Communicator } from "./communicator.ts";

/** What is used of a `Float16Array`, which not every TypeScript library declares. */
interface Halves {
  [at: number]: number;
  readonly length: number;
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  readonly byteLength: number;
  set(values: ArrayLike<number>): void;
  fill(value: number, from?: number): void;
  subarray(from: number, to: number): Halves;
}

/** @throws {BackendError} where the runtime has no arrays of f16 */
function halves(length: number): Halves {
  const { Float16Array } = globalThis as unknown as { Float16Array?: new (length: number) => Halves };
  if (!Float16Array) throw new BackendError("Cannot send gradients as f16: this runtime has no Float16Array; send them as f32");
  return new Float16Array(length);
}

const bitsOf = ({ buffer, byteOffset, length }: Halves) => new Uint16Array(buffer, byteOffset, length);
const bytesOf = ({ buffer, byteOffset, byteLength }: Halves) => new Uint8Array(buffer, byteOffset, byteLength);

/** What sums arrays over ranks as halves; keeps its memory for the next. */
export class HalvesSum {
  #room = 0;
  #sent: Halves | undefined;
  #received: Halves | undefined;
  #sums = new Float32Array(0);

  constructor(readonly communicator: Communicator) {}

  #reserve(each: number): void {
    if (each <= this.#room) return;
    this.#room = each;
    this.#sent = halves(each * this.communicator.size);
    this.#received = halves(each * this.communicator.size);
    this.#sums = new Float32Array(each);
  }

  /**
   * Sums arrays of one length, of f32 or of the bits of f16, over all ranks, in place: each rank sums its part of all arrays in f32, in the order of the ranks, and sends
   * the sums round. What comes out is f16's nearest: beyond 65,520 infinity, which skips the step on all ranks.
   */
  async sum(data: Float32Array | Uint16Array): Promise<void> {
    const { communicator } = this, { size } = communicator, each = Math.ceil(data.length / size);
    this.#reserve(each);
    const sent = this.#sent!.subarray(0, each * size),
      received = this.#received!.subarray(0, each * size),
      sums = this.#sums.subarray(0, each);
    // Bits are copied, numbers rounded.
    if (data instanceof Uint16Array) bitsOf(sent).set(data);
    else sent.set(data);
    sent.fill(0, data.length);
    await communicator.alltoall(bytesOf(sent), bytesOf(received));
    sums.set(received.subarray(0, each));
    for (let rank = 1; rank < size; rank++) add(sums, received.subarray(rank * each, (rank + 1) * each));
    const own = sent.subarray(0, each);
    own.set(sums);
    await communicator.allgather(bytesOf(own), bytesOf(received));
    data.set(data instanceof Uint16Array ? bitsOf(received).subarray(0, data.length) : received.subarray(0, data.length));
  }
}

function add(sums: Float32Array, halves: Halves): void {
  for (let i = 0; i < sums.length; i++) sums[i] += halves[i];
}
