/**
 * Ranks that are in one process: what training together does, without what carries it.
 *
 * @module
 */

import type { Communicator } from "../src/run/communicator.ts";

/** What the ranks gave to a call, and what wakes them. */
interface Call {
  readonly given: unknown[];
  readonly done: PromiseWithResolvers<void>;
}

/** Communicators of one group. Sums are made in the order of the ranks, so their bits are known. */
export function ranksHere(size: number): Communicator[] {
  const calls: Call[] = [], made = new Array<number>(size).fill(0);
  /** What all ranks gave to this rank's next call. */
  const meet = async <T>(rank: number, value: T): Promise<T[]> => {
    const call = calls[made[rank]++] ??= { given: [], done: Promise.withResolvers() };
    call.given[rank] = value;
    if (Object.keys(call.given).length === size) call.done.resolve();
    await call.done.promise;
    return call.given as T[];
  };
  return Array.from({ length: size }, (_, rank) => ({
    rank,
    size,
    async allreduce(data: Float32Array | Float64Array) {
      const all = await meet(rank, data.slice()), sum = all[0].slice();
      for (const one of all.slice(1)) sum.forEach((_, i) => sum[i] += one[i]);
      data.set(sum);
    },
    async alltoall(send: Uint8Array, receive: Uint8Array) {
      const all = await meet(rank, send.slice()), each = send.length / size;
      all.forEach((one, from) => receive.set(one.subarray(rank * each, (rank + 1) * each), from * each));
    },
    async allgather(send: Uint8Array, receive: Uint8Array) {
      (await meet(rank, send.slice())).forEach((one, from) => receive.set(one, from * send.length));
    },
  }));
}
