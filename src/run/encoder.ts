/**
 * Models that read all positions at once: what they say of each, and what they hold.
 *
 * @module
 */

import { expect, expectTokens, MOST, mustBe, whole } from "../base/check.ts";
import { ConfigError, ShapeError } from "../base/errors.ts";
import { checkComputed } from "../base/finite.ts";
import { Random, STREAM } from "../base/random.ts";
import { inTurn, Turns } from "../base/turns.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { GENERATION_FIELDS } from "../files/generation_config.ts";
import { type ModelConfig, outputsOf } from "../files/model_config.ts";
import { checkObjective, objectiveOf } from "../files/objective.ts";
import type { Model } from "../files/weights.ts";
import { loadLayers } from "../model/layers.ts";
import { compileWith } from "../model/compile.ts";
import { type HiddenLayer, hiddenProgram } from "../model/hidden.ts";
import type { Parameters } from "../model/parameters.ts";
import { withMemory } from "../model/token_rows.ts";
import type { Engine, Executable, Tensor } from "../ops/mod.ts";
import { fetchModel } from "./fetch_model.ts";
import { type OpenOptions, placed } from "./open.ts";

/** A row of numbers per token: a matrix as `safetensorsChunks` saves it. */
export interface Rows {
  /** [tokens, numbers of each] */
  readonly shape: readonly [number, number];
  /** f32, row-major */
  readonly data: Float32Array<ArrayBuffer>;
}

/** Choices of every reading. */
export interface ReadOptions {
  /** Gives up waiting for a turn; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Choices of {@linkcode Encoder.embeddings}. */
export interface StateOptions extends ReadOptions {
  /** After so many residual blocks, 0 to n_layer, or "norm", the default: what the logits are a linear function of. */
  readonly layer?: number | "norm";
}

/** Choices of {@linkcode Encoder.fill}. */
export interface FillOptions extends ReadOptions {
  /** Readings in which the gaps are filled, of those that are left the surest first: at most one per gap, which is the default. */
  readonly steps?: number;
  /** Logits are divided by this before a token is drawn; 0, the default, takes the likeliest. */
  readonly temperature?: number;
  /** Same seed, same tokens on one engine. Default 0. */
  readonly seed?: number;
}

/** What {@linkcode Encoder.fill} made. */
export interface Filled {
  /** u32 [tokens]: those given, and what the gaps were filled with. */
  readonly tokens: Uint32Array;
  /** f64 [tokens]: how probable each was to the model when it was filled; 1 where it was given. */
  readonly probabilities: Float64Array;
}

/** A program for one number of tokens. */
interface Reading {
  readonly key: string;
  readonly tokens: Tensor;
  readonly out: Tensor;
  readonly executable: Executable;
  readonly tensors: readonly Tensor[];
}

/** A model on an engine that reads up to n_ctx tokens at once. Dispose of it when done. Readings take turns. */
export class Encoder {
  #reading: Reading | undefined;
  #closed = false;
  readonly #turns = new Turns();

  private constructor(
    /** Where it runs. */
    readonly engine: Engine,
    /** Why there: one sentence. */
    readonly why: string,
    /** Its parameters, on the engine. */
    readonly params: Parameters,
    private readonly ownsEngine: boolean,
    /** What its tokens stand for, where they are not bytes. */
    readonly tokenizer?: Tokenizer,
  ) {}

  /** What it is. */
  get config(): ModelConfig {
    return this.params.config;
  }

  /** Puts a model on an engine; see {@linkcode openEncoder}. */
  static async create(model: Model, options: OpenOptions = {}): Promise<Encoder> {
    expect("Cannot open the model", { options: [options, "an object"], model: [model, "an object"] });
    return await placed(model, options, ({ engine, why, params, ownsEngine }) => {
      checkObjective(params.config, "open the encoder", "masked", "squared", "logistic");
      return Promise.resolve(new Encoder(engine, why, params, ownsEngine, model.tokenizer));
    });
  }

  /**
   * What the model says of each token, all at once, [tokens, outputs]: a logit per token of the vocabulary, or one number.
   *
   * @param tokens 1 to n_ctx; the vocabulary's size stands for a gap
   * @throws {ShapeError} where a token is outside the vocabulary, or there are none or too many
   * @throws {DivergedError} where what it says is not finite
   */
  async logits(tokens: ArrayLike<number>, options: ReadOptions = {}): Promise<Rows> {
    return await this.#read("read the logits", tokens, "logits", options);
  }

