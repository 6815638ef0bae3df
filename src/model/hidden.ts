/**
 * The program that gives hidden states: forward only, as far as the layer that is asked for.
 *
 * @module
 */

import { Program, type Tensor, tensor } from "../ops/mod.ts";
import type { Constants } from "./compile.ts";
import { memoryOf } from "../pattern/memory.ts";
import { Emitter } from "./emitter.ts";
import type { Parameters } from "./parameters.ts";
import { logitsOf, tokensOf } from "./token_rows.ts";

/** Where hidden states are taken: after so many residual blocks, 0 being the embedding (Eq. 15), or after the final layer norm. */
export type HiddenLayer = number | "norm";

/** Forward only: what the residual stream holds at each position. */
export interface HiddenProgram {
  readonly program: Program;
  /** u32 [R]: what each row reads, see {@linkcode ./token_rows.ts!withMemory}: the token before each position, or there. */
  readonly tokens: Tensor;
  /** f32 [R, d_model]; [R, outputs] of logits */
  readonly hidden: Tensor;
  readonly constants: Constants;
}

/**
 * Writes the program that gives the hidden states of `batch` sequences.
 *
 * @param n positions of each, at most n_ctx
 * @param layer where they are taken, or what the model says of them
 */
export function hiddenProgram(params: Parameters, batch: number, n: number, layer: HiddenLayer | "logits"): HiddenProgram {
  const { n_layer } = params.config, blocks = typeof layer === "number" ? layer : n_layer, memory = memoryOf(params.config.attention);
  const last = typeof layer === "string" ? layer : blocks === 0 ? "embedded" : `layers.${blocks - 1}.ff.w2`;
  const kept = layer !== "logits" && memory && n > memory.stride ? "hidden" : last;
  const program = new Program("hidden states"), e = new Emitter(program, params, batch, n, "f32", new Set([kept]));
  const tokens = tensor("hidden_tokens", [e.rows], "u32");
  let hidden = e.embed(tokens);
  for (let block = 0; block < blocks; block++) hidden = e.forward(block, hidden);
  if (layer === "norm") hidden = e.norm("norm", hidden).y;
  hidden = layer === "logits" ? logitsOf(e, hidden).logits : tokensOf(e, hidden, "hidden");
  return { program, tokens, hidden, constants: e.constants };
}
