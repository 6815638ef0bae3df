/**
 * Which engines the tests run on: `LONGSTRIDE_ENGINES`, by default every one. An engine that cannot start is a
 * failure that says what to do, never a silent skip.
 *
 * @module
 */

import type { Engine } from "../src/ops.ts";
import { ReferenceEngine } from "../src/reference/engine.ts";
import { WasmEngine } from "../src/wasm/engine.ts";
import { WebGpuEngine } from "../src/webgpu/engine.ts";

/** Engines by the name tests print. `webgpu-default` is a device with no more than a browser's default limits. */
export const MAKE: Readonly<Record<string, () => Promise<Engine>>> = {
  "reference": () => Promise.resolve(new ReferenceEngine()),
  "wasm": () => WasmEngine.create(),
  "wasm-1-thread": () => WasmEngine.create({ threads: 1 }),
  "webgpu": () => WebGpuEngine.create({ allowSoftware: true }),
  "webgpu-default": () => WebGpuEngine.create({ allowSoftware: true, limits: "default" }),
};

/** Names of the engines to test besides the oracle. */
export const ENGINES: readonly string[] = Deno.env.get("LONGSTRIDE_ENGINES")?.split(",") ?? ["wasm", "webgpu", "webgpu-default"];

const kept = new Map<string, Promise<Engine>>();

/** The engine of that name, made once a test file. */
export function engine(name: string): Promise<Engine> {
  let made = kept.get(name);
  if (!made) kept.set(name, made = MAKE[name]());
  return made;
}

/** Disposes every engine made: the last test of a file. */
export async function disposeEngines(): Promise<void> {
  for (const made of kept.values()) (await made).dispose();
  kept.clear();
}
