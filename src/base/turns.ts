/**
 * Turns at what only one may use at a time: streams of one decoder.
 *
 * @module
 */

/** Milliseconds for which who has the turn may do nothing before the next in line takes it: its reader may never come back. */
const IDLE = 250;
/** Milliseconds between looks of the first in line; those behind look less often, as nothing can change for them sooner. */
const LOOK = 4, SELDOM = 100;

/** Who has the turn, and who waits, first first. */
export class Turns {
  readonly line: Turn[] = [];
  holder: Turn | undefined;

  /** Makes a place in the line for one user, who is not in it yet. */
  join(): Turn {
    return new Turn(this);
  }
}

/** One user's turn. */
export class Turn {
  /** When it last did something; Infinity while it is at work. */
  #since = Infinity;

  constructor(private readonly turns: Turns) {}

  /**
   * Waits until nobody is before and nobody is at work.
   *
   * @throws the signal's reason, where it is raised before that
   */
  async take(signal?: AbortSignal): Promise<void> {
    const { turns } = this, { line } = turns;
    line.push(this);
    try {
      while (line[0] !== this || (turns.holder && performance.now() - turns.holder.#since < IDLE)) {
        signal?.throwIfAborted();
        await new Promise((resume) => setTimeout(resume, Math.min(SELDOM, LOOK * (1 + line.indexOf(this)))));
      }
      signal?.throwIfAborted();
      turns.holder = this;
      this.#since = Infinity;
    } finally {
      line.splice(line.indexOf(this), 1);
    }
  }

  /** Says that it is at work no more until {@linkcode resume}. */
  rest(): void {
    this.#since = performance.now();
  }

  /** Goes on; answers whether nobody has taken the turn meanwhile. */
  resume(): boolean {
    this.#since = Infinity;
    return this.turns.holder === this;
  }

  /** Gives the turn back, if it has it. */
  leave(): void {
    if (this.turns.holder === this) this.turns.holder = undefined;
  }
}

/**
 * Does work when its turn comes, and gives the turn back.
 *
 * @throws the signal's reason, where it is raised before that
 */
export async function inTurn<T>(turns: Turns, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const turn = turns.join();
  await turn.take(signal);
  try {
    return await work();
  } finally {
    turn.leave();
  }
}
