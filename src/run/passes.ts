/**
 * What an opened model says of texts that are there: how probable each token is, and what the model makes of it. Whole sequences go through
 * the model side by side. Loaded only where it is used.
 *
 * @module
 */

import { expect, expectTokens, mustBe, whole } from "../base/check.ts";
import { ConfigError, DataError, ShapeError } from "../base/errors.ts";
import { inTurn, Turns } from "../base/turns.ts";
import type { HiddenLayer } from "../model/hidden.ts";
import type { Parameters } from "../model/parameters.ts";
import type { Engine } from "../ops/mod.ts";
import { Scorer } from "./evaluate.ts";
import { HiddenStates } from "./hidden.ts";
import { positionsFor, Windows } from "./windows.ts";

/** Choices of {@linkcode ./open.ts!OpenedModel.score}. */
export interface ScoreOptions {
  /**
   * Tokens that each token has before it where there are so many, of those the model can see at once: 0 to n_ctx − 1, default ⌊n_ctx / 2⌋.
   * A text of more than n_ctx tokens is taken in windows that advance by n_ctx − minContext: more context, more work.
   */
  readonly minContext?: number;
  /** Gives up, waiting for a turn or between two batches of windows; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** How probable a text is to a model. */
export interface Scores {
  /** f64 [tokens]: the natural logarithm of each token's probability given those before it, at most 0. */
  readonly logProbabilities: Float64Array;
  /** Mean bits per token, −Σ ln p / (tokens · ln 2): bits/byte where tokens are bytes. */
  readonly bits: number;
  /** Perplexity per token, e^(−Σ ln p / tokens) = 2^bits: 1 where every token was certain, the vocabulary's size where all were alike. */
  readonly perplexity: number;
}

/** Choices of {@linkcode ./open.ts!OpenedModel.embeddings}. */
export interface EmbedOptions {
  /**
   * Where the states are taken: after so many residual blocks, 0 (the embedding of token and position, Eq. 15) to n_layer, or "norm", the
   * default: after the final layer norm, what the logits are a linear function of.
   */
  readonly layer?: number | "norm";
  /** As {@linkcode ScoreOptions.minContext}, from 0 to n_ctx − 2; default ⌊n_ctx / 2⌋, or as much as there is. */
  readonly minContext?: number;
  /** As {@linkcode ScoreOptions.signal}. */
  readonly signal?: AbortSignal;
}

/** Hidden states of a text: a matrix as `safetensorsChunks` saves it. */
export interface Embeddings {
  /** [tokens, d_model] */
  readonly shape: readonly [number, number];
  /** f32, row-major: row i is the state of the position that has read tokens up to and with i, and predicts token i + 1. */
  readonly data: Float32Array<ArrayBuffer>;
}

/** Positions of all windows that go through the model side by side, about. */
const ROWS = 4096;

/** What reads texts for one opened model. The program of the last size of each kind is kept; calls take turns. */
export class Passes {
  #scorer: { key: string; made: Scorer } | undefined;
  #states: { key: string; made: HiddenStates } | undefined;
  #closed = false;
  readonly #turns = new Turns();

  constructor(private readonly engine: Engine, private readonly params: Parameters) {}

