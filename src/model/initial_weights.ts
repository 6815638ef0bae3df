/**
 * The numbers that training begins with.
 *
 * @module
 */

import { Random, STREAM } from "../base/random.ts";
import { type Initialisation, type ModelConfig, positionSizes } from "../files/model_config.ts";
import { parameterShapes } from "../files/parameter_shapes.ts";

/** Deviations of the first weights: where W₂ and W_p, the ends of the branches, get 1/√(2·n_layer) of theirs. */
const DEVIATIONS: Readonly<Record<Initialisation, { token(d: number): number; hidden: number; out: number }>> = {
  // Layer norm of tiny numbers keeps small models from forming attention for most of a short run: 1.86 bits/byte for 2.22 after 1.6 MB.
  default: { token: () => 0.35, hidden: 1, out: 0.354 },
  paper: { token: (d) => 0.125 / Math.sqrt(d), hidden: 0.125, out: 0 },
};

/**
 * Weights before training (section 5.3), by `config.init`: each tensor draws from its own stream, so a weight depends only
 * on the seed, its name's place and its index.
 *
 * @returns f32 arrays by parameter name
 */
export function initialWeights(config: ModelConfig, seed: number): Map<string, Float32Array> {
  const spread = DEVIATIONS[config.init ?? "default"], token = spread.token(config.d_model), tables = positionSizes(config).length;
  const deviation = (name: string, shape: readonly number[]): number => {
    // Gates are the same everywhere until training says otherwise, and sum to 1.
    if (name.endsWith("attn.gate.weight")) return 0;
    if (name === "out.weight") return spread.out / Math.sqrt(config.d_model);
    if (name === "embed.token.weight") return token;
    if (name.startsWith("embed.position")) return token / Math.sqrt(tables);
    const branch = /\.(ff\.w2|attn\.p)\.weight$/.test(name) ? 1 / Math.sqrt(2 * config.n_layer) : 1;
    return spread.hidden / Math.sqrt(shape[1]) * branch;
  };
  return new Map([...parameterShapes(config)].map(([name, shape], at) => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (name.endsWith("attn.gate.bias")) return [name, values.fill(-Math.log(shape[0] / config.n_head - 1))];
    if (shape.length === 1) return [name, name.endsWith("norm.weight") ? values.fill(1) : values];
    const draw = new Random(seed, STREAM.weights, at), scale = deviation(name, shape);
    if (scale > 0) draw.normals(values, scale);
    return [name, values];
  }));
}
