/**
 * Where tensors live: persistent ones in pages, one or more an `allocate` call, or in a caller's buffers; scratch ones in slots shared by
 * lifetime.
 *
 * @module
 */

import { ShapeError } from "../../base/errors.ts";
import type { Tensor } from "../../ops/mod.ts";
import type { Bands } from "./bands.ts";
import { USAGE } from "./flags.ts";
import type { Place } from "./plan/plan.ts";
import { ALIGNMENT, paddedBytes, storedBytes } from "./storage.ts";

/** Makes a storage buffer; what goes wrong is caught by the error scopes around it. */
export function storageBuffer(device: GPUDevice, label: string, bytes: number): GPUBuffer {
  return device.createBuffer({ label, size: bytes, usage: USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST });
}

/** Frees what is on a device; one that is lost or broken has nothing to free, and may say so by an exception. */
export function release(...made: readonly { destroy(): void }[]): void {
  for (const one of made) {
    try {
      one.destroy();
    } catch { /* The failure that led here is the one to tell. */ }
  }
}

const placed = (what: string, { name }: Tensor) => new ShapeError(`Cannot ${what} ${name}: it already has a place; free it first`);

interface Page {
  buffer: GPUBuffer;
  tensors: number;
}

/** Persistent tensors. */
export class Pages {
  /** Those in a caller's buffer have no page. */
  readonly #places = new Map<Tensor, Place & { page?: Page }>();

  constructor(readonly device: GPUDevice, readonly bands: Bands) {}

  /** Bytes in all pages. */
  bytes = 0;

  /** Whether any tensor ever lay in a caller's buffer. */
  adopted = false;

  /** Place of a tensor, undefined where it has none. */
  place(t: Tensor): Place | undefined {
    return this.#places.get(t);
  }

  /** Lays tensors, or their bands, out one after the other, in as many pages as the largest buffer makes necessary: all or none. */
  allocate(given: readonly Tensor[]): void {
    const tensors = this.bands.flat(given);
    for (const t of tensors) {
      if (this.#places.has(t)) throw placed("allocate", t);
      if (t.scratch) throw new ShapeError(`Cannot allocate ${t.name}: it is a scratch tensor of a program, which compile places`);
    }
    try {
      this.#place(tensors);
    } catch (error) {
      this.free(given);
      throw error;
    }
  }

  #place(tensors: readonly Tensor[]): void {
    const { limits } = this.device;
    for (let first = 0; first < tensors.length;) {
      let end = first, bytes = 0;
      while (end < tensors.length && (end === first || bytes + paddedBytes(tensors[end]) <= limits.maxBufferSize)) {
        bytes += paddedBytes(tensors[end++]);
      }
      const page: Page = {
        buffer: storageBuffer(this.device, `page of ${tensors[first].name}`, Math.max(ALIGNMENT, bytes)),
        tensors: end - first,
      };
      this.bytes += page.buffer.size;
      for (let offset = 0; first < end; first++) {
        this.#places.set(tensors[first], { buffer: page.buffer, offset, page });
        offset += paddedBytes(tensors[first]);
      }
    }
  }

  /** Lays a tensor, or its bands one after the other, into a caller's buffer from `offset` on; again, where it lies in one. */
  adopt(t: Tensor, buffer: GPUBuffer, offset: number): void {
    const bands = this.bands.flat([t]);
    if (bands.some((band) => this.#places.get(band)?.page)) throw placed("adopt a buffer for", t);
    this.adopted = true;
    // Each but the last holds a multiple of the alignment.
    for (const band of bands) {
      this.#places.set(band, { buffer, offset });
      offset += storedBytes(band);
    }
  }

  /** Forgets tensors; a page goes with its last. */
  free(tensors: readonly Tensor[]): void {
    for (const t of this.bands.flat(tensors)) {
      const place = this.#places.get(t);
      if (!place) continue;
      this.#places.delete(t);
      if (place.page && --place.page.tensors === 0) {
        this.bytes -= place.buffer.size;
        release(place.buffer);
      }
    }
  }

  /** Destroys every page. */
  dispose(): void {
    this.free([...this.#places.keys()]);
  }
}

/**
 * Which tensors can share memory: greedy by size, each into the first slot whose tensors live at other times.
 *
 * @param lives first and last operation of each tensor
 * @returns slot of each tensor, and bytes of each slot
 */
export function planSlots(lives: ReadonlyMap<Tensor, readonly [number, number]>): { slots: Map<Tensor, number>; bytes: number[] } {
  const slots = new Map<Tensor, number>(), bytes: number[] = [], taken: (readonly [number, number])[][] = [];
  for (const [t, life] of [...lives].sort(([a], [b]) => storedBytes(b) - storedBytes(a))) {
    let slot = taken.findIndex((others) => others.every(([first, last]) => last < life[0] || life[1] < first));
    if (slot < 0) {
      slot = taken.push([]) - 1;
      bytes.push(Math.max(ALIGNMENT, paddedBytes(t)));
    }
    taken[slot].push(life);
    slots.set(t, slot);
  }
  return { slots, bytes };
}
