/**
 * Sampling: a token at a time, remembering only the keys and values that the pattern reads again. The engine chooses tokens
 * and goes on by itself; the host reads them in batches.
 *
 * @module
 */

import { type Allowed, expect, expectTokens, MOST } from "../base/check.ts";
import { GENERATION_FIELDS } from "../files/generation_config.ts";
import { CachePlan } from "../pattern/cache.ts";
import { type ModelConfig, setsOf } from "../files/model_config.ts";
import { ConfigError, KernelError, ShapeError } from "../base/errors.ts";
import { checkComputed } from "../base/finite.ts";
import { loadLayers } from "../model/layers.ts";
import { compileWith } from "../model/compile.ts";
import { type DecodingProgram, decodingProgram, type PrefillProgram, prefillProgram } from "../model/decode.ts";
import type { Parameters } from "../model/parameters.ts";
import { CHOICE, type Engine, type Executable, readAll, type Tensor, type TensorData, type TensorPart } from "../ops/mod.ts";
import { memoryOf, placesOf, rowOfToken, rowsOf } from "../pattern/memory.ts";
import { setKey } from "../pattern/sets.ts";
import { Turns } from "../base/turns.ts";
import type { MemoryDecoder } from "./decode_memory.ts";
import { positionsFor } from "./windows.ts";

/** How one token is chosen. */
export interface Choice {
  /** Logits are divided by this; 0 takes the likeliest token. Default 1. */
  readonly temperature?: number;
  /** Only the k likeliest tokens; 0, the default, means all. */
  readonly topK?: number;
  /** Only the likeliest tokens that together reach this probability; default 1. */
  readonly topP?: number;
  /**
   * Only tokens that are, at that temperature, at least this part as probable as the likeliest (min-p, arXiv:2407.01082): 0, the default,
   * means all, 1 the likeliest alone. After topK and topP.
   */
  readonly minP?: number;
  /**
   * Makes tokens that were there, in what is given or chosen so far as far back as the context goes, less likely: their logits are divided
   * by this where positive and multiplied elsewhere (arXiv:1909.05858). 1, the default, changes nothing, less than 1 makes them likelier.
   */
  readonly repetitionPenalty?: number;
  /** Same seed, same tokens on one engine. Default 0. */
  readonly seed?: number;
}

/** How a stream ends before its time. */
export interface Stoppable {
  /** Ends the stream with its reason as the error, waiting for a turn or between two tokens; other streams go on. */
  readonly signal?: AbortSignal;
}

/** How one sequence is made. */
export interface SampleOptions extends Choice, Stoppable {
  /** Tokens to start from; may be empty. */
  readonly prompt?: ArrayLike<number>;
  /** Tokens to write. */
  readonly length: number;
}

/** How several sequences are made at once. */
export interface SamplesOptions extends Choice, Stoppable {
  /** Tokens that all sequences start from, or those of each: then all of the same length. */
  readonly prompt?: ArrayLike<number> | readonly ArrayLike<number>[];
  /** Tokens to write in each. */
  readonly length: number;
}

/** What each field of {@linkcode SamplesOptions} but the prompt may be. */
export const SAMPLE_FIELDS: Readonly<Record<keyof Choice | "length" | "batch", Allowed>> = {
  temperature: GENERATION_FIELDS.temperature,
  topK: GENERATION_FIELDS.topK,
  topP: GENERATION_FIELDS.topP,
  minP: GENERATION_FIELDS.minP,
  repetitionPenalty: GENERATION_FIELDS.repetitionPenalty,
  seed: GENERATION_FIELDS.seed,
  length: GENERATION_FIELDS.maxNewTokens,
  batch: GENERATION_FIELDS.numReturnSequences,
};

function checkChoice({ temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1, seed = 0 }: Choice): Required<Choice> {
  for (const [name, value] of Object.entries({ temperature, topK, topP, minP, repetitionPenalty, seed })) {
    expect("Cannot sample", { [name]: [value, SAMPLE_FIELDS[name as keyof Choice]] });
  }
  // Beyond a vocabulary's size every k is the same, and f32 holds whole numbers up to 2²⁴.
  return { temperature, topK: Math.min(topK, 2 ** 24), topP, minP, repetitionPenalty, seed };
}

