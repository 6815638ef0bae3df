/**
 * Bits per token of held-out data, as the paper reports it.
 *
 * @module
 */

import { expect, expectTokens, MOST } from "../base/check.ts";
import { checkNext } from "../files/objective.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import { checkComputed } from "../base/finite.ts";
import { loadLayers } from "../model/layers.ts";
import { batchData } from "../model/batch.ts";
import { memoryOf } from "../pattern/memory.ts";
import { compileWith } from "../model/compile.ts";
import type { Parameters } from "../model/parameters.ts";
import { type ScoringProgram, scoringProgram } from "../model/score.ts";
import type { Engine, Executable, Tensor } from "../ops/mod.ts";
import { Windows } from "./windows.ts";

/** Tokens, of which parts can be taken. */
export type Tokens = ArrayLike<number> & { subarray(from: number, to: number): ArrayLike<number> };

/** Choices of {@linkcode Scorer.evaluate}. */
export interface EvaluateOptions {
  /** Tokens to score, from the first; default all. */
  readonly limit?: number;
  /**
   * Tokens that each has before it in its window, but for those of the first window; default 0. Where a window holds no more than one unit,
   * the first so many of each unit are left out instead: a model knows them at their own places alone, and nothing is before them there.
   */
  readonly minContext?: number;
  /** Windows begin at multiples of this many tokens: an image's, whose rows and columns the positions are; default 1, anywhere. */
  readonly unit?: number;
  /** Of several processes that share the windows: which this is, from 0, and how many there are. Its windows alone are scored and reported. */
  readonly share?: readonly [rank: number, size: number];
}

/** What of so many things in order is one process's of several: [from, to). */
export function shareOf(count: number, [rank, size]: readonly [rank: number, size: number] = [0, 1]): [from: number, to: number] {
  return [Math.floor(count * rank / size), Math.floor(count * (rank + 1) / size)];
}

/** What {@linkcode Scorer.evaluate} reports. */
export interface Evaluation {
  /** Tokens scored so far. */
  readonly tokens: number;
  /** Tokens in all. */
  readonly of: number;
  /** Mean bits per token so far: bits/byte where tokens are bytes, `bitsPerByte` converts them where not. */
  readonly bits: number;
  /** Tokens scored per second. */
  readonly tokensPerSecond: number;
  /** Seconds until the end at that rate. */
  readonly secondsLeft: number;
  /** Whether this is the last report: `bits` is the result. */
  readonly last: boolean;
}

/** What {@linkcode Scorer.windows} hands over. */
export interface ScoredWindows {
  /** f64: −ln of the probability of each token that these windows saw first, in order. */
  readonly nats: Float64Array;
  /** Windows that are done. */
  readonly done: number;
  /** Windows in all. */
  readonly of: number;
}

/** Scores sequences with parameters that are on an engine. */
export class Scorer {
  private constructor(
    readonly engine: Engine,
    readonly params: Parameters,
    /** Sequences scored at once. */
    readonly batch: number,
    /** Tokens of each. */
    readonly n: number,
    private readonly scoring: ScoringProgram,
    private readonly executable: Executable,
    private readonly tensors: readonly Tensor[],
  ) {}

  /**
   * Records the scoring program for parameters already on the engine.
   *
   * @param batch sequences scored at once
   * @param n tokens of each: at most n_ctx, which is the default
   * @throws {ConfigError} where the model's attention is not causal
   * @throws {OutOfMemoryError} where the engine has not the memory
   */
  static async create(engine: Engine, params: Parameters, batch: number, n: number = params?.config?.n_ctx): Promise<Scorer> {
    const cannot = "Cannot evaluate";
    expect(cannot, { engine: [engine, "an engine"] });
    checkNext(params?.config, "evaluate");
    expect(cannot, { n: [n, [1, params.config.n_ctx]] });
    await loadLayers(params.config);
    const scoring = scoringProgram(params, batch, n),
      tensors = [...Object.values(scoring.batch), scoring.losses, ...scoring.constants.keys()];
    return new Scorer(engine, params, batch, n, scoring, await compileWith(engine, scoring.program, tensors, scoring.constants), tensors);
  }

  /**
   * −log₂ of the probability of every token of `batch` sequences of n tokens.
   *
   * @param tokens [batch · n]
   * @returns bits [batch · n]
   * @throws {DivergedError} where the model's loss is not finite
   */
  async score(tokens: ArrayLike<number>): Promise<Float64Array> {
    expectTokens("Cannot evaluate", tokens);
    return Float64Array.from(await this.#losses(tokens), (nats) => nats / Math.LN2);
  }

  async #losses(tokens: ArrayLike<number>): Promise<ArrayLike<number>> {
    const { vocab_size, attention } = this.params.config;
    for (const [t, data] of batchData(this.scoring.batch, tokens, vocab_size, this.n, memoryOf(attention))) this.engine.write(t, data);
    await this.executable.run();
    return checkComputed(await this.engine.read(this.scoring.losses), "Cannot evaluate", "the loss by token", this.engine);
  }

