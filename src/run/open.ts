/**
 * A trained model, ready to sample: the short way in for pages and scripts.
 *
 * @module
 */

import { type BackendName, pickBackend, type PickOptions } from "./backend.ts";
import { checkTokenizer, codecOf } from "../files/codec.ts";
import { type Model, weightsOf } from "../files/weights.ts";
import { expect } from "../base/check.ts";
import { checkConfig, type ModelConfig } from "../files/model_config.ts";
import { checkGeneration, type GenerationOptions } from "../files/generation_config.ts";
import type { StopStrings } from "../data/stop.ts";
import { encodeText, TextStream, type TokenArray } from "../data/text.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { ConfigError } from "../base/errors.ts";
import { Parameters } from "../model/parameters.ts";
import type { Engine, Tensor } from "../ops/mod.ts";
import { fetchModel, type FetchModelOptions } from "./fetch_model.ts";
import type { Embeddings, EmbedOptions, Passes, ScoreOptions, Scores } from "./passes.ts";
import { Decoder, sample, samples, type SamplesOptions } from "./sample.ts";
import {
  type BatchOptions,
  type GenerateOptions,
  resolve,
  type Resolved,
  type TextOptions,
  type TextsOptions,
  type TokenOptions,
} from "./generate.ts";

/** Choices of {@linkcode openModel}. */
export interface OpenOptions extends PickOptions, FetchModelOptions {
  /** Which engine is made for the model; default `auto`. */
  readonly backend?: BackendName;
  /** An engine that the model is put onto instead. It stays the caller's: `dispose` takes the model off it and leaves it. */
  readonly engine?: Engine;
  /** How it is to be sampled where a call says nothing else; default what `generation_config.json` says, where there is one. */
  readonly generation?: GenerationOptions;
}

/** Lets everything through. */
const NO_STOPS: Pick<StopStrings, "stopped" | "push" | "end"> = { stopped: false, push: (bytes) => [...bytes], end: () => [] };

/** What looks for stop strings, loaded where there are some. */
async function stopsOf(strings: readonly string[]): Promise<typeof NO_STOPS> {
  return strings.length > 0 ? new (await import("../data/stop.ts")).StopStrings(strings) : NO_STOPS;
}

/** A model's parameters on an engine. */
export interface Placed {
  readonly engine: Engine;
  /** Why there: one sentence. */
  readonly why: string;
  readonly params: Parameters;
  /** Whether the engine was made for it. */
  readonly ownsEngine: boolean;
}

/**
 * Puts a model on an engine, the caller's or one made for it, and makes of it what is wanted; where that fails nothing is left there.
 *
 * @throws {ConfigError} where an option is out of range, or the model is none
 * @throws {OutOfMemoryError} where the engine has not the memory
 */
export async function placed<T>(model: Model, given: OpenOptions, make: (placed: Placed) => Promise<T>): Promise<T> {
  const { backend, engine: own, ...options } = given;
  if (own !== undefined) {
    expect("Cannot open the model", { engine: [own, "an engine"] });
    if (backend !== undefined) {
      throw new ConfigError("Cannot open the model: give a backend or an engine, not both");
    }
  }
  // Callers without types.
  if (typeof model?.weights?.has !== "function") {
    throw new ConfigError("Cannot open the model: give the address of its folder, or { config, weights } with a Map of weights by name");
  }
  const config = checkConfig(model.config),
    weights = new Map(weightsOf({ config, weights: model.weights })),
    params = new Parameters(config, weights);
  if (model.tokenizer !== undefined) {
    expect("Cannot open the model", { tokenizer: [model.tokenizer, "an object"] });
    checkTokenizer(model.tokenizer, config.vocab_size, "the tokenizer");
  }
  const { engine, why } = own ? { engine: own, why: "it is the caller's engine" } : await pickBackend(backend, options);
  const ownsEngine = engine !== own;
  let there: Tensor[] = [];
  try {
    engine.allocate(params.all);
    there = params.all;
    for (const t of there) engine.write(t, weights.get(t.name)!);
    return await make({ engine, why, params, ownsEngine });
  } catch (error) {
    if (ownsEngine) engine.dispose();
    else engine.free(there);
    throw error;
  }
}

