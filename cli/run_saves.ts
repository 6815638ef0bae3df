/**
 * A run's saves while it trains: the last, and the best by what is held out.
 *
 * @module
 */

import { join } from "node:path";
import type { Progress } from "../mod.ts";
import { type Checkpoint, type Every, formatRecipe, RECIPE_FILE, type Run, type RunState, type Saved } from "../files.ts";
import { isThere, writeAtomic } from "./disk.ts";
import { BEST_FOLDER, keepSave, type RunFolder, saveRun, saveState, saveWithin } from "./run_folder.ts";
import { SavePlan } from "./saving.ts";

/** What a save did. */
export interface Done {
  /** Seconds that it took. */
  readonly seconds: number;
  /** What there is to say of what saving takes, where that is news. */
  readonly news?: string;
}

/** The last save as it was made. */
interface Last {
  readonly saved: Saved;
  /** Where the run was, without weights and moments. */
  readonly state: RunState;
}

/** Saves a run as it trains. */
export class RunSaves {
  readonly #plan: SavePlan;
  readonly #best: string;
  /** The lowest held-out loss of a model that is kept. */
  #lowest: number;
  /** The best model, where saving it had to wait. */
  #waiting: Checkpoint | undefined;
  #last: Last | undefined;
  /** How often the run was saved. */
  count = 0;

  /**
   * Saves nothing yet.
   *
   * @param every how often, where that was asked for
   */
  constructor(readonly folder: RunFolder, readonly run: Run, every?: Every) {
    this.#plan = new SavePlan(every);
    this.#best = join(folder.path, BEST_FOLDER);
    this.#lowest = isThere(this.#best) ? run.best?.heldOut ?? Infinity : Infinity;
  }

  /**
   * Takes a report that the run has already, and saves where it is time.
   *
   * @returns what was saved; undefined where nothing was
   * @throws {CheckpointError} where it cannot be written
   */
  async take(progress: Progress): Promise<Done | undefined> {
    const { step, heldOut, last, scored } = progress, isBetter = heldOut !== undefined && heldOut < this.#lowest, begun = performance.now();
    if (isBetter) this.#lowest = heldOut;
    if (this.#last?.state.step === step) {
      // The same model: what is new is known of it.
      if (heldOut === undefined) return undefined;
      saveState(this.folder, this.#last.saved, { ...this.#last.state, history: [...this.run.history] });
      if (isBetter) this.#keep();
      return { seconds: (performance.now() - begun) / 1000 };
    }
    if (!last && scored === undefined && !this.#plan.isDue(step, heldOut !== undefined)) {
      if (isBetter) this.#waiting = await this.run.checkpoint(progress);
      return undefined;
    }
    const checkpoint = await this.run.checkpoint(progress), { skipped, lossScale, engine, train, data, history } = checkpoint;
    this.#last = { saved: saveRun(this.folder, checkpoint), state: { step, skipped, lossScale, engine, train, data, history } };
    if (this.count++ === 0) writeAtomic(join(this.folder.path, RECIPE_FILE), formatRecipe(this.run.recipe));
    if (isBetter) this.#keep();
    else if (this.#waiting) saveWithin(this.#best, this.#waiting);
    this.#waiting = undefined;
    const seconds = (performance.now() - begun) / 1000;
    return { seconds, news: this.#plan.took(seconds) };
  }

  #keep(): void {
    this.#waiting = undefined;
    keepSave(this.folder, this.#last!.saved, this.#best);
  }
}