/** What the caches of each layer hold when; layers that attend alike share a plan. */
export async function cachePlans(config: ModelConfig): Promise<CachePlan[]> {
  const { objective = "next" } = config;
  if (objective !== "next") throw new ConfigError(`Cannot sample: the model's objective is ${objective}, not next; openEncoder reads it`);
  const made = new Map<string, CachePlan>(), plans: CachePlan[] = [], { n_ctx } = config, memory = memoryOf(config.attention);
  const rows = rowsOf(n_ctx, memory), order: number[] = [], between: number[] = [];
  // Kernels find tokens by their number, and memory tokens after them.
  let row = 0;
  if (memory) { for (const [, k] of placesOf(n_ctx, memory)) (k === undefined ? order : between).push(row++); }
  // What decodes needs the plans: so the layers are there before it is written.
  await loadLayers(config);
  for (let layer = 0; layer < config.n_layer; layer++) {
    const sets = setsOf(config, layer), key = sets.map(setKey).join();
    if (!made.has(key)) made.set(key, await CachePlan.create(sets, rows, memory && Uint32Array.from([...order, ...between])));
    plans.push(made.get(key)!);
  }
  return plans;
}

/**
 * Logits looked at with each batch of tokens, so that what a model computes wrongly ends a stream instead of looking like tokens (the
 * likeliest of NaN is token 0): of 256 sequences of bytes all, of more the first ones.
 */
const LOOKED_AT = 65536;

/** Decodes with parameters that are on an engine. */
export class Decoder {
  #position = 0;
  #beginnings = 0;
  #prefill: { n: number; sequences: number; made: PrefillProgram; tensors: Tensor[]; executable: Executable } | undefined;

  private constructor(
    readonly engine: Engine,
    readonly config: ModelConfig,
    /** Sequences decoded at once. */
    readonly batch: number,
    private readonly params: Parameters,
    private readonly sideBySide: number,
    private readonly decoding: DecodingProgram,
    private readonly executable: Executable,
    private readonly plans: readonly CachePlan[],
    private readonly tensors: readonly Tensor[],
    private readonly memory: MemoryDecoder | undefined,
  ) {}

  /**
   * Plans the caches and records the step.
   *
   * @param batch sequences at once
   * @param sideBySide positions of a prompt from which they go through the model side by side, not one by one
   * @throws {ConfigError} where the model's attention is not causal, or the batch is out of range
   * @throws {OutOfMemoryError} where the engine has not the memory
   */
  static async create(engine: Engine, params: Parameters, batch = 1, sideBySide: number = engine?.sideBySide): Promise<Decoder> {
    const cannot = "Cannot sample";
    expect(cannot, {
      engine: [engine, "an engine"],
      parameters: [params, "an object"],
      config: [params?.config, "an object"],
      sideBySide: [sideBySide === Infinity ? MOST : sideBySide, [1, MOST]],
      batch: [batch, SAMPLE_FIELDS.batch],
    });
    const { config } = params, plans = await cachePlans(config);
    const decoding = decodingProgram(params, batch, plans), { state, logits, caches, constants } = decoding;
    const tensors = [...Object.values(state), logits, ...constants.keys(), ...caches.flatMap(Object.values)];
    const executable = await compileWith(engine, decoding.program, tensors, constants);
    const memory = memoryOf(config.attention);
    try {
      const decoder = memory &&
        await (await import("./decode_memory.ts")).MemoryDecoder.create(engine, params, batch, memory, plans, caches);
      return new Decoder(engine, config, batch, params, sideBySide, decoding, executable, plans, tensors, decoder);
    } catch (error) {
      executable.dispose();
      engine.free(tensors);
      throw error;
    }
  }

  /** The next position: those before it are in the caches. */
  get position(): number {
    return this.#position;
  }

  /** Bytes that the caches hold, over all layers: what a dense cache of n_ctx positions would be is for comparison. */
  get cacheBytes(): { kept: number; dense: number } {
    const width = this.config.d_qk + this.config.d_model, { caches } = this.decoding;
    const kept = caches.reduce((sum, { keys }) => sum + this.batch * keys.shape[2] * width * 4, 0);
    return { kept, dense: caches.length * this.batch * this.config.n_ctx * width * 4 };
  }

