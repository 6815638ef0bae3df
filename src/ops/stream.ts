/**
 * Streams of runs for engines whose runs are over when `run` resolves.
 *
 * @module
 */

import type { Engine, Executable, Streamed, StreamOptions, TensorPart } from "./engine.ts";
import type { TensorData } from "./tensor.ts";

/** Reads several tensors, or parts of them, at the same moment. */
export function readAll(engine: Pick<Engine, "read">, parts: readonly TensorPart[]): Promise<TensorData[]> {
  return Promise.all(parts.map(({ tensor, range }) => engine.read(tensor, range)));
}

/** Runs once, reads, and hands over: nothing is begun ahead, so a reader that stops has lost nothing. */
export async function* streamOneByOne(
  engine: Pick<Engine, "read">,
  run: Executable["run"],
  { times, skip = 0, reads }: StreamOptions,
): AsyncGenerator<Streamed> {
  for (let from = skip; from < times; from++) {
    const to = from + 1;
    await run(from === skip ? to : 1);
    yield { from, to, begun: to, data: await readAll(engine, reads(from, to)) };
  }
}