  /**
   * Losses of tokens, a batch of windows at a time: each token once, with at least `minContext` tokens before it in its window but for
   * those of the first.
   *
   * @param of tokens to score, from the first; at least 1
   * @param minContext below n
   * @param share which of several processes this is: those windows alone that are its share
   * @throws {DivergedError} where the model's loss is not finite
   */
  async *windows(tokens: Tokens, of: number, minContext: number, share?: EvaluateOptions["share"]): AsyncGenerator<ScoredWindows> {
    const { batch, n } = this;
    expect("Cannot evaluate", { tokens: [tokens, "a typed array"], of: [of, [1, tokens?.length]], minContext: [minContext, [0, n - 1]] });
    const windows = new Windows(of, n, minContext), [from, to] = shareOf(windows.count, share);
    for (let done = from; done < to;) {
      const rows = new Uint32Array(batch * n), some = [];
      // A causal model never looks past a place, so what pads a short window does not change the bits before it.
      for (let row = 0; row < batch && done < to; row++, done++) {
        const window = windows.at(done);
        some.push(window);
        rows.set(tokens.subarray(window.from, window.end), row * n);
      }
      const losses = await this.#losses(rows), [{ first }] = some, nats = new Float64Array(some[some.length - 1].end - first);
      some.forEach((window, row) => {
        for (let at = window.first; at < window.end; at++) nats[at - first] = losses[row * n + at - window.from];
      });
      yield { nats, done: done - from, of: to - from };
      // Lets signals, timers and a page's frames run between batches.
      await new Promise((resume) => setTimeout(resume, 0));
    }
  }

  /**
   * Mean bits per token over the first `limit` tokens, in windows of n tokens that advance by n − minContext: but for
   * the first window, each token is scored with at least `minContext` tokens before it in its window (Table 3). Every
   * token counts once, those of a last, shorter window too. Windows that would begin inside a unit begin at the unit before; where that
   * is no advance, each window is of its own units, and its first `minContext` tokens do not count. Reports after each batch of windows.
   *
   * @throws {DataError} where there is no token that counts
   * @throws {ConfigError} where minContext is not below n, or a window ends inside a unit and would not advance by one
   * @throws {DivergedError} where the model's loss is not finite
   */
  async *evaluate(tokens: Tokens, options: EvaluateOptions = {}): AsyncGenerator<Evaluation> {
    const cannot = "Cannot evaluate";
    expect(cannot, { tokens: [tokens, "a typed array"], options: [options, "an object"] });
    const { limit = tokens.length, minContext = 0, unit = 1, share } = options;
    expect(cannot, { limit: [limit, [0, MOST]], unit: [unit, [1, MOST]] });
    const { n } = this, of = Math.min(limit, tokens.length), advance = n - minContext;
    if (of < 1) throw new DataError("Cannot evaluate: there are no tokens");
    expect(cannot, { "the minimum context": [minContext, [0, n - 1]] });
    // Of units that a window holds several of, some are seen again; of one, its first tokens are left out.
    const whole = Math.floor(advance / unit) * unit, isAlone = whole === 0, left = isAlone ? minContext : 0;
    if (isAlone && n % unit !== 0 || minContext === 0 && advance % unit !== 0) {
      throw new ConfigError(
        `Cannot evaluate with a minimum context of ${minContext}: windows would advance by ${advance} tokens, and samples of ${unit} ` +
          `begin at multiples of that`,
      );
    }
    const counted = isAlone ? Math.floor(of / n) * (n - left) + Math.max(0, of % n - left) : of;
    if (counted < 1) throw new DataError(`Cannot evaluate: no token has ${minContext} before it`);
    const begun = performance.now();
    let total = 0, scored = 0, at = 0;
    for await (const { nats, done, of: windows } of this.windows(tokens, of, isAlone ? 0 : n - whole, share)) {
      for (const one of nats) {
        if (left > 0 && at++ % n < left) continue;
        total += one / Math.LN2;
        scored++;
      }
      const seconds = (performance.now() - begun) / 1000;
      yield {
        tokens: scored,
        of: counted,
        bits: total / Math.max(1, scored),
        tokensPerSecond: scored / Math.max(1e-9, seconds),
        secondsLeft: seconds / done * (windows - done),
        last: done === windows,
      };
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
