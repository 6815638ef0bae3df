/**
 * A network that is not there: calls of a communicator take as long as they would on one of a given latency and rate.
 *
 * @module
 */

import type { Communicator } from "../src/run/communicator.ts";

/** A network between ranks. */
export interface Network {
  /** Of one message. */
  readonly milliseconds: number;
  /** Of each rank's link, either way. */
  readonly bytesPerSecond: number;
}

/**
 * The same communicator on a slower network. A sum over R ranks is taken to go round a ring: 2·(R − 1) messages, each of one R-th of the
 * bytes; what the call itself takes counts as part of it.
 */
export function delayed(communicator: Communicator, { milliseconds, bytesPerSecond }: Network): Communicator {
  const { rank, size } = communicator;
  /** @param messages one after another, each of `bytes` */
  const last = async (messages: number, bytes: number, call: Promise<void>) => {
    const until = performance.now() + messages * (milliseconds + bytes / bytesPerSecond * 1000);
    await call;
    const left = until - performance.now();
    if (left > 0) await new Promise((resume) => setTimeout(resume, left));
  };
  return {
    rank,
    size,
    allreduce: (data) => last(2 * (size - 1), data.byteLength / size, communicator.allreduce(data)),
    alltoall: (send, receive) => last(size - 1, send.length / size, communicator.alltoall(send, receive)),
    allgather: (send, receive) => last(size - 1, send.length, communicator.allgather(send, receive)),
  };
}
