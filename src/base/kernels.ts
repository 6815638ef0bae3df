/**
 * The WASM kernels: one binary for layouts, tokenization and the CPU engine.
 *
 * @module
 */

import { unzlibSync } from "npm:fflate@0.8.3";
import { ConfigError } from "./errors.ts";
import type { KernelExports } from "./kernel_exports.gen.ts";
import { KERNELS } from "./kernels.gen.ts";

export type { KernelExports };

let given: WebAssembly.Module | undefined;
let compiled: Promise<WebAssembly.Module> | undefined;

/**
 * Uses an already compiled module instead of compiling the bytes that this library carries, for runtimes that forbid it. In workerd:
 *
 *     import wasm from "@longstride/longstride/longstride.wasm";
 *     useKernels(wasm);
 *
 * The CPU engine then runs on one thread. Call it before anything else; without a module it takes that back.
 *
 * @param module of `longstride.wasm` (`asm/kernels.wasm`), of this library's own version
 * @throws {ConfigError} where it is no module
 */
export function useKernels(module?: WebAssembly.Module): void {
  if (module !== undefined && Object.prototype.toString.call(module) !== "[object WebAssembly.Module]") {
    throw new ConfigError("Cannot use the kernels: give a compiled WebAssembly.Module, or nothing");
  }
  given = module;
}

/** Whether a module was given. */
export function readyKernels(): boolean {
  return given !== undefined;
}

/** The bytes of `kernels.wasm` as shipped. */
export function kernelBytes(): Uint8Array<ArrayBuffer> {
  return unzlibSync(Uint8Array.from(atob(KERNELS), (c) => c.charCodeAt(0))) as Uint8Array<ArrayBuffer>;
}

/** The compiled module over unshared memory, compiled once. */
export async function kernelModule(): Promise<WebAssembly.Module> {
  return given ?? await (compiled ??= WebAssembly.compile(kernelBytes()));
}

/**
 * The same kernels compiled for shared memory. The two binaries differ in one byte, the flags of the memory import: 1 is
 * "has a maximum", 3 "and is shared". Kernels use no atomic instruction; threads synchronise in TypeScript.
 */
export function sharedKernelModule(): Promise<WebAssembly.Module> {
  return shared ??= WebAssembly.compile(sharedBytes(kernelBytes()));
}

let shared: Promise<WebAssembly.Module> | undefined;

function sharedBytes(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  // The import reads: length 6, "memory", kind 2 (a memory), flags.
  const entry = [6, ...new TextEncoder().encode("memory"), 2, 1];
  const at = bytes.findIndex((_, i) => entry.every((byte, k) => bytes[i + k] === byte));
  bytes[at + entry.length - 1] = 3;
  return bytes;
}

/** Instantiates the kernels over `memory`, from `module` if that is given. */
export async function instantiateKernels(memory: WebAssembly.Memory, module?: WebAssembly.Module): Promise<KernelExports> {
  const instance = await WebAssembly.instantiate(module ?? await kernelModule(), { env: { memory, abort } });
  return instance.exports as KernelExports;
}

/** AssemblyScript's `abort` import: with --noAssert only array bounds could call it, and kernels use none. */
function abort(_message: number, _file: number, line: number, column: number): never {
  throw new WebAssembly.RuntimeError(`kernels.wasm stopped at line ${line}:${column}`);
}