  /**
   * Hidden states, [tokens, d_model]: row i is of token i, which has seen those after it too.
   *
   * @param tokens as of {@linkcode logits}
   * @throws {ConfigError} where there is no such layer
   * @throws {ShapeError} as {@linkcode logits}
   * @throws {DivergedError} where they are not finite
   */
  async embeddings(tokens: ArrayLike<number>, options: StateOptions = {}): Promise<Rows> {
    expect("Cannot embed", { options: [options, "an object"] });
    const { layer = "norm" } = options, allowed = whole(0, this.config.n_layer);
    if (layer !== "norm" && !(Number.isInteger(layer) && layer >= 0 && layer <= this.config.n_layer)) {
      throw new ConfigError(`Cannot embed: ${mustBe("layer", allowed, layer)}; "norm" is after the final layer norm`);
    }
    return await this.#read("embed", tokens, layer, options);
  }

  /**
   * A number per token: what a model of objective `squared` says, or of `logistic` a probability.
   *
   * @param tokens as of {@linkcode logits}
   * @returns f64 [tokens]
   * @throws {ConfigError} where the model says something else
   * @throws {ShapeError} as {@linkcode logits}
   * @throws {DivergedError} where they are not finite
   */
  async scores(tokens: ArrayLike<number>, options: ReadOptions = {}): Promise<Float64Array> {
    checkObjective(this.config, "score positions", "squared", "logistic");
    const { data } = await this.#read("score positions", tokens, "logits", options);
    return Float64Array.from(data, objectiveOf(this.config) === "logistic" ? (x) => 1 / (1 + Math.exp(-x)) : undefined!);
  }

  /**
   * Fills gaps: the model reads all that is known and says what may stand in each; the surest are taken, and it reads again.
   *
   * @param given tokens, null where there is a gap; 1 to n_ctx
   * @throws {ConfigError} where an option is out of range, or the model does not say masked tokens
   * @throws {ShapeError} where a token is outside the vocabulary, or there are none or too many
   * @throws {DivergedError} where what it says is not finite
   */
  async fill(given: ArrayLike<number | null>, options: FillOptions = {}): Promise<Filled> {
    const cannot = "Cannot fill gaps", { vocab_size } = this.config;
    checkObjective(this.config, "fill gaps", "masked");
    expect(cannot, { options: [options, "an object"], tokens: [given, ArrayBuffer.isView(given) ? "a typed array" : "a list"] });
    const { temperature = 0, seed = 0, signal } = options, random = new Random(seed, STREAM.tokens);
    const tokens = Uint32Array.from({ length: given.length }, (_, at) => {
      const token = given[at];
      if (token !== null) expect(cannot, { [`token ${at}`]: [token, [0, vocab_size - 1]] });
      return token ?? vocab_size;
    });
    this.#checkLength(cannot, given.length);
    let gaps = Array.from(tokens.keys()).filter((at) => tokens[at] === vocab_size);
    const { steps = Math.max(1, gaps.length) } = options, probabilities = new Float64Array(tokens.length).fill(1);
    expect(cannot, {
      steps: [steps, [1, MOST]],
      temperature: [temperature, GENERATION_FIELDS.temperature],
      seed: [seed, GENERATION_FIELDS.seed],
    });
    for (let left = steps; gaps.length > 0; left--) {
      const { data } = await this.#read("fill gaps", tokens, "logits", { signal });
      const chosen = gaps.map((at) => ({ at, ...drawn(data.subarray(at * vocab_size, (at + 1) * vocab_size), temperature, random) }));
      chosen.sort((a, b) => b.probability - a.probability || a.at - b.at);
      for (const { at, token, probability } of chosen.slice(0, Math.ceil(gaps.length / Math.max(1, left)))) {
        tokens[at] = token;
        probabilities[at] = probability;
      }
      gaps = gaps.filter((at) => tokens[at] === vocab_size);
    }
    return { tokens, probabilities };
  }

  async #read(what: string, given: ArrayLike<number>, layer: HiddenLayer | "logits", options: ReadOptions): Promise<Rows> {
    const cannot = `Cannot ${what}`, { vocab_size, d_model } = this.config, n = given?.length;
    expect(cannot, { options: [options, "an object"] });
    expectTokens(cannot, given);
    this.#checkLength(cannot, n);
    const tokens = Uint32Array.from(given), odd = tokens.findIndex((token) => token > vocab_size);
    if (odd >= 0) throw new ShapeError(`${cannot}: token ${tokens[odd]} at place ${odd} is outside the vocabulary of ${vocab_size}`);
    try {
      return await inTurn(this.#turns, options.signal, async () => {
        if (this.#closed) throw new ConfigError(`${cannot}: the model has been disposed of`);
        const reading = await this.#readingOf(n, layer);
        this.engine.write(reading.tokens, withMemory(tokens, this.config, n));
        await reading.executable.run();
        const data = Float32Array.from(checkComputed(await this.engine.read(reading.out), cannot, "what it says", this.engine));
        return { shape: [n, layer === "logits" ? outputsOf(this.config) : d_model] as const, data };
      });
    } finally {
      if (this.#closed && !this.#turns.holder) this.#free();
    }
  }

