/**
 * Layers that few models have, once {@linkcode ./layers.ts!loadLayers} has loaded them: pages which sample others do not load them.
 *
 * @module
 */

import type { Attention, RoutedDecode, Tensor } from "../ops/mod.ts";

/** Operands of an attention without its name. */
export type Attended = Omit<Attention, "op">;

/** What a routed attention made and its backward pass reads. */
export interface Routed {
  /** [R, branches · heads] */
  readonly gates: Tensor;
  /** u32 [batch, heads, blocks, top_k] */
  readonly choice: Tensor;
  /** The window, the chosen blocks (without their copies), the summaries. */
  readonly branches: readonly Attended[];
}

/** What routed.ts has; what emits is an object here, since it loads this. */
interface RoutedLayer {
  attend(emitter: object, layer: number, x: Tensor, attended: Attended): Routed;
  attendBackward(backward: object, layer: number, block: object, dO: Tensor, gradients: readonly Tensor[]): Tensor;
  choiceOf(config: object, layer: number, batch: number): Tensor | undefined;
  decode(emitter: object, layer: number, h: Tensor, operands: Omit<RoutedDecode, "op" | "gates" | "block" | "window" | "compressed">): void;
  prefill(emitter: object, layer: number, q: Tensor, k: Tensor, v: Tensor, cache: object): void;
}

/** What is loaded. */
export const LATE: { routed?: RoutedLayer } = {};
