/**
 * The thread of summer.ts.
 *
 * @module
 */

import type { HalvesSum } from "../../ops.ts";
import { OpenMpi } from "./open_mpi.ts";
import { runtime } from "./runtime.ts";
import type { Answer, Asked } from "./summer.ts";

const scope = globalThis as unknown as { onmessage?: (event: MessageEvent<Asked>) => void; postMessage(answer: Answer): void };
const mpi = new OpenMpi(true);
let halves: Promise<HalvesSum> | undefined;

/** What sums halves, loaded where there are some: a face is all that its modules import. */
const halvesSum = () => halves ??= import("../../ops.ts").then(({ HalvesSum }) => new HalvesSum(mpi));

/** Sums what lies there, where it lies. */
async function sum({ address, length, isWide, wire }: Asked): Promise<number> {
  const { UnsafePointer, UnsafePointerView } = runtime(), half = wire === "f16" ? await halvesSum() : undefined, begun = performance.now();
  const memory = UnsafePointerView.getArrayBuffer(UnsafePointer.create(address), length * (isWide ? 4 : 2));
  const data = isWide ? new Float32Array(memory) : new Uint16Array(memory);
  await (half ? half.sum(data) : mpi.allreduce(data as Float32Array));
  return performance.now() - begun;
}

let turn: Promise<unknown> = Promise.resolve();
scope.onmessage = ({ data }) => {
  turn = turn.then(() => sum(data)).then(
    (milliseconds) => scope.postMessage({ milliseconds }),
    (error: Error) => scope.postMessage({ error: error.message }),
  );
};
