/**
 * How often Dawn's addon looks for what it waits for.
 *
 * Plan. A native function without a name stands for the addon's, as a proxy prints like one. A long wait looks often, then seldom; the next
 * begins often again; what others ask of `setImmediate` comes as it did. The global one is another's again once the last device is gone.
 * That the addon itself is paced is seen where it runs (runtimes_dawn_test.ts).
 */

import { assertEquals, assertStrictEquals } from "@std/assert";
import { paced, pacePolls, type SetImmediate } from "../src/engines/webgpu/dawn_polls.ts";

/** A wait of `looks` looks, which asks for the next in each. */
function wait(ask: (look: () => void) => unknown, looks: number): void {
  const look = new Proxy(() => {
    if (--looks > 0) ask(look);
  }, {});
  ask(look);
}

Deno.test("dawn: the addon looks twenty times at once, then once in a millisecond, each wait anew", () => {
  const queue: (() => void)[] = [], counts = { atOnce: 0, later: 0 };
  const real = Object.assign((ask: () => void, ...given: unknown[]) => {
    counts.atOnce++;
    queue.push(() => Reflect.apply(ask, undefined, given));
  }, { told: "its own" });
  const all = paced(real as SetImmediate, (look, ms) => {
    assertEquals(ms, 1);
    counts.later++;
    queue.push(look);
  });
  const run = () => {
    while (queue.length > 0) queue.shift()!();
    const found = { ...counts };
    counts.atOnce = counts.later = 0;
    return found;
  };
  assertEquals((all as unknown as typeof real).told, "its own");
  wait(all as never, 100);
  assertEquals(run(), { atOnce: 20, later: 80 });
  wait(all as never, 15);
  assertEquals(run(), { atOnce: 15, later: 0 });

  // What is not the addon's, in the middle of its wait as well: functions with text, bound ones, those given something, and mistakes.
  wait(all as never, 30);
  const seen: unknown[] = [], push = seen.push.bind(seen);
  all(() => seen.push("text"));
  all(push, "bound");
  all(new Proxy((what: string) => seen.push(what), {}), "given");
  assertEquals(run(), { atOnce: 23, later: 10 });
  assertEquals(seen, ["text", "bound", "given"]);
});

Deno.test("dawn: the global setImmediate is as it was once the last device is gone", () => {
  const former = globalThis.setImmediate, first = pacePolls(), own = globalThis.setImmediate, second = pacePolls();
  assertEquals(own === former, false);
  assertStrictEquals(globalThis.setImmediate, own);
  first();
  first();
  assertStrictEquals(globalThis.setImmediate, own);
  second();
  assertStrictEquals(globalThis.setImmediate, former);

  // Another's, put there since then, stays.
  const third = pacePolls(), another = globalThis.setImmediate = Object.assign(() => {}, former) as unknown as typeof setImmediate;
  third();
  assertStrictEquals(globalThis.setImmediate, another);
  globalThis.setImmediate = former;
});
