/**
 * Sums on a thread of their own. A GPU's buffers are read in ways that hold the thread which has the device; calls of MPI and what is done between
 * them would each wait for it, 10 ms at a time.
 *
 * @module
 */

import { BackendError } from "../../mod.ts";
import type { Wire } from "../../ops.ts";
import { runtime } from "./runtime.ts";

/** What the thread is asked: to sum what lies there. */
export interface Asked {
  readonly address: bigint;
  /** Numbers. */
  readonly length: number;
  /** Whether they are f32, or the bits of f16. */
  readonly isWide: boolean;
  readonly wire: Wire;
}

/** What it answers, in the order of what it was asked. */
export type Answer = { readonly milliseconds: number } | { readonly error: string };

/** The thread. */
export class Summer {
  readonly #worker = new Worker(new URL("./summer_worker.ts", import.meta.url), { type: "module", name: "sums over ranks" });
  /** Whoever waits; what is summed must not be collected before. */
  readonly #waiting: { resolve(milliseconds: number): void; reject(error: Error): void; readonly data: Float32Array | Uint16Array }[] = [];

  /** Starts it. */
  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const { resolve, reject } = this.#waiting.shift()!;
      if ("error" in data) reject(new BackendError(data.error));
      else resolve(data.milliseconds);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.#waiting.splice(0)) reject(new BackendError(`Cannot sum gradients: ${event.message}`));
    };
  }

  /** Sums an array over all ranks, in place, after those that were given before; answers how long that took. */
  sum(data: Float32Array | Uint16Array, wire: Wire): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject, data });
      const { UnsafePointer } = runtime(),
        asked: Asked = {
          address: UnsafePointer.value(UnsafePointer.of(data)),
          length: data.length,
          isWide: data instanceof Float32Array,
          wire,
        };
      this.#worker.postMessage(asked);
    });
  }

  /** Ends the thread. */
  end(): void {
    this.#worker.terminate();
  }
}
