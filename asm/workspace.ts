// Each thread has its own instance, so these globals are the thread's own.

import { CONSTANTS, setConstants } from "./lib/math";

// Address of memory that only this thread uses: 64 bytes for random words, constants, then as much as the hungriest call
// asks for.
let at: usize = 0;

// Bytes of it that are not the calls'.
export const RESERVED: usize = 64 + CONSTANTS;

// The engine calls this before a thread's first unit and whenever the workspace has moved.
export function setWorkspace(address: usize): void {
  at = address;
  setConstants(address + 64);
}

// @ts-ignore: decorator
@inline
export function words(): usize {
  return at;
}

// @ts-ignore: decorator
@inline
export function workspace(): usize {
  return at + RESERVED;
}
