/**
 * The WASM kernels that work on layouts and data. The CPU engine has a binary of its own (src/engines/wasm/binary.ts), which a page without
 * that engine does not load.
 *
 * @module
 */

import { ConfigError } from "./errors.ts";
import type { KernelExports } from "./kernel_exports.gen.ts";
import { KERNELS } from "./kernels.gen.ts";

export type { KernelExports };

/** Bytes of a page of WebAssembly's memory, and pages that addresses of 32 bits reach: 4 GiB. */
export const PAGE = 65536, MOST_PAGES = 65536;

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

/** The module given to {@linkcode useKernels}, which has all kernels. */
export function givenKernels(): WebAssembly.Module | undefined {
  return given;
}

/** The bytes of a binary in the form that is shipped: by the platform's inflater, so that a page which samples loads none. */
export async function inflated(base64: string): Promise<Uint8Array<ArrayBuffer>> {
  const deflated = new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))]);
  return new Uint8Array(await new Response(deflated.stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
}

/** Instantiates the kernels over `memory`; they are compiled once. */
export async function instantiateKernels(memory: WebAssembly.Memory): Promise<KernelExports> {
  const module = given ?? await (compiled ??= inflated(KERNELS).then((bytes) => WebAssembly.compile(bytes)));
  return await instantiate(module, memory) as KernelExports;
}

/** The exports of a module of kernels over a memory. */
export async function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Promise<WebAssembly.Exports> {
  return (await WebAssembly.instantiate(module, { env: { memory, abort } })).exports;
}

/** AssemblyScript's `abort` import: with --noAssert only array bounds could call it, and kernels use none. */
function abort(_message: number, _file: number, line: number, column: number): never {
  throw new WebAssembly.RuntimeError(`kernels.wasm stopped at line ${line}:${column}`);
}
