/**
 * Layers of routed attention (Native Sparse Attention, arXiv:2502.11089; MoBA, arXiv:2502.13189): a window, chosen blocks and, where
 * `compressed`, the means of past blocks, each with a softmax of its own, mixed by a gate per head.
 *
 * @module
 */

import "../ops/apart.gen.ts";
import { type ModelConfig, setsOf } from "../files/model_config.ts";
import { type RoutedDecode, type Tensor, tensor } from "../ops/mod.ts";
import { EMPTY_SLOT } from "../pattern/cache.ts";
import { blocksIn } from "../pattern/routed.ts";
import type { AttentionSet } from "../pattern/sets.ts";
import type { Backward } from "./backward.ts";
import type { CacheTensors } from "./decode.ts";
import type { Block, Emitter } from "./emitter.ts";
import { type Attended, LATE, type Routed } from "./late.ts";

type RoutedSet = Extract<AttentionSet, { kind: "routed" }>;

/** Names and shapes of one layer. */
function layerOf(e: Emitter, layer: number, set: RoutedSet) {
  const at = (name: string) => `layers.${layer}.attn.${name}`, { batch, length: n, program, config: { n_head: heads } } = e;
  const { block, top_k, window, compressed } = set, blocks = blocksIn(n, block), each = <T>(one: T): T[] => Array(heads).fill(one);
  const sets = {
    window: each<AttentionSet>({ kind: "window", l: window, causal: true }),
    chosen: each<AttentionSet>({ kind: "chosen", block, top_k, window, keys: blocks * top_k * block, causal: false }),
    past: each<AttentionSet>({ kind: "past", block, keys: blocks, causal: false }),
  };
  const means = (name: string, x: Tensor): Tensor => {
    const y = e.matrix(at(`${name}.means`), x.shape[1], batch * blocks);
    program.add({ op: "block_mean", x, y, n, block });
    return y;
  };
  const copies = (name: string, x: Tensor, choice: Tensor): Tensor => {
    const y = e.matrix(at(`${name}.copies`), x.shape[1], batch * blocks * top_k * block);
    program.add({ op: "gather_blocks", x, choice, y, n, block });
    return y;
  };
  return { at, batch, n, program, heads, block, blocks, top_k, window, compressed, sets, means, copies };
}

/** The attention of a layer: its o of x, its queries, keys and values. */
export function attend(e: Emitter, layer: number, x: Tensor, { q, k, v, o, sets: [set] }: Attended): Routed {
  const of = layerOf(e, layer, set as RoutedSet), { at, batch, n, program, heads, block, blocks, top_k, window } = of;
  const gates = e.linear(layer, "attn.gate", x), choice = program.scratch(at("choice"), [batch, heads, blocks, top_k], "u32");
  const branch = (name: keyof typeof of.sets, k: Tensor, v: Tensor): Attended => {
    const lse = program.scratch(at(`${name}.lse`), [batch, heads, n]);
    const made = { q, k, v, o: e.matrix(at(`${name}.o`), o.shape[1]), lse, sets: of.sets[name], batch, n };
    program.add({ op: "attention", ...made });
    return made;
  };
  const summaries = of.means("k", k);
  program.add({ op: "route", q, summaries, choice, n, block, window });
  const branches = [branch("window", k, v), branch("chosen", of.copies("k", k, choice), of.copies("v", v, choice))];
  if (of.compressed) branches.push(branch("past", summaries, of.means("v", v)));
  program.add({ op: "mix", gates, parts: branches.map(({ o }) => o), y: o, heads });
  return { gates, choice, branches };
}

/**
 * Its gradients, the choice held: those of queries, keys and values to dq, dk and dv.
 *
 * @param dO that of o
 * @returns that of x, by the gates
 */
