/**
 * Bits per token of held-out data, as the paper reports it.
 *
 * @module
 */

import { DataError } from "./errors.ts";
import { batchData, type Parameters, type ScoringProgram, scoringProgram } from "./model.ts";
import type { Engine, Executable, Tensor } from "./ops.ts";

/** Tokens, of which parts can be taken. */
export type Tokens = ArrayLike<number> & { subarray(from: number, to: number): ArrayLike<number> };

/** Scores sequences with parameters that are on an engine. */
export class Scorer {
  readonly #inputs: Tensor[];

  private constructor(
    readonly engine: Engine,
    readonly params: Parameters,
    /** Sequences scored at once. */
    readonly batch: number,
    private readonly scoring: ScoringProgram,
    private readonly executable: Executable,
  ) {
    this.#inputs = [...Object.values(scoring.batch), scoring.losses, ...scoring.constants.keys()];
  }

  /**
   * Records the scoring program for parameters already on the engine.
   *
   * @throws {OutOfMemoryError} where the engine has not the memory
   */
  static async create(engine: Engine, params: Parameters, batch: number): Promise<Scorer> {
    const scoring = scoringProgram(params, batch);
    engine.allocate([...Object.values(scoring.batch), scoring.losses, ...scoring.constants.keys()]);
    for (const [t, data] of scoring.constants) engine.write(t, data);
    return new Scorer(engine, params, batch, scoring, await engine.compile(scoring.program));
  }

  /**
   * −log₂ of the probability of every token of `batch` sequences of n_ctx tokens.
   *
   * @param tokens [batch · n_ctx]
   * @returns bits [batch · n_ctx]
   */
  async score(tokens: ArrayLike<number>): Promise<Float64Array> {
    const { config } = this.params;
    for (const [t, data] of batchData(this.scoring.batch, tokens, config.vocab_size, config.n_ctx)) this.engine.write(t, data);
    await this.executable.run();
    return Float64Array.from(await this.engine.read(this.scoring.losses), (nats) => nats / Math.LN2);
  }

  /**
   * Mean bits per token over the first `limit` tokens, in windows of n_ctx that advance by n_ctx − minContext: but for
   * the first window, only tokens with at least `minContext` tokens before them in their window count (Table 3).
   *
   * @throws {DataError} where there is no token, or minContext is not below n_ctx
   */
  async bits(tokens: Tokens, limit: number = tokens.length, minContext = 0): Promise<number> {
    const { n_ctx } = this.params.config, end = Math.min(limit, tokens.length);
    if (end < 1) throw new DataError("Cannot evaluate: there are no tokens");
    if (minContext < 0 || minContext >= n_ctx) {
      throw new DataError(`Cannot evaluate: the minimum context must be from 0 to ${n_ctx - 1}, current value is ${minContext}`);
    }
    let total = 0, counted = 0;
    const windows: { from: number; count: number; skip: number }[] = [];
    for (let from = 0, covered = 0; covered < end; from += n_ctx - minContext) {
      const count = Math.min(n_ctx, end - from);
      windows.push({ from, count, skip: covered - from });
      covered = from + count;
    }
    for (let at = 0; at < windows.length; at += this.batch) {
      const group = windows.slice(at, at + this.batch), rows = new Uint32Array(this.batch * n_ctx);
      // A causal model never looks past a place, so what pads a short window does not change the bits before it.
      group.forEach(({ from, count }, row) => rows.set(tokens.subarray(from, from + count), row * n_ctx));
      const bits = await this.score(rows);
      group.forEach(({ count, skip }, row) => {
        for (let i = skip; i < count; i++, counted++) total += bits[row * n_ctx + i];
      });
    }
    return total / counted;
  }

  /** Frees what this made; the parameters stay. */
  dispose(): void {
    this.executable.dispose();
    this.engine.free(this.#inputs);
  }
}
