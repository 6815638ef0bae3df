/**
 * The program that gives queries and keys, for attention maps.
 *
 * @module
 */

import { Program, type Tensor, tensor } from "../ops/mod.ts";
import { type BatchTensors, batchTensors } from "./batch.ts";
import type { Constants } from "./compile.ts";
import { Emitter } from "./emitter.ts";
import type { Parameters } from "./parameters.ts";

/** Forward only as far as needed: queries and keys of chosen layers, kept for reading. */
export interface QueryKeyProgram {
  readonly program: Program;
  readonly batch: BatchTensors;
  /** f32 [n_ctx, d_qk] each, by layer. */
  readonly layers: ReadonlyMap<number, { readonly q: Tensor; readonly k: Tensor }>;
  readonly constants: Constants;
}

/** Writes the program that gives queries and keys of one sequence at those layers; kernels of attention keep no weights. */
export function queryKeyProgram(params: Parameters, layers: readonly number[]): QueryKeyProgram {
  const { config } = params, program = new Program("queries and keys"), e = new Emitter(program, params, 1, config.n_ctx);
  const inputs = batchTensors(e.rows, config), kept = new Map<number, { q: Tensor; k: Tensor }>(), last = Math.max(...layers);
  let h = e.embed(inputs.tokens);
  for (let layer = 0; layer <= last; layer++) {
    if (layers.includes(layer)) {
      const at = `layers.${layer}.attn`, x = e.norm(`${at}.norm`, h).y;
      const project = (name: string) => {
        const y = tensor(`${at}.${name}`, [e.rows, config.d_qk]);
        program.add({ op: "linear", x, ...params.matrix(`${at}.${name}.weight`), b: params.get(`${at}.${name}.bias`), y });
        return y;
      };
      kept.set(layer, { q: project("q"), k: project("k") });
    }
    if (layer < last) h = e.forward(layer, h);
  }
  return { program, batch: inputs, layers: kept, constants: e.constants };
}
