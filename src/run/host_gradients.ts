/**
 * Gradients on their way between an engine and the memory from which they are sent.
 *
 * @module
 */

import { type Engine, size, type Tensor } from "../ops/mod.ts";

/** A training step's gradients, in buckets. */
export interface HostGradients {
  /** Whether a bucket may be put back while later parts of the step are under way. */
  readonly eager: boolean;
  /** Begins to copy a bucket: to be called as soon as the part of the step that makes it is begun. */
  copy(bucket: number): void;
  /** A bucket's gradients, once they are copied, as f32 or as the bits of f16. */
  take(bucket: number): Promise<Float32Array | Uint16Array>;
  /** Puts back what `take` gave, as changed since; it is not to be used any more. */
  put(bucket: number): void | Promise<void>;
  /** Frees what this made; the tensors must be free already. */
  dispose(): void;
}

/** Those of an engine whose tensors are read and written. */
export class ReadGradients implements HostGradients {
  readonly eager = false;
  readonly #data: readonly Float32Array[];

  /** Allocates them on the engine. */
  constructor(private readonly engine: Engine, private readonly buckets: readonly (readonly Tensor[])[]) {
    engine.allocate(buckets.flat());
    this.#data = buckets.map((bucket) => new Float32Array(bucket.reduce((sum, t) => sum + size(t), 0)));
  }

  copy(): void {}

  async take(bucket: number): Promise<Float32Array> {
    const data = this.#data[bucket];
    let at = 0;
    for (const t of this.buckets[bucket]) {
      data.set(await this.engine.read(t), at);
      at += size(t);
    }
    return data;
  }

  put(bucket: number): void {
    const data = this.#data[bucket];
    let at = 0;
    for (const t of this.buckets[bucket]) this.engine.write(t, data.subarray(at, at += size(t)));
  }

  dispose(): void {}
}