  /**
   * Begins anew; what the caches held is not read again. A long prompt is put into them here, of a short one the next runs do it.
   *
   * @param given [positions · batch], the sequences' tokens of each position in turn: not to be chosen
   * @param choice how later tokens are chosen
   * @param beginning makes another draw of the same seed
   * @throws {ConfigError} where the choice is out of range
   * @throws {ShapeError} where there are more positions than the model has, or a token is outside the vocabulary
   */
  async begin(given: ArrayLike<number>, choice: Choice = {}, beginning = 0): Promise<void> {
    expect("Cannot sample", { choice: [choice, "an object"], beginning: [beginning, [0, MOST]] });
    expectTokens("Cannot sample", given);
    const { engine, config, batch, decoding: { state } } = this, checked = checkChoice(choice);
    const count = given.length / batch, tape = new Uint32Array(config.n_ctx * batch);
    if (!Number.isInteger(count) || count > config.n_ctx) {
      throw new ShapeError(
        `Cannot sample: got ${given.length} tokens for ${batch} sequences of at most ${config.n_ctx}, and each has as many as the others`,
      );
    }
    checkTokens(given, config.vocab_size);
    tape.set(given);
    this.#beginnings++;
    this.#position = 0;
    engine.write(state.tape, tape);
    engine.write(state.given, Uint32Array.of(count));
    engine.write(state.choice, Float32Array.from(CHOICE, (name) => checked[name]));
    engine.write(state.seeds, Uint32Array.of(checked.seed, beginning));
    if (count >= this.sideBySide) await this.#fill(tape, count);
    engine.write(state.position, Uint32Array.of(this.#position));
  }

  /** Puts the keys and values of the first `count` positions into the caches. */
  async #fill(tape: Uint32Array, count: number): Promise<void> {
    const { batch, config, engine, plans } = this;
    const n = positionsFor(count, config.n_ctx);
    let alike = true;
    for (let at = 0; at < count * batch && alike; at++) alike = tape[at] === tape[at - at % batch];
    const sequences = alike ? 1 : batch, { made, executable } = await this.#prefillOf(n, sequences);
    const tokens = Uint32Array.from({ length: sequences * n }, (_, row) => {
      const b = Math.floor(row / n), i = row % n;
      return i === 0 ? config.vocab_size : i < count ? tape[(i - 1) * batch + b] : 0;
    });
    engine.write(made.tokens, this.memory ? this.memory.between(tokens, n) : tokens);
    const rows = rowOfToken(count - 1, memoryOf(config.attention)) + 1;
    new Map(plans.map((plan, layer) => [made.rows[layer], plan])).forEach((plan, held) => engine.write(held, plan.held(rows)));
    await executable.run();
    this.#position = count;
  }

  /** The program for prompts of up to n positions; the last one is kept. */
  async #prefillOf(n: number, sequences: number) {
    if (this.#prefill?.n === n && this.#prefill.sequences === sequences) return this.#prefill;
    this.#dropPrefill();
    const { engine, params, plans, decoding } = this, made = prefillProgram(params, sequences, n, plans, decoding.caches);
    const tensors = [made.tokens, ...new Set(made.rows), ...made.constants.keys()];
    return this.#prefill = { n, sequences, made, tensors, executable: await compileWith(engine, made.program, tensors, made.constants) };
  }

  #dropPrefill(): void {
    if (!this.#prefill) return;
    this.#prefill.executable.dispose();
    this.engine.free(this.#prefill.tensors);
    this.#prefill = undefined;
  }

  /**
   * Decodes the next positions and chooses their tokens where they are not given. On WebGPU it does not wait.
   *
   * @throws {ShapeError} past n_ctx positions
   */
  async run(positions = 1): Promise<void> {
    expect("Cannot decode", { positions: [positions, [1, MOST]] });
    const { n_ctx } = this.config, last = this.#position + positions - 1;
    if (last >= n_ctx) throw new ShapeError(`Cannot decode position ${last}: the model has ${n_ctx}; begin anew from a later part`);
    for (let left = positions; left > 0;) {
      const some = this.memory ? Math.min(left, await this.#windowLeft(this.memory)) : left;
      this.#position += some;
      left -= some;
      await this.executable.run(some);
    }
  }

  /** Positions that can follow before memory tokens do; where those do now, they are decoded first. */
  async #windowLeft(memory: MemoryDecoder): Promise<number> {
    const at = this.#position, { stride } = memory;
    if (at > 0 && at % stride === 0) await memory.before(at);
    return stride - at % stride;
  }

  /** Tokens of positions [from, to), [positions · batch]. */
  read(from: number, to: number): Promise<TensorData> {
    expect("Cannot read tokens", { from: [from, [0, MOST]], to: [to, [0, MOST]] });
    return this.engine.read(this.decoding.state.tape, [from, to]);
  }

  /** Logits of the position decoded last, [batch · vocabulary]. */
  logits(): Promise<TensorData> {
    return this.engine.read(this.decoding.logits);
  }

  /**
   * Decodes up to position `to` and streams the tokens from position `from` on, [batch] each, as many positions at a time as suits the
   * engine. It may have begun more of them than were given: the next stream goes on from there.
   *
   * @throws {ConfigError} where the decoder has begun anew in the meantime
   * @throws {DivergedError} where the logits are not finite
   * @throws {KernelError} where the device answers with what is no token
   */
  async *stream(from: number, to: number): AsyncGenerator<Uint32Array> {
    expect("Cannot sample", { from: [from, [0, this.config.n_ctx]], to: [to, [0, this.config.n_ctx]] });
    const { batch, engine, config: { vocab_size } } = this, beginning = this.#beginnings;
    for await (const { end, data: [data, logits] } of this.#decoded(from, to)) {
      checkComputed(logits, "Cannot go on sampling", `after position ${end - 1} the logits`, engine);
      const tokens = Uint32Array.from(data), odd = tokens.find((token) => token >= vocab_size);
      if (odd !== undefined) {
        throw new KernelError(`Cannot go on sampling: ${engine.description} answered token ${odd}, the vocabulary has ${vocab_size}`);
      }
      for (let at = 0; at < tokens.length; at += batch) yield tokens.subarray(at, at + batch);
      // Before the engine goes on.
      if (beginning !== this.#beginnings) throw new ConfigError("Cannot go on sampling: the decoder has begun another sequence");
    }
  }

  /** Tokens of positions [from, to) and logits of the last of them, some positions up to `end` at a time: first those decoded already. */
  async *#decoded(from: number, to: number): AsyncGenerator<{ end: number; data: readonly TensorData[] }> {
    const { batch, engine, executable, config: { vocab_size }, decoding: { state: { tape }, logits } } = this;
    const beginning = this.#beginnings, done = this.#position, rows = Math.min(batch, Math.max(1, Math.floor(LOOKED_AT / vocab_size)));
    const reads = (from: number, to: number): TensorPart[] => [{ tensor: tape, range: [from, to] }, { tensor: logits, range: [0, rows] }];
    if (from < Math.min(done, to)) {
      const end = Math.min(done, to);
      yield { end, data: await readAll(engine, reads(from, end)) };
    }
    if (to <= Math.max(done, from)) return;
    for (let start; (start = this.#position) < to && beginning === this.#beginnings;) {
      if (this.memory && from > start) {
        await this.run(from - start);
        continue;
      }
      const times = this.memory ? Math.min(to - start, await this.#windowLeft(this.memory)) : to - start, skip = Math.max(0, from - start);
      const runs = { times, skip, reads: (a: number, b: number) => reads(start + a, start + b) };
      for await (const { to: end, begun, data } of executable.stream(runs)) {
        if (beginning === this.#beginnings) this.#position = start + begun;
        yield { end: start + end, data };
      }
    }
  }

  /** Frees what this made; the parameters stay. */
  dispose(): void {
    this.#beginnings++;
    this.#dropPrefill();
    this.memory?.dispose();
    this.executable.dispose();
    this.engine.free(this.tensors);
  }
}

/** Of the streams of each decoder, which holds one sequence of each place at a time. */
const TURNS = new WeakMap<Decoder, Turns>();

function checkTokens(tokens: ArrayLike<number>, vocabulary: number): void {
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at];
    if (!Number.isInteger(token) || token < 0 || token >= vocabulary) {
      throw new ShapeError(`Cannot sample: prompt token ${token} is outside the vocabulary of ${vocabulary}`);
    }
  }
}

/** A prompt, position by position: [positions · batch]. */
function interleave(prompt: NonNullable<SamplesOptions["prompt"]>, batch: number): number[] {
  if (typeof prompt !== "object" || prompt === null || !("length" in prompt)) {
    throw new ConfigError("Cannot sample: prompt must be a list of tokens; text() takes a string");
  }
  const each = typeof prompt[0] === "object" && prompt[0] !== null ? prompt as readonly ArrayLike<number>[] : undefined;
  const prompts = each ?? Array.from({ length: batch }, () => prompt as ArrayLike<number>);
  if (prompts.length !== batch || prompts.some((one) => one?.length !== prompts[0].length)) {
    throw new ShapeError(
      `Cannot sample: ${batch} sequences need one prompt, or ${batch} of the same length, got ${prompts.map((one) => one?.length)}`,
    );
  }
  return Array.from({ length: prompts[0].length * batch }, (_, at) => prompts[at % batch][Math.floor(at / batch)]);
}

/**
 * Streams tokens of all sequences of a decoder, [batch] a position. Past the model's context they go on from the latter half of
 * what they have, as a new beginning; so does a prompt that leaves no room. Streams of one decoder take turns, each to its end; one whose
 * reader takes nothing for a quarter of a second gives its turn to the next that waits, and goes on after it from what it has, as from a
 * prompt.
 *
 * @throws {ConfigError} where an option is out of range
 * @throws {ShapeError} where a prompt token is outside the vocabulary, or prompts differ in length
 */
export async function* samples(decoder: Decoder, options: SamplesOptions): AsyncGenerator<Uint32Array> {
  expect("Cannot sample", { decoder: [decoder, "an object"], options: [options, "an object"], config: [decoder?.config, "an object"] });
  const { length, prompt = [], signal, ...choice } = options, { batch, config: { n_ctx, vocab_size } } = decoder;
  expect("Cannot sample", { length: [length, SAMPLE_FIELDS.length] });
  checkChoice(choice);
  let tokens = interleave(prompt, batch);
  checkTokens(tokens, vocab_size);
  const turns = TURNS.get(decoder) ?? new Turns(), turn = turns.join();
  TURNS.set(decoder, turns);
  let mine = false;
  try {
    for (let left = length, beginning = 0; left > 0; beginning++) {
      if (tokens.length >= n_ctx * batch) tokens = tokens.slice(tokens.length - Math.floor(n_ctx / 2) * batch);
      const to = Math.min(n_ctx, tokens.length / batch + left);
      // Once, or again where another stream has used the decoder meanwhile: draws depend on the position alone.
      while (tokens.length / batch < to) {
        if (!mine) await turn.take(signal);
        mine = true;
        await decoder.begin(tokens, choice, beginning);
        for await (const drawn of decoder.stream(tokens.length / batch, to)) {
          tokens.push(...drawn);
          left--;
          turn.rest();
          yield drawn;
          mine = turn.resume();
          signal?.throwIfAborted();
          if (!mine) break;
        }
      }
    }
  } finally {
    turn.leave();
  }
}

/**
 * Streams tokens of one sequence; see {@linkcode samples}.
 *
 * @param decoder with a batch of 1
 * @throws {ConfigError} where an option is out of range
 * @throws {ShapeError} where a prompt token is outside the vocabulary
 */
export async function* sample(decoder: Decoder, options: SampleOptions): AsyncGenerator<number> {
  expect("Cannot sample", { decoder: [decoder, "an object"] });
  if (decoder.batch !== 1) throw new ConfigError(`Cannot sample one sequence: the decoder makes ${decoder.batch}; use samples`);
  for await (const [token] of samples(decoder, options)) yield token;
}