/** A model on an engine. Dispose of it when done. */
export class OpenedModel {
  /** Its parameters, on the engine. */
  readonly params: Parameters;
  readonly #decoder: Decoder;
  #passes: { readonly making: Promise<Passes>; made?: Passes } | undefined;
  /** By sequences at once, with the streams that use each. */
  readonly #batches = new Map<number, { readonly making: Promise<Decoder>; made?: Decoder; users: number }>();

  private constructor(
    /** Where it runs. */
    readonly engine: Engine,
    /** Why there: one sentence. */
    readonly why: string,
    /** What it is. */
    readonly config: ModelConfig,
    params: Parameters,
    decoder: Decoder,
    private readonly ownsEngine: boolean,
    /** What calls go by where they say nothing else. */
    readonly generation: GenerationOptions,
    /** What its tokens stand for, where they are not bytes. */
    readonly tokenizer?: Tokenizer,
  ) {
    this.params = params;
    this.#decoder = decoder;
  }

  /** Puts a model on an engine; see {@linkcode openModel}. */
  static async create(model: Model, given: OpenOptions = {}): Promise<OpenedModel> {
    expect("Cannot open the model", { options: [given, "an object"] });
    const { generation = model?.generation ?? {} } = given;
    expect("Cannot open the model", { generation: [generation, "an object"] });
    checkGeneration("Cannot open the model", generation);
    return await placed(
      model,
      given,
      async ({ engine, why, params, ownsEngine }) =>
        new OpenedModel(engine, why, params.config, params, await Decoder.create(engine, params), ownsEngine, generation, model.tokenizer),
    );
  }

  /** Bytes of the keys and values that decoding keeps, and of those that a cache of every position would keep. */
  get cacheBytes(): { kept: number; dense: number } {
    return this.#decoder.cacheBytes;
  }

