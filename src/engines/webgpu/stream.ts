/**
 * Streams of runs on a device that works while the host does something else.
 *
 * @module
 */

import { type Engine, readAll, type Streamed, type StreamOptions } from "../../ops/mod.ts";

// Runs at a time: first so many, then twice as many until they take long enough, or are the most; no more than the unmeasured ones until
// it is known how long they take.
const FIRST_RUNS = 4, UNMEASURED_RUNS = 12, MOST_RUNS = 256;

/** What a stream needs of an executable. */
interface Runner {
  /** Begins so many runs. */
  run(times: number): Promise<void>;
  /** Makes ready what can be made ready of the next call of `run` while others are under way, if it is for so many runs. */
  prepare(times: number): void;
}

/**
 * Always has the next runs under way while the results of those before are read, as many at a time as take about `ms` milliseconds.
 * A read may hold this thread until all that was begun is through: so what comes next is begun after it, ready to start at once.
 */
export async function* streamAhead(
  engine: Pick<Engine, "read">,
  { run, prepare }: Runner,
  { times, skip = 0, reads }: StreamOptions,
  ms: number,
): AsyncGenerator<Streamed> {
  let count = FIRST_RUNS, most = UNMEASURED_RUNS, begun = 0, before = performance.now();
  const after = (end: number) => Math.min(times, end + count);
  /** Begins the runs up to `end`, makes those up to the returned one ready. */
  const begin = async (end: number): Promise<number> => {
    const more = end - begun;
    begun = end;
    await run(more);
    count = Math.min(2 * count, most);
    const next = after(end);
    if (next > end) prepare(next - end);
    return next;
  };
  let ahead: Promise<number> | undefined;
  for (let from = skip, to = after(skip); from < times;) {
    let next = await (ahead ?? begin(to));
    // Runs that were made ready before it was known how long they take.
    if (next - to > 2 * most) next = to + most;
    const reading = readAll(engine, reads(from, to));
    ahead = next > to ? begin(next) : undefined;
    const [data, ready = next] = await Promise.all([reading, ahead]), now = performance.now();
    // In that time the device ran these and the host made others ready: the more of them, the surer it is what one takes.
    most = Math.max(1, Math.min(MOST_RUNS, Math.round(ms / (now - before) * Math.max(to - from, ready - next))));
    before = now;
    yield { from, to, begun, data };
    [from, to] = [to, next];
  }
}
