/**
 * Error scopes that stay in balance whatever a device does, and what it throws.
 *
 * @module
 */

import { KernelError } from "../../base/errors.ts";

/** The message of whatever was thrown. */
export const saying = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause);

/** Makes a call whose error names the kernel that it was for. */
export function naming<T>(what: string, kernel: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw new KernelError(`${what}: kernel ${kernel}: ${saying(cause)}`, { cause });
  }
}

/**
 * Runs `make` inside error scopes. A device that is lost or broken may throw at any call, and reject what it promised: each scope that
 * was opened is closed once, and no promise is left whose rejection nobody hears.
 *
 * @param filters outermost first
 * @returns what was made, and each scope's error or null, innermost first
 */
export function scoped<T>(device: GPUDevice, filters: readonly GPUErrorFilter[], make: () => T): [T, Promise<(GPUError | null)[]>] {
  const verdicts: Promise<GPUError | null>[] = [];
  let open = 0;
  const close = () => {
    open--;
    const verdict = device.popErrorScope();
    verdicts.push(verdict);
    verdict.catch(() => {});
  };
  try {
    for (const filter of filters) {
      device.pushErrorScope(filter);
      open++;
    }
    const made = make();
    while (open > 0) close();
    const all = Promise.all(verdicts);
    all.catch(() => {});
    return [made, all];
  } catch (error) {
    while (open > 0) {
      try {
        close();
      } catch { /* The failure that led here is the one to tell. */ }
    }
    throw error;
  }
}