  /**
   * Streams tokens. Streams of one model take turns, each to its end, or until its reader has taken nothing for a quarter of a second while
   * another waits: it then goes on after that one from what it has, which costs its prompt once more, and what was drawn with logits
   * that round otherwise may differ.
   *
   * Before a stop string it ends with the last token that is wholly before it.
   *
   * @throws {ConfigError} where an option is out of range, or stop strings are given and nothing says what the tokens are
   * @throws {ShapeError} where a prompt token is outside the vocabulary
   */
  async *tokens(given: TokenOptions): AsyncGenerator<number> {
    const { options, stopStrings } = this.#single(given);
    const asked = { ...options, prompt: given.prompt };
    if (stopStrings.length === 0) return yield* sample(this.#decoder, asked);
    const codec = codecOf(this, "look for stop strings"), stop = new (await import("../data/stop.ts")).StopTokens(codec, stopStrings);
    for await (const token of sample(this.#decoder, asked)) {
      yield* stop.push(token).tokens;
      if (stop.stopped) return;
    }
    yield* stop.end().tokens;
  }

  /**
   * Streams tokens of several sequences at once, [batch] a position. Streams of one size of batch take turns, as those of
   * {@linkcode tokens} do. Caches of the last size, and of those that are streaming, are kept. No stop strings are looked for: the
   * sequences go on together; {@linkcode generate} does.
   *
   * @throws {ConfigError} where an option is out of range
   * @throws {ShapeError} where a prompt token is outside the vocabulary, or prompts differ in length
   * @throws {OutOfMemoryError} where caches of so many sequences do not fit
   *
   * @example Four endings of one sentence
   * ```ts
   * import { openModel } from "../../mod.ts";
   * const model = await openModel(new URL("../../test/golden/model-text-fixed-merged/", import.meta.url), { backend: "reference" });
   * const made: number[][] = [[], [], [], []];
   * for await (const tokens of model.samples({ batch: 4, prompt: [84, 104, 101], length: 8, seed: 1 })) {
   *   tokens.forEach((token, b) => made[b].push(token));
   * }
   * model.dispose();
   * ```
   */
  async *samples(given: BatchOptions): AsyncGenerator<Uint32Array> {
    const { options, count } = this.#resolved(given);
    // Callers without types.
    if ((given as GenerateOptions).stopStrings?.length) {
      throw new ConfigError("Cannot sample: stop strings are for generate()");
    }
    yield* this.#sequences(count, { ...options, prompt: given.prompt });
  }

  async *#sequences(batch: number, options: SamplesOptions): AsyncGenerator<Uint32Array> {
    if (batch === 1) return yield* samples(this.#decoder, options);
    for (const [size, { users, made }] of this.#batches) {
      if (users > 0 || size === batch) continue;
      this.#batches.delete(size);
      made?.dispose();
    }
    let own = this.#batches.get(batch);
    if (!own) this.#batches.set(batch, own = { making: Decoder.create(this.engine, this.params, batch), users: 0 });
    own.users++;
    try {
      own.made = await own.making;
      yield* samples(own.made, options);
    } finally {
      own.users--;
      // What could not be made is tried again by the next.
      if (!own.made && this.#batches.get(batch) === own) this.#batches.delete(batch);
    }
  }

  /**
   * Streams text of a model whose tokens are bytes, or its tokenizer's, piece by piece, with control characters made visible. It ends
   * before the first stop string that comes, within a token too.
   *
   * @throws {ConfigError} where an option is out of range, or nothing says what the tokens are
   */
  async *text(given: TextOptions): AsyncGenerator<string> {
    const { prompt, ...rest } = await this.#prompted(given), { options, stopStrings } = this.#single(rest);
    const codec = codecOf(this, "write text"), stop = await stopsOf(stopStrings), stream = new TextStream();
    for await (const token of sample(this.#decoder, { ...options, prompt })) {
      const piece = stream.push(Uint8Array.from(stop.push(codec.decode([token]))));
      if (piece) yield piece;
      if (stop.stopped) break;
    }
    const end = stream.push(Uint8Array.from(stop.end())) + stream.end();
    if (end) yield end;
  }

  /**
   * Writes several texts at once and answers when all are there, each ending before the first stop string that comes in it; control
   * characters are made visible.
   *
   * @throws {ConfigError} where an option is out of range, or nothing says what the tokens are
   * @throws {OutOfMemoryError} where caches of so many sequences do not fit
   *
   * @example Two lines, whatever they are
   * ```ts
   * import { openModel } from "../../mod.ts";
   * const model = await openModel(new URL("../../test/golden/model-text-fixed-merged/", import.meta.url), { backend: "reference" });
   * const lines = await model.generate({
   *   prompt: "The ",
   *   maxNewTokens: 20,
   *   numReturnSequences: 2,
   *   minP: 0.02,
   *   repetitionPenalty: 1.1,
   *   stopStrings: ["\n"],
   *   seed: 1,
   * });
   * console.log(lines.length);
   * model.dispose();
   * ```
   */
  async generate(given: TextsOptions): Promise<string[]> {
    const { prompt, ...rest } = await this.#prompted(given), { options, count, stopStrings } = this.#resolved(rest);
    const codec = codecOf(this, "write text");
    const made = await Promise.all(
      Array.from({ length: count }, async () => ({ stop: await stopsOf(stopStrings), stream: new TextStream(), text: "" })),
    );
    for await (const tokens of this.#sequences(count, { ...options, prompt })) {
      made.forEach((one, b) => one.text += one.stream.push(Uint8Array.from(one.stop.push(codec.decode([tokens[b]])))));
      if (made.every(({ stop }) => stop.stopped)) break;
    }
    return made.map(({ stop, stream, text }) => text + stream.push(Uint8Array.from(stop.end())) + stream.end());
  }

  #resolved(given: GenerateOptions & { readonly batch?: number }): Resolved {
    return resolve("Cannot sample", given, this.generation);
  }

  /** What makes one sequence. */
  #single(given: GenerateOptions): Resolved {
    // Callers without types.
    if ((given?.numReturnSequences ?? 1) !== 1) {
      throw new ConfigError("Cannot sample: several sequences are for generate() and samples()");
    }
    return this.#resolved(given);
  }

  /** Options of text as those of tokens. */
  async #prompted<T extends TextsOptions>(given: T): Promise<Omit<T, "prompt"> & { prompt: TokenArray }> {
    expect("Cannot write text", { options: [given, "an object"] });
    const { prompt = "" } = given;
    if (typeof prompt !== "string") throw new ConfigError("Cannot write text: prompt must be a string; tokens() takes lists of tokens");
    return { ...given, prompt: await this.#encode("write text", prompt) };
  }

  /**
   * How probable a text is, token by token: the natural logarithm of each token's probability, mean bits and perplexity. Of any length:
   * beyond n_ctx tokens in windows that overlap. Calls take turns.
   *
   * @param text text, which becomes tokens as prompts do, or tokens; at least one
   * @throws {ConfigError} where an option is out of range, or text is given and nothing says what the tokens are
   * @throws {DataError} where there is no token
   * @throws {ShapeError} where a token is outside the vocabulary
   * @throws {DivergedError} where the model's loss is not finite
   *
   * @example Which of two sentences the model finds likelier
   * ```ts
   * import { openModel } from "../../mod.ts";
   * const model = await openModel(new URL("../../test/golden/model-text-fixed-merged/", import.meta.url), { backend: "reference" });
   * for (const text of ["to be or not", "ot eb ro ton"]) {
   *   const { logProbabilities, bits, perplexity } = await model.score(text);
   *   console.log(text, logProbabilities.length, "tokens,", bits.toFixed(2), "bits/byte, perplexity", perplexity.toFixed(1));
   * }
   * model.dispose();
   * ```
   */
  async score(text: string | ArrayLike<number>, options: ScoreOptions = {}): Promise<Scores> {
    expect("Cannot score", { options: [options, "an object"] });
    const tokens = typeof text === "string" ? await this.#encode("score", text) : text;
    return await (await this.#reading()).score(tokens, options);
  }

  /**
   * Hidden states of a text, [tokens, d_model]: what the model holds after each token, at the layer asked for. Of any length, in windows
   * as {@linkcode score}. The last row has read all of the text, as far back as its window goes.
   *
   * @param text text, which becomes tokens as prompts do, or tokens; at least one
   * @throws {ConfigError} where an option is out of range, or text is given and nothing says what the tokens are
   * @throws {DataError} where there is no token
   * @throws {ShapeError} where a token is outside the vocabulary
   * @throws {DivergedError} where the states are not finite
   *
   * @example The mean state of a text, one vector for all of it
   * ```ts
   * import { openModel } from "../../mod.ts";
   * const model = await openModel(new URL("../../test/golden/model-text-fixed-merged/", import.meta.url), { backend: "reference" });
   * const { data, shape: [tokens, width] } = await model.embeddings("to be or not to be", { layer: 1 });
   * const mean = new Float32Array(width);
   * data.forEach((x, at) => mean[at % width] += x / tokens);
   * console.log(mean.length);
   * model.dispose();
   * ```
   */
  async embeddings(text: string | ArrayLike<number>, options: EmbedOptions = {}): Promise<Embeddings> {
    expect("Cannot embed", { options: [options, "an object"] });
    const tokens = typeof text === "string" ? await this.#encode("embed", text) : text;
    return await (await this.#reading()).embeddings(tokens, options);
  }

  #encode(what: string, text: string): Promise<TokenArray> {
    return codecOf(this, what).encode(encodeText(text));
  }

  async #reading(): Promise<Passes> {
    const passes = this.#passes ??= { making: import("./passes.ts").then(({ Passes }) => new Passes(this.engine, this.params)) };
    return passes.made = await passes.making;
  }

  /** Frees everything, the engine with it unless it was given. */
  dispose(): void {
    // What is being made is freed when it is made.
    for (const { made, making } of [...this.#batches.values(), ...this.#passes ? [this.#passes] : []]) {
      if (made) made.dispose();
      else making.then((late: Decoder | Passes) => late.dispose()).catch(() => {});
    }
    this.#decoder.dispose();
    this.engine.free(this.params.all);
    if (this.ownsEngine) this.engine.dispose();
  }
}

/**
 * Opens a model for sampling, scoring and embedding.
 *
 * @param source a folder with `config.json` and `model.safetensors`, and maybe `generation_config.json`, whose options are the model's
 * unless others are given: its address, or outside of pages a path; or the contents of the two
 * @throws {DataError} where a file cannot be fetched, or is not the one that `integrity` names
 * @throws {CheckpointError} where the weights are damaged or not those of the configuration
 * @throws {ConfigError} where the configuration is wrong, or the model is not causal
 * @throws {BackendError} where the engine asked for is not there
 *
 * @example
 * ```ts
 * import { openModel } from "../../mod.ts";
 * const model = await openModel(new URL("../../test/golden/model-text-fixed-merged/", import.meta.url), { backend: "reference" });
 * for await (const text of model.text({ prompt: "The ", length: 8, temperature: 0.8, seed: 1 })) console.log(text);
 * model.dispose();
 * ```
 */
export async function openModel(source: string | URL | Model, options: OpenOptions = {}): Promise<OpenedModel> {
  expect("Cannot open the model", { options: [options, "an object"] });
  return await OpenedModel.create(
    typeof source === "string" || source instanceof URL ? await fetchModel(source, options) : source,
    options,
  );
}
