/**
 * Signals that end a run.
 *
 * @module
 */

import { isNode } from "./program.ts";

/** Exit codes of a process that a signal ended. */
export const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Signals that end a run. */
export type EndingSignal = keyof typeof EXIT_CODES;

/** Milliseconds in which signals are one stop: `deno task` passes on a Ctrl-C that the terminal has sent to all, service managers send two. */
const ONE_STOP = 500;
/**
 * It is counted in so many turns of the event loop: what holds the loop, as a save does, holds the second of two signals back as well, which
 * would otherwise end the process before the run is saved.
 */
const TURNS = 10;

/**
 * Stops a run after the step under way. Signals within {@linkcode ONE_STOP} of the first are the same stop; one after that ends the process
 * at once.
 */
export class Stopper {
  readonly #controller = new AbortController();
  readonly #handlers: (readonly [Deno.Signal, () => void])[];
  /** Which signal came first. */
  came: EndingSignal | undefined;
  /** Turns in which signals are the same stop. */
  #left = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param isDeaf whether a hang-up is to end nothing */
  constructor(isDeaf: boolean, onStop: () => void) {
    // Windows has no SIGTERM.
    const names = (Object.keys(EXIT_CODES) as EndingSignal[]).filter((name) => name === "SIGINT" || Deno.build.os !== "windows");
    this.#handlers = names.map((name) => {
      const handler = () => {
        if (this.#left > 0 || (name === "SIGHUP" && isDeaf)) return;
        if (this.came) Deno.exit(EXIT_CODES[name]);
        this.came = name;
        this.#left = TURNS;
        this.#countDown();
        onStop();
        this.#controller.abort();
      };
      return [name, handler] as const;
    });
    // Where a file would grow over the system's limit a write then fails, and what was begun is removed; without a listener the process
    // would end there and leave it.
    if (Deno.build.os !== "windows") this.#handlers.push(["SIGXFSZ", () => {}]);
    for (const [name, handler] of this.#handlers) Deno.addSignalListener(name, handler);
  }

  #countDown(): void {
    this.#timer = setTimeout(() => --this.#left > 0 && this.#countDown(), ONE_STOP / TURNS);
  }

  /** Raised by the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Listens no more. */
  close(): void {
    clearTimeout(this.#timer);
    for (const [name, handler] of this.#handlers) Deno.removeSignalListener(name, handler);
  }
}

/**
 * Whether a closed terminal is to end nothing, as `nohup` asks by ignoring its signal: a listener would take that back. To be asked before
 * anything else: once anything listens to a signal, Deno takes all that end a process.
 */
export function isHangupIgnored(): boolean {
  try {
    // Node has reset it before anybody could ask.
    const [, mask] = isNode ? [] : /^SigIgn:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"))!;
    if (mask) return (BigInt(`0x${mask}`) & 1n) === 1n;
  } catch {
    // Systems that do not tell.
  }
  // `nohup` leaves no terminal.
  return ![Deno.stdin, Deno.stdout, Deno.stderr].some((stream) => stream.isTerminal());
}
