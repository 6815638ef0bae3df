/**
 * The programs that decode: one position of every sequence after another, and many given positions at once.
 *
 * @module
 */

import type { CachePlan } from "../pattern/cache.ts";
import { CHOICE, Program, type Tensor, tensor } from "../ops/mod.ts";
import type { Constants } from "./compile.ts";
import { Emitter, NO_DROPOUT } from "./emitter.ts";
import { LATE } from "./late.ts";
import type { Parameters } from "./parameters.ts";

/** Caches of one layer: the keys and values that will be read again. */
export interface CacheTensors {
  /** f32 [batch, heads, slots, d_qk_head] */
  readonly keys: Tensor;
  /** f32 [batch, heads, slots, d_v_head] */
  readonly values: Tensor;
  /** u32 [batch, heads, blocks, top_k], of routed attention: the blocks that each block of queries chose. */
  readonly choice?: Tensor;
}

/** Where decoding stands. The program reads and advances it, so that positions follow each other without the host. */
export interface DecodingState {
  /** u32 [n_ctx, batch]: the tokens so far, and of later positions whatever. */
  readonly tape: Tensor;
  /** u32 [1]: the next position. */
  readonly position: Tensor;
  /** u32 [1]: positions of the tape that are not chosen. */
  readonly given: Tensor;
  /** f32 [5]: temperature, topK, topP, minP, repetitionPenalty. */
  readonly choice: Tensor;
  /** u32 [2]: the seed, and how often the tape was begun with it. */
  readonly seeds: Tensor;
}

/** One decoded position of every sequence. */
export interface DecodingProgram {
  readonly program: Program;
  readonly state: DecodingState;
  /** f32 [batch, V] */
  readonly logits: Tensor;
  /** One per layer. */
  readonly caches: readonly CacheTensors[];
  readonly constants: Constants;
}

/**
 * Writes the program that decodes one position.
 *
 * @param plans the cache schedule of each layer
 */
export function decodingProgram(params: Parameters, batch: number, plans: readonly CachePlan[]): DecodingProgram {
  const { config } = params, program = new Program("decode"), e = new Emitter(program, params, batch, 1);
  const heads = config.n_head, u32 = (name: string, ...shape: number[]) => tensor(name, shape, "u32");
  const tape = u32("tape", config.n_ctx, batch), position = u32("position", 1), given = u32("given", 1);
  const choice = tensor("choice", [CHOICE.length]), seeds = u32("token_seeds", 2), logits = tensor("logits", [batch, config.vocab_size]);
  let h = e.matrix("embedded", config.d_model);
  program.add({
    op: "embedding_decode",
    tape,
    position,
    start: config.vocab_size,
    rows: e.positionRows(Uint32Array.from({ length: config.n_ctx }, (_, i) => i)),
    ...e.tables(),
    y: h,
  });
  const caches = plans.map((plan, layer): CacheTensors => {
    const cache = (name: string, width: number) => tensor(`layers.${layer}.cache.${name}`, [batch, heads, plan.slots, width / heads]);
    const choice = LATE.routed?.choiceOf(config, layer, batch);
    return { keys: cache("keys", config.d_qk), values: cache("values", config.d_model), ...choice && { choice } };
  });
  h = decodeBlocks(e, h, position, plans, caches);
  program.add({ op: "linear", x: h, norm: e.normOf("norm"), ...params.matrix("out.weight"), y: logits });
  program.add({ op: "choose", logits, tape, position, given, choice, seeds });
  return { program, state: { tape, position, given, choice, seeds }, logits, caches, constants: e.constants };
}

/** The blocks of a decoded position: (batch, d) of (batch, d). */
export function decodeBlocks(
  e: Emitter,
  h: Tensor,
  position: Tensor,
  plans: readonly CachePlan[],
  caches: readonly CacheTensors[],
): Tensor {
  plans.forEach((plan, layer) => {
    const qkv = e.qkv(layer, h, e.normOf(`layers.${layer}.attn.norm`)), o = e.matrix(`layers.${layer}.attn.o`, e.config.d_model);
    const cache = caches[layer];
    if (cache.choice) LATE.routed!.decode(e, layer, h, { ...qkv, o, ...cache, choice: cache.choice, position });
    else e.program.add({ op: "attention_decode", ...qkv, o, ...cache, position, plan });
    const h1 = e.linear(layer, "attn.p", o, { residual: h });
    const active = e.linear(layer, "ff.w1", h1, { norm: e.normOf(`layers.${layer}.ff.norm`), activation: "gelu" });
    h = e.linear(layer, "ff.w2", active, { residual: h1 });
  });
  return h;
}

/** Many given positions at once: what decoding them one by one would leave in the caches. */
export interface PrefillProgram {
  readonly program: Program;
  /** u32 [R]: what each row reads, see {@linkcode ./token_rows.ts!withMemory}. */
  readonly tokens: Tensor;
  /** u32 [heads, slots], one per layer: see {@linkcode ../pattern/cache.ts!CachePlan.held}. */
  readonly rows: readonly Tensor[];
  readonly constants: Constants;
}

/**
 * Writes the program that fills caches with the keys and values of the first n positions.
 *
 * @param sequences as many as the caches have, or 1: then all get the same
 */
export function prefillProgram(
  params: Parameters,
  sequences: number,
  n: number,
  plans: readonly CachePlan[],
  caches: readonly CacheTensors[],
): PrefillProgram {
  const { config } = params, program = new Program("prefill"), e = new Emitter(program, params, sequences, n);
  const tokens = tensor("prefill_tokens", [e.rows], "u32"), made = new Map<CachePlan, Tensor>();
  const rows = plans.map((plan, at) => {
    const known = made.get(plan) ?? tensor(`prefill_rows.${at}`, [plan.heads, plan.slots], "u32");
    made.set(plan, known);
    return known;
  });
  let h = e.embed(tokens);
  caches.forEach((cache, layer) => {
    const { keys, values } = cache;
    const fill = (k: Tensor, v: Tensor, q: () => Tensor) => {
      program.add({ op: "cache_fill", k, v, keys, values, rows: rows[layer], n: e.length });
      if (cache.choice) LATE.routed!.prefill(e, layer, q(), k, v, cache);
    };
    if (layer < config.n_layer - 1) {
      const block = e.block(layer, h, NO_DROPOUT, false);
      fill(block.attended.k, block.attended.v, () => block.attended.q);
      h = e.blockOutput(layer, block, NO_DROPOUT);
    } else {
      // Of the last layer nothing but the keys and values is read again.
      const { y } = e.norm(`layers.${layer}.attn.norm`, h);
      fill(e.linear(layer, "attn.k", y), e.linear(layer, "attn.v", y), () => e.linear(layer, "attn.q", y));
    }
  });
  return { program, tokens, rows, constants: e.constants };
}
