/**
 * Which engines the tests run on: `LONGSTRIDE_ENGINES`, by default every one. An engine that cannot start is a
 * failure that says what to do, never a silent skip; where there is known to be no GPU, needs.ts leaves its tests out by name.
 *
 * @module
 */

import type { WebGpuOptions } from "../src/engines/webgpu/engine.ts";
import type { Engine } from "../src/ops/mod.ts";
import { needing } from "./needs.ts";

const reference = async () => new (await import("../src/engines/reference/engine.ts")).ReferenceEngine();
const wasm = async (threads?: number) => await (await import("../src/engines/wasm/engine.ts")).WasmEngine.create({ threads });
const webgpu = async (options: WebGpuOptions) =>
  await (await import("../src/engines/webgpu/engine.ts")).WebGpuEngine.create({ allowSoftware: true, ...options });

/** What `webgpu-split` is. */
export const SPLIT = { limits: "default", bindingBytes: 128 * 1024 } as const;

/**
 * Engines by the name tests print. `webgpu-default` is a device with no more than a browser's default limits, `webgpu-split` one
 * that binds no more than 128 KiB at once: many cases are beyond it. `webgpu-dawn`, of npm's webgpu or the dawn.node that LONGSTRIDE_DAWN
 * names, is tested where LONGSTRIDE_ENGINES asks for it. `webgpu-matrices` has the kernels of subgroup matrices on a device without.
 */
export const MAKE: Readonly<Record<string, () => Promise<Engine>>> = {
  "reference": reference,
  "wasm": () => wasm(),
  "wasm-1-thread": () => wasm(1),
  "webgpu": () => webgpu({ limits: "adapter" }),
  "webgpu-default": () => webgpu({ limits: "default" }),
  "webgpu-split": () => webgpu(SPLIT),
  "webgpu-matrices": () => webgpu({ matrices: "plain", inOrder: false }),
  "webgpu-dawn": () => webgpu({ gpu: "dawn", dawnPath: Deno.env.get("LONGSTRIDE_DAWN") }),
};

/** Names of the engines to test besides the oracle. */
export const ENGINES: readonly string[] = Deno.env.get("LONGSTRIDE_ENGINES")?.split(",") ?? ["wasm", "webgpu", "webgpu-default"];

/** A test that needs a GPU. */
export const gpuTest = (name: string, fn: () => Promise<void>) => needing(["gpu"], name, fn);

/** A test that runs on the engine of that name. */
export function engineTest(on: string, name: string, fn: () => Promise<void>): void {
  if (on.startsWith("webgpu")) gpuTest(name, fn);
  else Deno.test(name, fn);
}

const kept = new Map<string, Promise<Engine>>();

/** The engine of that name, made once per test file. */
export function engine(name: string): Promise<Engine> {
  let made = kept.get(name);
  if (!made) kept.set(name, made = MAKE[name]());
  return made;
}

/** Disposes every engine made: a hook after all tests of a file. */
export async function disposeEngines(): Promise<void> {
  for (const made of kept.values()) (await made).dispose();
  kept.clear();
}
