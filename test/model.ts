/**
 * A model that is small enough for every test; each says what it has otherwise.
 *
 * @module
 */

import type { ModelConfig } from "../src/files/model_config.ts";

/** Two layers of two heads, 16 wide, over bytes. */
export const SMALL: ModelConfig = {
  model_type: "sparse_transformer",
  n_ctx: 32,
  n_layer: 2,
  n_head: 2,
  d_model: 16,
  d_ff: 32,
  d_qk: 16,
  vocab_size: 256,
  dropout: 0,
  attention: { pattern: "strided", stride: 8 },
  position: { kind: "attention", stride: 8 },
};

/** Text to train it on. */
export const TEXT = "It was the best of times, it was the worst of times.\n".repeat(80);
