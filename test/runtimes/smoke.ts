/**
 * What every runtime must do: train a small model a few steps and sample from it. The same file runs in Deno, in Node, in Bun, in
 * workerd, in a browser's page, on whatever build of the library it is given; on one engine all of them must give the same numbers.
 *
 * @module
 */

import type { BackendName, Model, ModelConfig, PickOptions, TextOptions } from "../../mod.ts";
import type { Engine } from "../../ops.ts";

/** The library: `mod.ts`, or the bundle. */
export type Library = typeof import("../../mod.ts");

/** What a run found. */
export interface Report {
  /** The engine's own description. */
  readonly engine: string;
  /** Bits/byte of each step. */
  readonly losses: number[];
  /** Sampled after the last step. */
  readonly text: string;
}

/** The model: fixed attention with heads of their own sub-blocks, so that both parts of a set and dropout take part. */
export const CONFIG: ModelConfig = {
  model_type: "sparse_transformer",
  n_ctx: 64,
  n_layer: 2,
  n_head: 2,
  d_model: 32,
  d_ff: 64,
  d_qk: 32,
  vocab_size: 256,
  dropout: 0.1,
  attention: { pattern: "fixed", stride: 16, c: 4, integration: "merged" },
  position: { kind: "attention", stride: 16 },
};

/** Trains on a repeated sentence. */
export async function trained(
  { checkTrain, encodeText, train }: Library,
  engine: Engine,
  steps: number,
): Promise<{ losses: number[]; weights: Model["weights"] }> {
  const data = encodeText("a sparse transformer attends to few. ".repeat(40)), losses: number[] = [];
  const constants = checkTrain({ steps, batch: 2, lr: 0.01, warmup: 2, seed: 1 });
  for await (const report of train({ engine, config: CONFIG, train: constants, data, reportSeconds: 0 })) {
    losses.push(report.loss);
    if (report.last) return { losses, weights: (await report.snapshot()).weights };
  }
  throw new Error("training ended without a last report");
}

/** Trains a few steps, then samples 24 bytes. */
export async function smoke(library: Library, backend: BackendName, steps = 12, options: PickOptions = {}): Promise<Report> {
  const { engine } = await library.pickBackend(backend, options), { description } = engine;
  const { losses, weights } = await trained(library, engine, steps);
  engine.dispose();
  const text = await sampled(library, weights, { prompt: "a sp", length: 24, seed: 3 }, backend, options);
  return { engine: description, losses, text };
}

/** The same on a device of the caller's own; tells as well whether the device is there to use afterwards. */
export async function smokeOnDevice(library: Library, steps: number): Promise<Report & { readonly isAlive: boolean }> {
  const device = await (await navigator.gpu.requestAdapter())!.requestDevice();
  let isAlive = true;
  device.lost.then(() => isAlive = false);
  const report = await smoke(library, "auto", steps, { device });
  const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(buffer, 0, Uint32Array.of(1, 2, 3, 4));
  await buffer.mapAsync(GPUMapMode.READ);
  isAlive &&= new Uint32Array(buffer.getMappedRange())[3] === 4;
  device.destroy();
  return { ...report, isAlive };
}

/** The text that these weights write. */
export async function sampled(
  { openModel }: Library,
  weights: Model["weights"],
  options: TextOptions,
  backend: BackendName,
  engine: PickOptions = {},
): Promise<string> {
  const model = await openModel({ config: CONFIG, weights }, { backend, ...engine });
  let text = "";
  for await (const piece of model.text(options)) text += piece;
  model.dispose();
  return text;
}
