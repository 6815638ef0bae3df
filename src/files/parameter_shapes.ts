/**
 * What a model's tensors are called on disk, and their shapes.
 *
 * @module
 */

import { memoryOf } from "../pattern/memory.ts";
import { routedAt } from "../pattern/sets.ts";
import { checkConfig, type ModelConfig, outputsOf, positionSizes } from "./model_config.ts";

/**
 * Names on disk and shapes of a model's parameters, in the order every list of them has: all of rank 2 (those decay),
 * then all of rank 1. Linear weights are [out, in].
 */
export function parameterShapes(config: ModelConfig): Map<string, number[]> {
  config = checkConfig(config);
  const { n_layer, n_head, d_model, d_ff, d_qk, vocab_size, attention } = config;
  // The start token, then memory tokens.
  const memory = memoryOf(attention)?.count ?? 0;
  const matrices: [string, number[]][] = [["embed.token.weight", [vocab_size + 1 + memory, d_model]]];
  const vectors: [string, number[]][] = [];
  const norm = (name: string) => vectors.push([`${name}.weight`, [d_model]], [`${name}.bias`, [d_model]]);
  const linear = (name: string, out: number, inner: number) => {
    matrices.push([`${name}.weight`, [out, inner]]);
    vectors.push([`${name}.bias`, [out]]);
  };
  positionSizes(config).forEach((rows, j) => matrices.push([`embed.position.${j}.weight`, [rows, d_model]]));
  for (let k = 0; k < n_layer; k++) {
    norm(`layers.${k}.attn.norm`);
    linear(`layers.${k}.attn.q`, d_qk, d_model);
    linear(`layers.${k}.attn.k`, d_qk, d_model);
    linear(`layers.${k}.attn.v`, d_model, d_model);
    linear(`layers.${k}.attn.p`, d_model, d_model);
    const routed = routedAt(attention, k);
    // A gate of each branch and head: window, chosen blocks, summaries.
    if (routed) linear(`layers.${k}.attn.gate`, (routed.compressed ? 3 : 2) * n_head, d_model);
    norm(`layers.${k}.ff.norm`);
    linear(`layers.${k}.ff.w1`, d_ff, d_model);
    linear(`layers.${k}.ff.w2`, d_model, d_ff);
  }
  norm("norm");
  matrices.push(["out.weight", [outputsOf(config), d_model]]);
  return new Map([...matrices, ...vectors]);
}

/** Numbers in all parameters of a model. */
export function parameterCount(config: ModelConfig): number {
  let count = 0;
  for (const shape of parameterShapes(config).values()) count += shape.reduce((a, b) => a * b, 1);
  return count;
}
