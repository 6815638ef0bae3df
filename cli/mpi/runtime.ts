/**
 * What joining processes takes of Deno that Node has not.
 *
 * @module
 */

import { ConfigError } from "../../mod.ts";

/** An address; nobody looks into it. */
export type Pointer = { readonly address: unique symbol } | null;

/** A process that was begun. */
interface Child {
  readonly status: Promise<{ readonly code: number }>;
  kill(signal: string): void;
}

/** A program with its arguments. */
interface Command {
  output(): Promise<{ readonly success: boolean; readonly stderr: Uint8Array }>;
  spawn(): Child;
}

/** Those of Deno's names. */
export interface Runtime {
  readonly mainModule: string;
  readonly UnsafePointer: { create(address: bigint): Pointer; of(data: ArrayBufferView): Pointer; value(pointer: Pointer): bigint };
  readonly UnsafePointerView: { getArrayBuffer(pointer: Pointer, bytes: number): ArrayBuffer };
  readonly Command: new (program: string, options: { args: readonly string[]; env?: Record<string, string> }) => Command;
  dlopen(name: string, symbols: unknown): { readonly symbols: unknown };
  uid(): number | null;
}

/**
 * The runtime, if it is Deno.
 *
 * @throws {ConfigError} where it is not
 */
export function runtime(): Runtime {
  const { Deno } = globalThis as unknown as { Deno?: Runtime };
  if (!Deno?.dlopen) throw new ConfigError("Cannot train on MPI: Node calls no library of the system's; run this with Deno");
  return Deno;
}