  #checkLength(cannot: string, n: number): void {
    const { n_ctx } = this.config;
    if (n < 1 || n > n_ctx) throw new ShapeError(`${cannot}: the model reads 1 to ${n_ctx} tokens at once, got ${n}`);
  }

  async #readingOf(n: number, layer: HiddenLayer | "logits"): Promise<Reading> {
    const key = `${n} ${layer}`;
    if (this.#reading?.key === key) return this.#reading;
    this.#drop();
    await loadLayers(this.config);
    const { program, tokens, hidden: out, constants } = hiddenProgram(this.params, 1, n, layer),
      tensors = [tokens, out, ...constants.keys()];
    return this.#reading = { key, tokens, out, tensors, executable: await compileWith(this.engine, program, tensors, constants) };
  }

  #drop(): void {
    this.#reading?.executable.dispose();
    if (this.#reading) this.engine.free(this.#reading.tensors);
    this.#reading = undefined;
  }

  #free(): void {
    this.#drop();
    this.engine.free(this.params.all);
    if (this.ownsEngine) this.engine.dispose();
  }

  /** Frees everything, the engine with it unless it was given. */
  dispose(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#turns.holder) this.#free();
  }
}

/** A token of logits, and how probable it was. */
function drawn(logits: Float32Array, temperature: number, random: Random): { token: number; probability: number } {
  const most = logits.reduce((a, b) => Math.max(a, b)), weights = Float64Array.from(logits, (x) => Math.exp(x - most));
  const all = weights.reduce((a, b) => a + b);
  let token = logits.indexOf(most);
  if (temperature > 0) {
    const spread = Float64Array.from(logits, (x) => Math.exp((x - most) / temperature));
    let rest = random.uniform() * spread.reduce((a, b) => a + b);
    token = spread.findIndex((weight) => (rest -= weight) < 0);
    if (token < 0) token = logits.indexOf(most);
  }
  return { token, probability: weights[token] / all };
}

/**
 * Opens a model that reads all positions at once: of objective `masked`, which fills gaps, or one that says a number per position.
 *
 * @param source as of `openModel`
 * @throws {DataError} where a file cannot be fetched, or is not the one that `integrity` names
 * @throws {CheckpointError} where the weights are damaged or not those of the configuration
 * @throws {ConfigError} where the configuration is wrong, or the model says next tokens
 * @throws {BackendError} where the engine asked for is not there
 */
export async function openEncoder(source: string | URL | Model, options: OpenOptions = {}): Promise<Encoder> {
  expect("Cannot open the model", { options: [options, "an object"] });
  return await Encoder.create(
    typeof source === "string" || source instanceof URL ? await fetchModel(source, options) : source,
    options,
  );
}

/** Choices of {@linkcode scoreEntries}. */
export interface ScoreEntriesOptions extends ReadOptions {
  /** Which of an entry's positions speak for it: their mean, the default, or the last. */
  readonly by?: "mean" | "last";
}

/**
 * Scores the entries of a working context, as messages, documents or notes: all of them go through the model at once, one after another, and
 * each entry's score has seen every other. Of W tokens dense attention would cost W² pairs; a model of strided or fixed attention costs about
 * W√W.
 *
 * @param model that says a number per position
 * @param entries tokens of each, at least 1; together at most n_ctx
 * @returns f64 [entries]: what the model says, of objective `logistic` a probability
 * @throws {ConfigError} where the model says something else, or an option is out of range
 * @throws {ShapeError} where an entry is empty, all are longer than n_ctx, or a token is outside the vocabulary
 * @throws {DivergedError} where scores are not finite
 */
export async function scoreEntries(
  model: Encoder,
  entries: readonly ArrayLike<number>[],
  options: ScoreEntriesOptions = {},
): Promise<Float64Array> {
  const cannot = "Cannot score the entries";
  expect(cannot, { model: [model, "an object"], entries: [entries, "a list"], options: [options, "an object"] });
  const { by = "mean" } = options;
  expect(cannot, { by: [by, { oneOf: ["mean", "last"] }] });
  for (const [at, entry] of entries.entries()) {
    expectTokens(`${cannot}: entry ${at}`, entry);
    if (entry.length === 0) throw new ShapeError(`${cannot}: entry ${at} has no tokens`);
  }
  if (!(model instanceof Encoder)) throw new ConfigError(`${cannot}: give a model that openEncoder opened`);
  if (entries.length === 0) return new Float64Array();
  const tokens = Uint32Array.from(entries.flatMap((entry) => Array.from(entry))), scores = await model.scores(tokens, options);
  let end = 0;
  return Float64Array.from(entries, ({ length }) => {
    const own = scores.subarray(end, end += length);
    return by === "last" ? own[length - 1] : own.reduce((a, b) => a + b) / length;
  });
}
