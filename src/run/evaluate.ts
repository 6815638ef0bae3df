/**
 * Bits per token of held-out data, as the paper reports it.
 *
 * @module
 */

import { expect, expectTokens, MOST } from "../base/check.ts";
import { checkCausal } from "../files/model_config.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import { checkComputed } from "../base/finite.ts";
import { batchData } from "../model/batch.ts";
import { compileWith } from "../model/compile.ts";
import type { Parameters } from "../model/parameters.ts";
import { type ScoringProgram, scoringProgram } from "../model/score.ts";
import type { Engine, Executable, Tensor } from "../ops/mod.ts";

/** Tokens, of which parts can be taken. */
export type Tokens = ArrayLike<number> & { subarray(from: number, to: number): ArrayLike<number> };

/** Choices of {@linkcode Scorer.evaluate}. */
export interface EvaluateOptions {
  /** Tokens to score, from the first; default all. */
  readonly limit?: number;
  /** Tokens that each has before it in its window, but for those of the first window; default 0. */
  readonly minContext?: number;
  /** Windows begin at multiples of this many tokens: an image's; default 1, anywhere. */
  readonly unit?: number;
}

/** What {@linkcode Scorer.evaluate} reports. */
export interface Evaluation {
  /** Tokens scored so far. */
  readonly tokens: number;
  /** Tokens in all. */
  readonly of: number;
  /** Mean bits a token so far: bits/byte where tokens are bytes. */
  readonly bits: number;
  /** Tokens scored a second. */
  readonly tokensPerSecond: number;
  /** Seconds until the end at that rate. */
  readonly secondsLeft: number;
  /** Whether this is the last report: `bits` is the result. */
  readonly last: boolean;
}

/** Scores sequences with parameters that are on an engine. */
export class Scorer {
  private constructor(
    readonly engine: Engine,
    readonly params: Parameters,
    /** Sequences scored at once. */
    readonly batch: number,
    private readonly scoring: ScoringProgram,
    private readonly executable: Executable,
    private readonly tensors: readonly Tensor[],
  ) {}

  /**
   * Records the scoring program for parameters already on the engine.
   *
   * @throws {ConfigError} where the model's attention is not causal
   * @throws {OutOfMemoryError} where the engine has not the memory
   */
  static async create(engine: Engine, params: Parameters, batch: number): Promise<Scorer> {
    expect("Cannot evaluate", { engine: [engine, "an engine"] });
    checkCausal(params?.config, "evaluate");
    const scoring = scoringProgram(params, batch), tensors = [...Object.values(scoring.batch), scoring.losses, ...scoring.constants.keys()];
    return new Scorer(engine, params, batch, scoring, await compileWith(engine, scoring.program, tensors, scoring.constants), tensors);
  }

  /**
   * −log₂ of the probability of every token of `batch` sequences of n_ctx tokens.
   *
   * @param tokens [batch · n_ctx]
   * @returns bits [batch · n_ctx]
   * @throws {DivergedError} where the model's loss is not finite
   */
  async score(tokens: ArrayLike<number>): Promise<Float64Array> {
    expectTokens("Cannot evaluate", tokens);
    const { config } = this.params;
    for (const [t, data] of batchData(this.scoring.batch, tokens, config.vocab_size, config.n_ctx)) this.engine.write(t, data);
    await this.executable.run();
    const losses = checkComputed(await this.engine.read(this.scoring.losses), "Cannot evaluate", "the loss by token", this.engine);
    return Float64Array.from(losses, (nats) => nats / Math.LN2);
  }

  /**
   * Mean bits per token over the first `limit` tokens, in windows of n_ctx that advance by n_ctx − minContext: but for
   * the first window, each token is scored with at least `minContext` tokens before it in its window (Table 3). Every
   * token counts once, those of a last, shorter window too. Reports after each batch of windows.
   *
   * @throws {DataError} where there is no token
   * @throws {ConfigError} where minContext is not below n_ctx, or windows would begin inside a unit
   * @throws {DivergedError} where the model's loss is not finite
   */
  async *evaluate(tokens: Tokens, options: EvaluateOptions = {}): AsyncGenerator<Evaluation> {
    const cannot = "Cannot evaluate";
    expect(cannot, { tokens: [tokens, "a typed array"], options: [options, "an object"] });
    const { limit = tokens.length, minContext = 0, unit = 1 } = options;
    expect(cannot, { limit: [limit, [0, MOST]], unit: [unit, [1, MOST]] });
    const { n_ctx } = this.params.config, of = Math.min(limit, tokens.length), advance = n_ctx - minContext;
    if (of < 1) throw new DataError("Cannot evaluate: there are no tokens");
    expect(cannot, { "the minimum context": [minContext, [0, n_ctx - 1]] });
    if (advance % unit !== 0) {
      throw new ConfigError(
        `Cannot evaluate with a minimum context of ${minContext}: windows would advance by ${advance} tokens, and samples of ${unit} ` +
          `begin at multiples of that`,
      );
    }
    const windows = 1 + Math.max(0, Math.ceil((of - n_ctx) / advance)), begun = performance.now();
    let total = 0, scored = 0;
    for (let first = 0; first < windows; first += this.batch) {
      const rows = new Uint32Array(this.batch * n_ctx), count = Math.min(this.batch, windows - first);
      // A causal model never looks past a place, so what pads a short window does not change the bits before it.
      for (let row = 0; row < count; row++) {
        const from = (first + row) * advance;
        rows.set(tokens.subarray(from, Math.min(from + n_ctx, of)), row * n_ctx);
      }
      const bits = await this.score(rows);
      for (let row = 0; row < count; row++) {
        // The window before ended where this one's new tokens begin.
        const from = (first + row) * advance, end = Math.min(from + n_ctx, of);
        for (; scored < end; scored++) total += bits[row * n_ctx + scored - from];
      }
      const seconds = (performance.now() - begun) / 1000, done = first + count;
      yield {
        tokens: scored,
        of,
        bits: total / scored,
        tokensPerSecond: scored / Math.max(1e-9, seconds),
        secondsLeft: seconds / done * (windows - done),
        last: done === windows,
      };
      // Lets signals, timers and a page's frames run between batches.
      await new Promise((resume) => setTimeout(resume, 0));
    }
  }

  /** {@linkcode Scorer.evaluate} to its end: mean bits per token. */
  async bits(tokens: Tokens, options?: EvaluateOptions): Promise<number> {
    let bits = NaN;
    for await (const report of this.evaluate(tokens, options)) bits = report.bits;
    return bits;
  }

  /** Frees what this made; the parameters stay. */
  dispose(): void {
    this.executable.dispose();
    this.engine.free(this.tensors);
  }
}
