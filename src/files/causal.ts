/**
 * What only models that look back can do.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { patternsIn } from "../pattern/patterns_in.ts";
import { layerAttention } from "../pattern/sets.ts";
import type { ModelConfig } from "./model_config.ts";

/**
 * Refuses a model that sees the future where next tokens are to be predicted.
 *
 * @param what was to be done, for the message
 * @throws {ConfigError} naming the first layer whose attention is not causal
 */
export function checkCausal(config: ModelConfig, what: string): void {
  expect("Cannot check the model", { config: [config, "an object"], what: [what, "a string"], n_layer: [config?.n_layer, [1, MOST]] });
  const layer = Array.from({ length: config.n_layer }, (_, layer) => layer).find((layer) =>
    patternsIn(layerAttention(config.attention, layer)).some(({ causal }) => causal === false)
  );
  if (layer === undefined) return;
  throw new ConfigError(
    `Cannot ${what}: the attention of layer ${layer} is not causal, so a position sees the token that it is to predict, and the bits would ` +
      `only say how well it copies; leave out "causal": false (--no-causal)`,
  );
}
