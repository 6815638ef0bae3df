/**
 * Sampling: one token at a time, remembering only the keys and values that the pattern reads again.
 *
 * @module
 */

import { CachePlan } from "./cache.ts";
import { type ModelConfig, positionRows, setsOf } from "./config.ts";
import { ConfigError, ShapeError } from "./errors.ts";
import { type DecodingProgram, decodingProgram, type Parameters } from "./model.ts";
import type { Engine, Executable, Tensor, TensorData } from "./ops.ts";
import { setKey } from "./pattern.ts";
import { Random, STREAM } from "./random.ts";

/** How tokens are chosen. */
export interface SampleOptions {
  /** Tokens to start from; may be empty. */
  readonly prompt?: ArrayLike<number>;
  /** Tokens to write. */
  readonly length: number;
  /** Logits are divided by this; 0 takes the likeliest token. Default 1. */
  readonly temperature?: number;
  /** Only the k likeliest tokens; 0, the default, means all. */
  readonly topK?: number;
  /** Only the likeliest tokens that together reach this probability; default 1. */
  readonly topP?: number;
  /** Same seed, same tokens on one engine. Default 0. */
  readonly seed?: number;
}

function checkOptions({ length, temperature = 1, topK = 0, topP = 1, seed = 0 }: SampleOptions): Required<Omit<SampleOptions, "prompt">> {
  const fail = (what: string, value: unknown): never => {
    throw new ConfigError(`Cannot sample: ${what}, current value is ${value}`);
  };
  if (!Number.isInteger(length) || length < 0) fail("length must be a whole number from 0", length);
  if (!(temperature >= 0 && temperature < Infinity)) fail("temperature must be a finite number from 0", temperature);
  if (!Number.isInteger(topK) || topK < 0) fail("topK must be a whole number from 0", topK);
  if (!(topP > 0 && topP <= 1)) fail("topP must be in (0, 1]", topP);
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) fail("seed must be a whole number below 2³²", seed);
  return { length, temperature, topK, topP, seed };
}

/**
 * Draws a token.
 *
 * @param logits [vocabulary]
 * @param uniform a number in [0, 1)
 */
export function chooseToken(
  logits: ArrayLike<number>,
  uniform: number,
  { temperature = 1, topK = 0, topP = 1 }: Partial<SampleOptions> = {},
): number {
  const order = Array.from(logits, (_, token) => token).sort((a, b) => logits[b] - logits[a] || a - b);
  if (temperature === 0) return order[0];
  const kept = topK > 0 ? order.slice(0, topK) : order;
  const weights = kept.map((token) => Math.exp((logits[token] - logits[order[0]]) / temperature));
  const all = weights.reduce((a, b) => a + b);
  let reach = 0, count = 0;
  while (count < kept.length && (count === 0 || reach < topP * all)) reach += weights[count++];
  let rest = uniform * reach;
  for (let at = 0; at < count - 1; at++) {
    rest -= weights[at];
    if (rest < 0) return kept[at];
  }
  return kept[count - 1];
}

/** Decodes with parameters that are on an engine. */
export class Decoder {
  #position = 0;

  private constructor(
    readonly engine: Engine,
    readonly config: ModelConfig,
    /** Sequences decoded at once. */
    readonly batch: number,
    private readonly decoding: DecodingProgram,
    private readonly executable: Executable,
    private readonly plans: readonly CachePlan[],
    private readonly tensors: readonly Tensor[],
  ) {}

  /**
   * Plans the caches and records the step.
   *
   * @throws {ConfigError} where the model's attention is not causal
   * @throws {OutOfMemoryError} where the engine has not the memory
   */
  static async create(engine: Engine, params: Parameters, batch = 1): Promise<Decoder> {
    const { config } = params, plans: CachePlan[] = [], schedules: string[] = [], scheduleOf: number[] = [];
    for (let layer = 0; layer < config.n_layer; layer++) {
      const sets = setsOf(config, layer), key = sets.map(setKey).join();
      if (!schedules.includes(key)) {
        schedules.push(key);
        plans.push(await CachePlan.create(sets, config.n_ctx));
      }
      scheduleOf.push(schedules.indexOf(key));
    }
    const decoding = decodingProgram(params, batch, plans.map(({ slots }) => slots), scheduleOf);
    const { tokens, position, logits, caches, reads } = decoding;
    const tensors = [tokens, ...position, logits, ...reads.flatMap(Object.values), ...caches.flatMap(Object.values)];
    engine.allocate(tensors);
    return new Decoder(engine, config, batch, decoding, await engine.compile(decoding.program), plans, tensors);
  }

