/**
 * How often Dawn's addon looks whether a device has done what is waited for.
 *
 * While anything is waited for it asks for `setImmediate` again and again, each time with a new native function: 30,000 to 60,000 per second.
 * In Deno collecting those stops the event loop, for 1 s in 2.5 on the machine where it was found and for up to 10 on one with a large heap,
 * while the GPU stands idle with its work done: a step of 0.2 s took 1. In Node they take a core from whoever else could use it.
 *
 * @module
 */

/** Looks at once, with which a row of them begins that nothing interrupts, of one wait or several: 0.3 to 0.6 ms. */
const QUICK = 20;
/** Milliseconds from one to the next after that. */
const PAUSE = 1;

/** What the addon calls, and what others do. */
export type SetImmediate = (ask: (...given: never[]) => void, ...given: unknown[]) => unknown;

/** Where it lies: browsers, which have no addons, have none. */
const scope = globalThis as unknown as { setImmediate?: SetImmediate };

/** Whether it is a function of an addon's that has no name, as Dawn's is: bound ones have. */
const isNative = (ask: unknown): ask is () => void =>
  typeof ask === "function" && ask.name === "" && /\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(ask));

/** `setImmediate` in which an addon's calls for the next look of a long wait come a millisecond later. What others ask for comes as before. */
export function paced(
  real: SetImmediate,
  later: (look: () => void, ms: number) => unknown = (look, ms) => setTimeout(look, ms),
): SetImmediate {
  let looks = 0, asksAgain = false;
  const next = (ask: () => void) => () => {
    asksAgain = false;
    ask();
    if (!asksAgain) looks = 0;
  };
  const all = (ask: unknown, ...given: unknown[]) => {
    if (!isNative(ask) || given.length > 0) return Reflect.apply(real, undefined, [ask, ...given]);
    asksAgain = true;
    return looks++ < QUICK ? real(next(ask)) : later(next(ask), PAUSE);
  };
  return Object.assign(all, real) as SetImmediate;
}

let users = 0, own: SetImmediate | undefined, former: SetImmediate | undefined;

/** Paces what an addon asks for from here on, until the last that called it has called what it gives. */
export function pacePolls(): () => void {
  if (users++ === 0 && scope.setImmediate) {
    former = scope.setImmediate;
    scope.setImmediate = own = paced(former);
  }
  let isOver = false;
  return () => {
    if (isOver) return;
    isOver = true;
    // Who has put another in its place since then calls this one.
    if (--users === 0 && own && scope.setImmediate === own) scope.setImmediate = former;
  };
}