  /** See {@linkcode ./open.ts!OpenedModel.score}. */
  async score(given: ArrayLike<number>, options: ScoreOptions): Promise<Scores> {
    const cannot = "Cannot score", { n_ctx } = this.params.config, { minContext = Math.floor(n_ctx / 2), signal } = options;
    const tokens = this.#checked(cannot, given);
    expect(cannot, { minContext: [minContext, whole(0, n_ctx - 1)] });
    return await this.#inTurn(cannot, signal, async () => {
      const n = positionsFor(tokens.length, n_ctx), least = Math.min(minContext, n - 1);
      const scorer = await this.#scorerOf(batchOf(new Windows(tokens.length, n, least), n), n);
      const logProbabilities = new Float64Array(tokens.length);
      let sum = 0, scored = 0;
      for await (const { nats } of scorer.windows(tokens, tokens.length, least)) {
        for (const one of nats) {
          sum += one;
          // −0 of a token that was certain is 0.
          logProbabilities[scored++] = 0 - one;
        }
        signal?.throwIfAborted();
      }
      const mean = sum / tokens.length;
      return { logProbabilities, bits: mean / Math.LN2, perplexity: Math.exp(mean) };
    });
  }

  /** See {@linkcode ./open.ts!OpenedModel.embeddings}. */
  async embeddings(given: ArrayLike<number>, options: EmbedOptions): Promise<Embeddings> {
    const cannot = "Cannot embed", { n_ctx, n_layer, d_model } = this.params.config;
    if (n_ctx < 2) throw new ConfigError("Cannot embed: a model of one position reads no token");
    const { layer = "norm", minContext = Math.min(n_ctx - 2, Math.floor(n_ctx / 2)), signal } = options;
    const tokens = this.#checked(cannot, given);
    if (layer !== "norm" && !(Number.isInteger(layer) && layer >= 0 && layer <= n_layer)) {
      throw new ConfigError(`${cannot}: ${mustBe("layer", whole(0, n_layer), layer)}; "norm" is after the final layer norm`);
    }
    expect(cannot, { minContext: [minContext, whole(0, n_ctx - 2)] });
    return await this.#inTurn(cannot, signal, async () => {
      const n = positionsFor(tokens.length + 1, n_ctx), least = Math.min(minContext, n - 2);
      const states = await this.#statesOf(batchOf(new Windows(tokens.length, n - 1, least), n), n, layer);
      return { shape: [tokens.length, d_model], data: await states.of(tokens, least, signal) };
    });
  }

  /** Frees what this made, when it is idle. */
  dispose(): void {
    this.#closed = true;
    if (!this.#turns.holder) this.#free();
  }

  #free(): void {
    this.#scorer?.made.dispose();
    this.#states?.made.dispose();
    this.#scorer = this.#states = undefined;
  }

  /** Tokens of the vocabulary, some. */
  #checked(cannot: string, given: ArrayLike<number>): Uint32Array {
    expectTokens(cannot, given);
    if (given.length === 0) throw new DataError(`${cannot}: there are no tokens`);
    const { vocab_size } = this.params.config, tokens = Uint32Array.from(given), at = tokens.findIndex((token) => token >= vocab_size);
    if (at >= 0) throw new ShapeError(`${cannot}: token ${tokens[at]} at place ${at} is outside the vocabulary of ${vocab_size}`);
    return tokens;
  }

  async #inTurn<T>(cannot: string, signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    try {
      return await inTurn(this.#turns, signal, async () => {
        if (this.#closed) throw new ConfigError(`${cannot}: the model has been disposed of`);
        return await run();
      });
    } finally {
      if (this.#closed && !this.#turns.holder) this.#free();
    }
  }

  async #scorerOf(batch: number, n: number): Promise<Scorer> {
    const key = `${batch} ${n}`;
    if (this.#scorer?.key !== key) {
      this.#scorer?.made.dispose();
      this.#scorer = undefined;
      this.#scorer = { key, made: await Scorer.create(this.engine, this.params, batch, n) };
    }
    return this.#scorer.made;
  }

  async #statesOf(batch: number, n: number, layer: HiddenLayer): Promise<HiddenStates> {
    const key = `${batch} ${n} ${layer}`;
    if (this.#states?.key !== key) {
      this.#states?.made.dispose();
      this.#states = undefined;
      this.#states = { key, made: await HiddenStates.create(this.engine, this.params, { batch, n, layer }) };
    }
    return this.#states.made;
  }
}

/** Windows side by side. */
function batchOf(windows: Windows, n: number): number {
  return Math.max(1, Math.min(windows.count, Math.floor(ROWS / n)));
}
