/**
 * The operations contract: everything a Sparse Transformer's forward, backward and update need, as data.
 *
 * A {@linkcode Program} is a flat list of operations over {@linkcode Tensor}s. An {@linkcode Engine} compiles it
 * once (pipelines, bindings and the arena for scratch tensors are made then) and replays it. Recomputation,
 * gradient accumulation and micro-batches are choices of whoever writes the list; engines only execute it.
 *
 * An operation has a file here: its type, whose fields are documented, and its {@linkcode Descriptor}. What is the same for all of them goes
 * by that. Three engines implement this contract: `src/engines/reference` (float64, the oracle), `src/engines/wasm`, `src/engines/webgpu`.
 * All matrices are row-major. `rows` is batch · n, position fastest.
 *
 * @module
 */

export * from "./engine.ts";
export { headsOf, keyPositions } from "./heads.ts";
export * from "./index.gen.ts";
export type { Descriptor, Named, Operand, OptionField, TensorField } from "./operation.ts";
export * from "./program.ts";
export * from "./stream.ts";
export * from "./tensor.ts";
