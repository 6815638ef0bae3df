/**
 * The CPU engine's kernels, compiled.
 *
 * @module
 */

import { givenKernels, inflated } from "../../base/kernels.ts";
import { KERNELS } from "./kernels_binary.gen.ts";

let own: Promise<WebAssembly.Module> | undefined, shared: Promise<WebAssembly.Module> | undefined;

/** The bytes of the binary. */
export function kernelBytes(): Promise<Uint8Array<ArrayBuffer>> {
  return inflated(KERNELS);
}

/** The kernels over memory of one thread, compiled once; or the module that was given instead. */
export async function engineModule(): Promise<WebAssembly.Module> {
  return givenKernels() ?? await (own ??= kernelBytes().then((bytes) => WebAssembly.compile(bytes)));
}

/**
 * The same kernels compiled for shared memory. The two binaries differ in one byte, the flags of the memory import: 1 is
 * "has a maximum", 3 "and is shared". Kernels use no atomic instruction; threads synchronise in TypeScript.
 */
export function sharedModule(): Promise<WebAssembly.Module> {
  return shared ??= kernelBytes().then((bytes) => WebAssembly.compile(sharedBytes(bytes)));
}

function sharedBytes(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  // The import reads: length 6, "memory", kind 2 (a memory), flags.
  const entry = [6, ...new TextEncoder().encode("memory"), 2, 1];
  const at = bytes.findIndex((_, i) => entry.every((byte, k) => bytes[i + k] === byte));
  bytes[at + entry.length - 1] = 3;
  return bytes;
}
