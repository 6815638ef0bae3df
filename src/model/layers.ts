/**
 * Loading the layers that few models have.
 *
 * @module
 */

import type { ModelAttention } from "../pattern/sets.ts";

/** Loads the layers that a model has; before a program of it is written. */
export async function loadLayers({ attention }: { readonly attention: ModelAttention }): Promise<void> {
  if (JSON.stringify(attention).includes('"routed"')) await import("./routed.ts");
}