  /** Positions decoded since the start or the last {@linkcode reset}. */
  get position(): number {
    return this.#position;
  }

  /** Bytes that the caches hold, over all layers: what a dense cache of n_ctx positions would be is for comparison. */
  get cacheBytes(): { kept: number; dense: number } {
    const width = this.config.d_qk + this.config.d_model, { caches } = this.decoding;
    const kept = caches.reduce((sum, { keys }) => sum + this.batch * keys.shape[2] * width * 4, 0);
    return { kept, dense: caches.length * this.batch * this.config.n_ctx * width * 4 };
  }

  /** Begins anew; what the caches hold is not read again. */
  reset(): void {
    this.#position = 0;
  }

  /**
   * Advances one position.
   *
   * @param tokens the token before this position of each sequence; the start token, vocab_size, at position 0
   * @throws {ShapeError} past n_ctx positions
   */
  async advance(tokens: ArrayLike<number>): Promise<void> {
    const i = this.#position, { engine, config, decoding } = this;
    if (i >= config.n_ctx) {
      throw new ShapeError(`Cannot decode position ${i}: the model has ${config.n_ctx}; reset and start from a later part`);
    }
    engine.write(decoding.tokens, Uint32Array.from(tokens));
    positionRows(config, i).forEach((row, table) => engine.write(decoding.position[table], Uint32Array.of(row)));
    this.plans.forEach((plan, at) => {
      const { slot, index, count } = decoding.reads[at], heads = config.n_head, indices = new Uint32Array(heads * plan.slots);
      const counts = Uint32Array.from(
        { length: heads },
        (_, h) => plan.reads(h, i, indices.subarray(h * plan.slots, (h + 1) * plan.slots)),
      );
      engine.write(slot, Uint32Array.from({ length: heads }, (_, h) => plan.slot(h, i)));
      engine.write(index, indices);
      engine.write(count, counts);
    });
    await this.executable.run();
    this.#position++;
  }

  /** Logits of the position last advanced to, [batch · vocabulary]. */
  logits(): Promise<TensorData> {
    return this.engine.read(this.decoding.logits);
  }

  /** Frees what this made; the parameters stay. */
  dispose(): void {
    this.executable.dispose();
    this.engine.free(this.tensors);
  }
}

/**
 * Streams tokens. Past the model's context it goes on from the latter half of what it has, as a new beginning.
 *
 * @param decoder with a batch of 1
 * @throws {ConfigError} where an option is out of range
 * @throws {ShapeError} where a prompt token is outside the vocabulary
 */
export async function* sample(decoder: Decoder, options: SampleOptions): AsyncGenerator<number> {
  const { length, seed, ...choice } = checkOptions(options), { config } = decoder;
  const tokens = Array.from(options.prompt ?? []), random = new Random(seed, STREAM.tokens);
  for (const token of tokens) {
    if (!Number.isInteger(token) || token < 0 || token >= config.vocab_size) {
      throw new ShapeError(`Cannot sample: prompt token ${token} is outside the vocabulary of ${config.vocab_size}`);
    }
  }
  decoder.reset();
  // `from` is the place in `tokens` of the decoder's position 0.
  let from = 0;
  for (let written = 0; written < length; written++) {
    if (tokens.length - from >= config.n_ctx) {
      from = tokens.length - Math.floor(config.n_ctx / 2);
      decoder.reset();
    }
    while (decoder.position <= tokens.length - from) {
      const at = from + decoder.position - 1;
      await decoder.advance([decoder.position === 0 ? config.vocab_size : tokens[at]]);
    }
    const token = chooseToken(await decoder.logits(), random.uniform(), choice);
    tokens.push(token);
    yield token;
  }
}
