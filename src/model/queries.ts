/**
 * The program that gives queries and keys, for attention maps.
 *
 * @module
 */

import { Program, type Tensor, tensor } from "../ops/mod.ts";
import { routedAt } from "../pattern/sets.ts";
import { type BatchTensors, batchTensors } from "./batch.ts";
import type { Constants } from "./compile.ts";
import { Emitter } from "./emitter.ts";
import type { Parameters } from "./parameters.ts";

/** What weights of a layer are made of. */
export interface QueryKeys {
  readonly q: Tensor;
  readonly k: Tensor;
  /** Of routed attention, [rows, branches · heads]. */
  readonly gate?: Tensor;
}

/** Forward only as far as needed: queries and keys of chosen layers, kept for reading. */
export interface QueryKeyProgram {
  readonly program: Program;
  readonly batch: BatchTensors;
  /** f32 [rows of n_ctx tokens, d_qk] each, by layer. */
  readonly layers: ReadonlyMap<number, QueryKeys>;
  readonly constants: Constants;
}

/** Writes the program that gives queries and keys of one sequence at those layers; kernels of attention keep no weights. */
export function queryKeyProgram(params: Parameters, layers: readonly number[]): QueryKeyProgram {
  const { config } = params, program = new Program("queries and keys"), e = new Emitter(program, params, 1, config.n_ctx);
  const inputs = batchTensors(e), kept = new Map<number, QueryKeys>(), last = Math.max(...layers);
  let h = e.embed(inputs.tokens);
  for (let layer = 0; layer <= last; layer++) {
    if (layers.includes(layer)) {
      const at = `layers.${layer}.attn`, x = e.norm(`${at}.norm`, h).y;
      const project = (name: string) => {
        const of = params.matrix(`${at}.${name}.weight`), y = tensor(`${at}.${name}`, [e.rows, of.w.shape[0]]);
        program.add({ op: "linear", x, ...of, b: params.get(`${at}.${name}.bias`), y });
        return y;
      };
      kept.set(layer, { q: project("q"), k: project("k"), ...routedAt(config.attention, layer) && { gate: project("gate") } });
    }
    if (layer < last) h = e.forward(layer, h);
  }
  return { program, batch: inputs, layers: kept, constants: e.constants };
}