export function attendBackward(
  backward: Backward,
  layer: number,
  { attended, routed, norm1 }: Block,
  dO: Tensor,
  [dq, dk, dv]: readonly Tensor[],
): Tensor {
  const { e } = backward, { gates, choice, branches } = routed!, of = layerOf(e, layer, attended.sets[0] as RoutedSet);
  const { at, batch, n, program, heads, block, blocks, top_k } = of, names = ["window", "chosen", "past"];
  const dGates = e.matrix(at("gate.dy"), gates.shape[1]), dParts = branches.map((_, p) => e.matrix(at(`${names[p]}.dO`), dO.shape[1]));
  program.add({ op: "mix_backward", gates, parts: branches.map(({ o }) => o), dy: dO, dGates, dParts, heads });
  branches.forEach((made, p) => {
    const gradient = (name: string, like: Tensor) => e.matrix(at(`${names[p]}.${name}`), like.shape[1], like.shape[0]);
    // The copies are made again: kept from the forward pass they would be the largest of all that it keeps.
    const [k, v] = p === 1 ? [of.copies("k", attended.k, choice), of.copies("v", attended.v, choice)] : [made.k, made.v];
    const [ownQ, ownK, ownV] = p === 0 ? [dq, dk, dv] : [gradient("dq", dq), gradient("dk", k), gradient("dv", v)];
    const delta = program.scratch(at(`${names[p]}.delta`), [batch, heads, n]);
    program.add({ ...made, op: "attention_backward", k, v, dO: dParts[p], delta, dq: ownQ, dk: ownK, dv: ownV });
    if (p === 0) return;
    program.add({ op: "add", x: ownQ, y: dq });
    if (p === 1) {
      const starts = program.scratch(at("starts"), [batch, heads, blocks + 1], "u32");
      const list = program.scratch(at("list"), [batch, heads, blocks, top_k], "u32");
      program.add({ op: "route_lists", choice, starts, list });
      for (const [dy, dx] of [[ownK, dk], [ownV, dv]]) program.add({ op: "gather_blocks_backward", dy, starts, list, dx, n, block });
    } else for (const [dy, dx] of [[ownK, dk], [ownV, dv]]) program.add({ op: "block_mean_backward", dy, dx, n, block });
  });
  return backward.linear(at("gate"), dGates, norm1.y);
}

const setOf = (config: ModelConfig, layer: number) => setsOf(config, layer)[0] as RoutedSet;

/** Where decoding keeps the choices of a layer, where that is routed. */
export function choiceOf(config: ModelConfig, layer: number, batch: number): Tensor | undefined {
  const { kind, block, top_k } = setOf(config, layer);
  if (kind !== "routed") return undefined;
  return tensor(`layers.${layer}.cache.choice`, [batch, config.n_head, blocksIn(config.n_ctx, block), top_k], "u32");
}

/** The attention of one decoded position of h. */
export function decode(
  e: Emitter,
  layer: number,
  h: Tensor,
  operands: Omit<RoutedDecode, "op" | "gates" | "block" | "window" | "compressed">,
): void {
  const { block, window, compressed } = setOf(e.config, layer);
  const gates = e.linear(layer, "attn.gate", h, { norm: e.normOf(`layers.${layer}.attn.norm`) });
  e.program.add({ op: "routed_decode", ...operands, gates, block, window, compressed });
}

/** What decoding the positions of queries q one by one would leave beside keys and values: summaries, and choices. */
export function prefill(e: Emitter, layer: number, q: Tensor, k: Tensor, v: Tensor, cache: CacheTensors): void {
  const { n, program, heads, block, blocks, window, means } = layerOf(e, layer, setOf(e.config, layer)), { keys, values } = cache;
  const choice = cache.choice!,
    slots = keys.shape[2],
    first = slots - choice.shape[2],
    rows = new Uint32Array(heads * slots).fill(EMPTY_SLOT);
  for (let head = 0; head < heads; head++) for (let at = 0; at < blocks; at++) rows[head * slots + first + at] = at;
  const summaries = means("k", k), summaryRows = e.constant(`layers.${layer}.summary_rows`, rows);
  program.add({ op: "cache_fill", k: summaries, v: means("v", v), keys, values, rows: summaryRows, n: blocks });
  program.add({ op: "route", q, summaries, choice, n, block, window });
}

LATE.routed = { attend, attendBackward, choiceOf, decode, prefill };
