/**
 * What is held out, scored while a run trains: at a glance now and then, all of it at the end.
 *
 * @module
 */

import { objectiveOf } from "../files/objective.ts";
import type { PhaseAt } from "../files/phases.ts";
import { targetsIn } from "../model/batch.ts";
import type { Parameters } from "../model/parameters.ts";
import type { Engine } from "../ops/mod.ts";
import type { DataParallel } from "./data_parallel.ts";
import { type EvaluateOptions, Scorer, type Tokens } from "./evaluate.ts";
import { type Targets, WindowScorer } from "./window_scorer.ts";

/** How much of it is scored, at most so many tokens at once in windows of the phase's context. */
const AT_ONCE = 4096, WINDOWS = 4;

/**
 * Windows spread evenly over tokens, or over their targets: the beginning alone may be of another kind than the rest, and a curve over it then jumps where all
 * are evaluated (by 0.4 bits/byte on a mixture of texts). Each begins a unit, however much longer than a window that is.
 *
 * @returns all tokens, or at most `windows` times n_ctx of them
 */
function spread(tokens: Tokens, windows: number, n_ctx: number, unit = 1): Tokens {
  if (windows * n_ctx >= tokens.length && n_ctx % unit === 0) return tokens;
  windows = Math.min(windows, Math.floor((tokens.length - n_ctx) / unit) + 1);
  const chosen = new Float64Array(windows * n_ctx), apart = (tokens.length - n_ctx) / Math.max(1, windows - 1) / unit;
  for (let at = 0; at < windows; at++) {
    const from = Math.floor(at * apart) * unit;
    chosen.set(tokens.subarray(from, from + n_ctx), at * n_ctx);
  }
  return chosen;
}

/** The phase that training is in, with its model on the engine. */
type TrainedPhase = PhaseAt & { readonly params: Parameters };

/** A look at what is held out. */
export interface Look {
  /** Tokens scored so far, and in all. */
  readonly scored: number;
  readonly of: number;
  /** The loss in its objective's unit, at the end; undefined before, and where a signal came in between. */
  readonly loss?: number;
}

/** Held-out tokens, scored with the model of the phase that training is in. */
export class HeldOut {
  #scorer: Scorer | WindowScorer | undefined;
  #glance: Tokens | undefined;
  #glanceTargets: Targets | undefined;
  #index: number | undefined;
  /** Tokens scored so far, and the seconds that took. */
  readonly #spent = { tokens: 0, seconds: 0 };

  /**
   * Makes nothing yet.
   *
   * @param most tokens that a glance takes
   * @param listens what ends a look before its end, or the processes that share each look
   * @param targets a number per token, of models that say one
   */
  constructor(
    private readonly engine: Engine,
    private readonly tokens: Tokens,
    private readonly unit: number,
    private readonly most: number,
    private readonly listens?: AbortSignal | DataParallel,
    private readonly targets?: Targets,
  ) {}

  /** Whether a glance takes all there is. */
  isAll({ config: { n_ctx } }: TrainedPhase): boolean {
    return n_ctx % this.unit === 0 && Math.max(1, Math.floor(this.most / n_ctx)) * n_ctx >= this.tokens.length;
  }

  /**
   * Scores at a glance, or everything; in windows of the phase's context. Looks up after each batch of windows, so that a signal is heard.
   *
   * @throws {DivergedError} where the model's loss is not finite
   */
  async *look({ params, config, index }: TrainedPhase, all: boolean): AsyncGenerator<Look> {
    if (this.#index !== index) {
      this.dispose();
      const { n_ctx } = config, batch = Math.max(1, Math.min(WINDOWS, Math.ceil(AT_ONCE / n_ctx)));
      this.#scorer = await (objectiveOf(config) === "next" ? Scorer : WindowScorer).create(this.engine, params, batch);
      const windows = Math.max(1, Math.floor(this.most / n_ctx));
      this.#glance = spread(this.tokens, windows, n_ctx, this.unit);
      this.#glanceTargets = this.targets && spread(this.targets, windows, n_ctx, this.unit);
      // Where targets are so few that a glance meets none, it is a look at all.
      if (this.#glanceTargets && targetsIn(this.#glanceTargets) === 0) [this.#glance, this.#glanceTargets] = [this.tokens, this.targets];
      this.#index = index;
    }
    const spent = this.#spent;
    const together = this.listens && "communicator" in this.listens ? this.listens : undefined, share = together?.place;
    let before = performance.now(), scored = 0, own = { bits: 0, tokens: 0 };
    for await (const now of this.#scored(all, share)) {
      spent.tokens += now.tokens - scored;
      spent.seconds += (performance.now() - before) / 1000;
      before = performance.now();
      scored = now.tokens;
      own = now;
      yield { scored, of: now.of, ...now.last && !together ? { loss: now.bits } : {} };
      if (!together && (this.listens as AbortSignal | undefined)?.aborted) return;
    }
    if (!together) return;
    const { bits, tokens: of } = await together.mean(own.bits, own.tokens);
    yield { scored: of, of, loss: bits };
  }

  /** What either scorer says; of windows that do not say next tokens `bits` are their loss. */
  async *#scored(
    all: boolean,
    share: EvaluateOptions["share"],
  ): AsyncGenerator<{ tokens: number; of: number; bits: number; last: boolean }> {
    const scorer = this.#scorer!, tokens = all ? this.tokens : this.#glance!;
    // Of the glance each window lies alone already, however much shorter than a unit the phase's are.
    if (scorer instanceof Scorer) return yield* scorer.evaluate(tokens, all ? { unit: this.unit, share } : { share });
    const { n_ctx } = scorer.params.config;
    for await (const { done, of, loss } of scorer.windows(tokens, all ? this.targets : this.#glanceTargets)) {
      yield { tokens: done * n_ctx, of: of * n_ctx, bits: loss, last: done === of };
    }
  }

  /** The loss at a glance; undefined where a signal came before its end. */
  async glance(phase: TrainedPhase): Promise<number | undefined> {
    let loss: number | undefined;
    for await (const look of this.look(phase, false)) loss = look.loss;
    return loss;
  }

  /**
   * Seconds that scoring everything takes.
   *
   * @param trained seconds per token trained on: scoring has about a third of the work
   */
  secondsForAll(trained: number): number {
    const { tokens, seconds } = this.#spent;
    return this.tokens.length * (tokens > 0 ? seconds / tokens : trained / 3);
  }

  /** Frees what this made. */
  dispose(): void {
    this.#scorer?.dispose();
    this.#scorer = this.#index = undefined;
  }
}
