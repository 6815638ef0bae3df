/**
 * What joins the processes that train one model together. MPI is one such thing (cli/mpi/); nothing here knows it.
 *
 * @module
 */

import { expect, whole } from "../base/check.ts";

/** What gradients are on their way. */
export type Wire = "f32" | "f16";

/** The names of {@linkcode Wire}. */
export const WIRES: readonly Wire[] = ["f32", "f16"];

/**
 * The processes of a run, numbered. Every call is made by all of them, in the same order, one at a time: none begins before the last of this
 * rank has ended.
 */
export interface Communicator {
  /** This process's number, from 0. */
  readonly rank: number;
  /** Processes in all. */
  readonly size: number;
  /** Sums arrays of one length over all ranks, element by element, in place; all ranks get the same bits. */
  allreduce(data: Float32Array | Float64Array): Promise<void>;
  /**
   * Cuts `send` into `size` equal parts, of which part r goes to rank r; `receive` gets those for this rank, by the ranks they come from.
   */
  alltoall(send: Uint8Array, receive: Uint8Array): Promise<void>;
  /** `receive` gets what every rank sends, `size` times the length of `send`, by rank. */
  allgather(send: Uint8Array, receive: Uint8Array): Promise<void>;
  /**
   * Where there is a thread for it: sums arrays over all ranks in place, as {@linkcode allreduce} does with f32 on the wire, in halves with f16
   * (`data` may then be f32, or the bits of f16). Unlike the other calls this may be made before others of its own kind have ended, which it follows;
   * answers how many milliseconds the sum took.
   */
  sumApart?(data: Float32Array | Uint16Array, wire: Wire): Promise<number>;
}

/** @throws {ConfigError} beginning with `cannot` where something is no communicator */
export function checkCommunicator(cannot: string, communicator: Communicator): void {
  expect(cannot, {
    communicator: [communicator, "an object"],
    rank: [communicator?.rank, whole(0)],
    size: [communicator?.size, whole(1)],
  });
}
