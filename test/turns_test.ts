/**
 * Streams of one model at once: each gives what it would give alone, whatever the others do.
 *
 * Plan. Texts side by side, batches of several sizes among them; one stopped by its signal while it writes and while it waits; one whose
 * reader never comes back, and one whose reader comes back late; a stream past the context, which begins anew in between.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { checkConfig } from "../src/files/model_config.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { openModel } from "../src/run/open.ts";
import { SMALL } from "./model.ts";

const config = checkConfig({
  ...SMALL,
  n_ctx: 40,
  attention: { pattern: "strided", stride: 6 },
  position: { kind: "attention", stride: 6 },
});
const open = () => openModel({ config, weights: initialWeights(config, 1) }, { backend: "wasm", threads: 1 });
type Opened = Awaited<ReturnType<typeof open>>;

/** All tokens of a stream. */
async function all(model: Opened, seed: number, length: number, signal?: AbortSignal): Promise<number[]> {
  const made: number[] = [];
  for await (const token of model.tokens({ length, seed, prompt: [seed, 7], signal })) made.push(token);
  return made;
}

async function alone(seed: number, length: number): Promise<number[]> {
  const model = await open();
  try {
    return await all(model, seed, length);
  } finally {
    model.dispose();
  }
}

Deno.test("turns: streams of one model at once give what each gives alone, past the context too", async () => {
  const model = await open(), want = await Promise.all([1, 2, 3, 4].map((seed) => alone(seed, 90)));
  assertEquals(await Promise.all([1, 2, 3, 4].map((seed) => all(model, seed, 90))), want);
  assert(new Set(want.map(String)).size === 4);
  const texts = await Promise.all([1, 2].map(async (seed) => {
    let text = "";
    for await (const piece of model.text({ prompt: "to be", length: 30, seed })) text += piece;
    return text;
  }));
  const again = [];
  for (const seed of [1, 2]) {
    let text = "";
    for await (const piece of model.text({ prompt: "to be", length: 30, seed })) text += piece;
    again.push(text);
  }
  assertEquals(texts, again);
  model.dispose();
});

Deno.test("turns: batches of several sizes stream beside each other", async () => {
  const model = await open();
  const batch = async (size: number, seed: number) => {
    const made: number[][] = [];
    for await (const tokens of model.samples({ batch: size, length: 12, seed })) made.push([...tokens]);
    return made;
  };
  const sizes: [number, number][] = [[2, 1], [3, 1], [1, 1], [2, 2], [3, 2]],
    together = await Promise.all(sizes.map(([b, s]) => batch(b, s)));
  for (const [at, [size, seed]] of sizes.entries()) assertEquals(together[at], await batch(size, seed));
  model.dispose();
});

Deno.test("turns: a signal ends its own stream, writing or waiting, and no other", async () => {
  const model = await open(), stop = new AbortController(), want = await alone(3, 30);
  let count = 0;
  const writing = (async () => {
    for await (const _ of model.tokens({ length: 1000, seed: 1, signal: stop.signal })) if (++count === 5) stop.abort(new Error("enough"));
  })();
  const waiting = all(model, 2, 30, stop.signal), other = all(model, 3, 30);
  // Which of the two hears of it first is the clock's.
  const settled = await Promise.allSettled([writing, waiting]);
  assertEquals(settled.map((one) => one.status === "rejected" && one.reason.message), ["enough", "enough"]);
  assertEquals([count, await other], [5, want]);
  await assertRejects(() => all(model, 4, 3, AbortSignal.abort(new Error("before"))), Error, "before");
  model.dispose();
});

Deno.test("turns: a reader that stays away gives way, and finds its stream as it was when it comes back", async () => {
  const model = await open(), want = [await alone(1, 60), await alone(2, 30)], slow = model.tokens({ length: 60, seed: 1, prompt: [1, 7] });
  const made = [(await slow.next()).value as number, (await slow.next()).value as number];
  assertEquals(await all(model, 2, 30), want[1]);
  for await (const token of slow) made.push(token);
  assertEquals(made, want[0]);
  // One that is never read on.
  await model.tokens({ length: 60, seed: 1 }).next();
  assertEquals(await all(model, 2, 30), want[1]);
  model.dispose();
});
