/**
 * The one place that picks an engine. Engines are loaded only when picked.
 *
 * @module
 */

import { type Allowed, expect, mustBe } from "../base/check.ts";
import { BackendError, ConfigError } from "../base/errors.ts";
import { THREADS } from "../base/limits.ts";
import { findAdapter, type GpuSource } from "../engines/webgpu/device.ts";
import type { Engine } from "../ops/mod.ts";
import type { WebGpuEngine, WebGpuOptions } from "../engines/webgpu/engine.ts";

/** What a user may ask for. */
export type BackendName = "auto" | "webgpu" | "wasm" | "reference";

/** All of them, for messages and checks. */
export const BACKENDS: readonly BackendName[] = ["auto", "webgpu", "wasm", "reference"];

/** An engine, and why it was picked. */
export interface Picked<E extends Engine = Engine> {
  /** The engine; dispose of it when done. */
  readonly engine: E;
  /** For people: one sentence. */
  readonly why: string;
}

/** What an engine is made with. */
export interface PickOptions {
  /** Threads of the WASM engine; default all cores, where the platform shares memory between workers. */
  readonly threads?: number;
  /** Address of the file that they run, of the page's own origin; default `longstride.worker.js` beside the bundle. */
  readonly worker?: string | URL;
  /** A ready device for the WebGPU engine, which `auto` then picks. It stays the caller's and is never destroyed here. */
  readonly device?: GPUDevice;
  /**
   * Where the WebGPU engine's device comes from, which `auto` then picks: `runtime`, its `navigator.gpu`, or `dawn`, npm's package `webgpu`,
   * which is not installed with this one. By default the runtime, and Dawn where it has none, as Node.
   */
  readonly gpu?: GpuSource;
  /** Path or file URL of a `dawn.node`, for a machine without npm: it is taken in place of the package. */
  readonly dawnPath?: string | URL;
  /** What `tune` measured on the WebGPU device, or what to ask for it by its description. */
  readonly tuning?: WebGpuOptions["tuning"];
}

/** What the names and the number of threads may be. */
export const PICK_FIELDS: Readonly<Record<"backend" | "threads" | "gpu", Allowed>> = {
  backend: { oneOf: BACKENDS },
  threads: THREADS,
  gpu: { oneOf: ["runtime", "dawn"] satisfies GpuSource[] },
};

/**
 * Makes an engine. `auto` takes WebGPU where a hardware adapter answers, WASM otherwise: a software adapter is slower
 * than WASM (two-core llvmpipe trains at a small part of its rate).
 *
 * @param name which
 * @throws {ConfigError} where the name is none of {@linkcode BACKENDS}, or the tuning was measured on another device
 * @throws {BackendError} where WebGPU was asked for and is not there, or the device given cannot be used
 */
export async function pickBackend(name: "webgpu", options?: PickOptions): Promise<Picked<WebGpuEngine>>;
/**
 * Makes any of the engines.
 *
 * @throws {ConfigError} where the name is none of {@linkcode BACKENDS}, or the tuning was measured on another device
 * @throws {BackendError} where WebGPU was asked for and is not there, or the device given cannot be used
 */
export async function pickBackend(name?: BackendName, options?: PickOptions): Promise<Picked>;
export async function pickBackend(name: BackendName = "auto", options: PickOptions = {}): Promise<Picked> {
  expect("Cannot pick an engine", { name: [name, "a string"], options: [options, "an object"] });
  const { device, tuning, gpu, dawnPath } = options;
  if (gpu !== undefined) expect("Cannot pick an engine", { gpu: [gpu, PICK_FIELDS.gpu] });
  if (dawnPath !== undefined && !(dawnPath instanceof URL)) expect("Cannot pick an engine", { dawnPath: [dawnPath, "a string"] });
  switch (name === "auto" && gpu ? "webgpu" : name) {
    case "reference": {
      const { ReferenceEngine } = await import("../engines/reference/engine.ts");
      return { engine: new ReferenceEngine(), why: "the reference engine was asked for: exact and slow" };
    }
    case "wasm":
      return { engine: await wasm(options), why: "WASM was asked for" };
    case "webgpu": {
      const { WebGpuEngine } = await import("../engines/webgpu/engine.ts");
      return { engine: await WebGpuEngine.create({ device, gpu, dawnPath, tuning, allowSoftware: true }), why: "WebGPU was asked for" };
    }
    case "auto": {
      try {
        // Before the engine: a page without a GPU has no use for it, and need not load it.
        const adapter = device ? undefined : await findAdapter({ dawnPath });
        const { WebGpuEngine } = await import("../engines/webgpu/engine.ts");
        return { engine: await WebGpuEngine.create({ device, adapter, tuning }), why: "WebGPU has a hardware adapter" };
      } catch (error) {
        if (!(error instanceof BackendError) || device) throw error;
        return {
          engine: await wasm(options),
          why: `no hardware WebGPU: ${error.message.replace(/^Cannot use WebGPU: |; use [^;]*$/g, "")}`,
        };
      }
    }
    default:
      throw new ConfigError(`Cannot pick an engine: ${mustBe("it", PICK_FIELDS.backend, name)}`);
  }
}

async function wasm({ threads, worker }: PickOptions): Promise<Engine> {
  const { WasmEngine } = await import("../engines/wasm/engine.ts");
  return await WasmEngine.create({ threads, worker });
}
