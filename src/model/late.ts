/**
 * Layers that few models have: loaded where a model has them, so that pages which sample others do not load them.
 *
 * @module
 */

import type { ModelAttention } from "../pattern/sets.ts";

/** What is loaded. */
export const LATE: { routed?: typeof import("./routed.ts") } = {};

/** Loads the layers that a model has; before a program of it is written. */
export async function loadLayers({ attention }: { readonly attention: ModelAttention }): Promise<void> {
  if (JSON.stringify(attention).includes('"routed"')) LATE.routed ??= await import("./routed.ts");
}
