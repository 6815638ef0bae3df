/**
 * The worker's look into a model: how many bits each token of a text took, which others were likely in its place, and which earlier ones the
 * heads read there. Loaded when it is first asked for.
 *
 * @module
 */

import { type OpenedModel, Scorer } from "../mod.ts";
import { Decoder } from "../ops.ts";
import { attentionMaps } from "../pictures.ts";

/** What one head weighs where a token is made. */
export interface Read {
  /** Which layer, from 0. */
  readonly layer: number;
  /** Which head, from 0. */
  readonly head: number;
  /** Tokens of the sequence whose places it weighs; −1 is the beginning. */
  readonly tokens: Int32Array;
  /** Their weights; they sum to 1. */
  readonly weights: Float32Array;
}

/** What is known of one token of a sequence. */
export interface Inspected {
  /** −log₂ of its probability, at temperature 1. */
  readonly bits: number;
  /** The likeliest tokens in its place, likeliest first, with their probabilities. */
  readonly likeliest: readonly { readonly token: number; readonly share: number }[];
  /** By layer and head, what it weighs there. */
  readonly reads: readonly Read[];
}

/** Likeliest tokens that are told. */
const LIKELIEST = 6;

/** Where the context begins that a token was made in: sampling goes on from the latter half of what it has when that is full. */
export function contextOf(at: number, given: number, n_ctx: number): number {
  const half = Math.floor(n_ctx / 2);
  let from = given >= n_ctx ? given - half : 0;
  while (at >= from + n_ctx) from += n_ctx - half;
  return from;
}

/** Looks into one model. Nothing may run on its engine meanwhile. */
export class Inspector {
  #scorer: Scorer | undefined;
  #decoder: Decoder | undefined;

  constructor(readonly model: OpenedModel) {}

  /**
   * Bits of the tokens from `from` on, of each sequence.
   *
   * @param sequences of the same length, prompt included
   * @param given tokens of the prompt
   */
  async bits(sequences: readonly (readonly number[])[], given: number, from: number): Promise<Float32Array[]> {
    const { engine, params, config: { n_ctx } } = this.model, batch = sequences.length, to = sequences[0].length;
    const bits = sequences.map(() => new Float32Array(to - from));
    if (this.#scorer?.batch !== batch) {
      this.#scorer?.dispose();
      this.#scorer = await Scorer.create(engine, params, batch);
    }
    for (let at = from; at < to;) {
      const begin = contextOf(at, given, n_ctx), end = Math.min(to, begin + n_ctx), rows = new Uint32Array(batch * n_ctx);
      sequences.forEach((tokens, row) => rows.set(tokens.slice(begin, end), row * n_ctx));
      const scored = await this.#scorer.score(rows);
      for (; at < end && contextOf(at, given, n_ctx) === begin; at++) {
        bits.forEach((of, row) => of[at - from] = scored[row * n_ctx + at - begin]);
      }
    }
    return bits;
  }

  /**
   * What is known of one token.
   *
   * @param tokens of the sequence, that one included
   * @param given tokens of the prompt
   */
  async look(tokens: readonly number[], given: number): Promise<Inspected> {
    const { engine, params, config } = this.model, last = tokens.length - 1, begin = contextOf(last, given, config.n_ctx);
    const before = tokens.slice(begin, last), query = before.length, decoder = this.#decoder ??= await Decoder.create(engine, params);
    await decoder.begin(before);
    await decoder.run(query + 1 - decoder.position);
    const shares = softmax(await decoder.logits()), order = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a]);
    const reads: Read[] = [];
    for await (
      const { layer, head, rows: [{ keys, weights }] } of attentionMaps(engine, params, tokens.slice(begin), { queries: [query] })
    ) {
      // A place's input is the token before it.
      reads.push({ layer, head, tokens: Int32Array.from(keys, (key) => key === 0 ? -1 : begin + key - 1), weights });
    }
    return {
      bits: -Math.log2(shares[tokens[last]]),
      likeliest: order.slice(0, LIKELIEST).map((token) => ({ token, share: shares[token] })),
      reads,
    };
  }

  /** Frees what this made; the model stays. */
  dispose(): void {
    this.#scorer?.dispose();
    this.#decoder?.dispose();
  }
}

function softmax(logits: ArrayLike<number>): number[] {
  const all = Array.from(logits), most = Math.max(...all), raised = all.map((logit) => Math.exp(logit - most));
  const sum = raised.reduce((a, b) => a + b);
  return raised.map((x) => x / sum);
}
