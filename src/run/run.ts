/**
 * A training run as it is kept: what it trains, on what, and its curve so far.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import type { DataIdentity } from "../data/identity.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Recipe } from "../files/recipe.ts";
import type { Checkpoint, HistoryEntry } from "../files/run_state.ts";
import { TOKENIZER_FILE } from "./folder.ts";
import type { RunConfig } from "./resume.ts";
import type { Progress } from "./train.ts";

/** Points of the curve that are kept: beyond, every second one without a held-out loss goes. */
const HISTORY = 2000;

/** What a run is. */
export interface RunOptions extends RunConfig {
  /** The engine's name. */
  readonly engine: string;
  /** What it trains on. */
  readonly data: DataIdentity;
  /** What the model's tokens stand for, where they are not bytes. */
  readonly tokenizer?: Tokenizer;
}

/** A run under way: {@linkcode Run.report} takes what `train` reports, {@linkcode Run.checkpoint} gives what is to be saved. */
export class Run {
  #history: HistoryEntry[];
  readonly #begun: number;

  /**
   * Begins the curve, or goes on with it.
   *
   * @param options what the run is
   * @param before the curve of a run that goes on
   */
  constructor(readonly options: RunOptions, before: readonly HistoryEntry[] = []) {
    expect("Cannot keep the run", { options: [options, "an object"], history: [before, "a list"] });
    this.#history = [...before];
    this.#begun = performance.now() - (before.at(-1)?.ms ?? 0);
  }

  /** What begins the same run again, from its folder. */
  get recipe(): Recipe {
    const { config, train, data, tokenizer } = this.options;
    return { model: config, train, data: data.source, ...tokenizer && { tokenizer: TOKENIZER_FILE } };
  }

  /** The curve so far, by step. */
  get history(): readonly HistoryEntry[] {
    return this.#history;
  }

  /** The latest loss on what is held out, as it was reported; undefined where there was none yet. */
  get heldOut(): number | undefined {
    return this.#history.findLast(({ heldOut }) => heldOut !== undefined)?.heldOut;
  }

  /** The best loss on what is held out, and after which step; undefined where there was none yet. */
  get best(): { readonly step: number; readonly heldOut: number } | undefined {
    let best: { step: number; heldOut: number } | undefined;
    for (const { step, heldOut } of this.#history) if (heldOut !== undefined && !(heldOut >= best?.heldOut!)) best = { step, heldOut };
    return best;
  }

  /** Adds a report to the curve, its losses in bits per byte: `inBytes` where a token is not a byte. */
  report({ step, loss, heldOut }: Pick<Progress, "step" | "loss" | "heldOut">): void {
    // A stop reports the step of the report before once more, and measures nothing anew.
    const same = this.#history.at(-1)?.step === step ? this.#history.pop() : undefined;
    this.#history.push({ step, loss, heldOut: heldOut ?? same?.heldOut, ms: Math.round(performance.now() - this.#begun) });
    if (this.#history.length > HISTORY) this.#history = this.#history.filter(({ heldOut }, at) => heldOut !== undefined || at % 2 === 0);
  }

  /**
   * Everything that the run goes on from, as of a report. Take it before asking for the next.
   *
   * @throws {DivergedError} where weights or moments are not finite
   */
  async checkpoint(progress: Pick<Progress, "snapshot">): Promise<Checkpoint> {
    const { config, train, engine, data, tokenizer } = this.options, snapshot = await progress.snapshot();
    return { ...snapshot, config, train, engine, data, history: [...this.#history], ...tokenizer && { tokenizer } };
  }
}
