/**
 * Numbers on their way to the device and back.
 *
 * @module
 */

import { ConfigError, ShapeError } from "../../base/errors.ts";
import { fromHalves, toHalves } from "../../base/half.ts";
import { extent, size, type Tensor, type TensorData } from "../../ops/mod.ts";
import type { Bands } from "./bands.ts";
import type { Failures } from "./failures.ts";
import { MAP, USAGE } from "./flags.ts";
import { type Pages, release } from "./memory.ts";
import type { Place } from "./plan/plan.ts";
import { elementBytes, isPacked, roundUp, rowsOf } from "./storage.ts";

/** The bytes that the device keeps. */
function stored(t: Tensor, data: TensorData): Uint32Array | Uint16Array | Float32Array | Int8Array {
  if (t.dtype === "i8") {
    // Whole words are written.
    const bytes = new Int8Array(roundUp(data.length, 4));
    bytes.set(data);
    return bytes;
  }
  if (t.dtype === "u32") return data instanceof Uint32Array ? data : new Uint32Array(data);
  if (isPacked(t)) return toHalves(data);
  return data instanceof Float32Array ? data : new Float32Array(data);
}

/** The numbers in bytes that the device kept. */
function loaded(t: Tensor, bytes: ArrayBuffer): TensorData {
  if (t.dtype === "u32") return new Uint32Array(bytes);
  if (t.dtype === "i8") return new Int8Array(bytes, 0, size(t));
  return isPacked(t) ? fromHalves(new Uint16Array(bytes)) : new Float32Array(bytes);
}

/** Where some of a tensor's elements lie. */
interface Segment extends Place {
  readonly first: number;
  readonly count: number;
}

/** A part of a buffer, and where its bytes go among those wanted. */
interface Piece extends Place {
  readonly bytes: number;
  readonly at: number;
}

/** Refuses a caller's buffer that was not made for copies; the engine's own are. */
function expectUsage(what: string, t: Tensor, places: readonly Place[], usage: "COPY_SRC" | "COPY_DST"): void {
  if (places.every(({ buffer }) => buffer.usage & USAGE[usage])) return;
  throw new ConfigError(`Cannot ${what} ${t.name}: the caller's buffer that it lies in was made without usage ${usage}`);
}

/** What is written to one engine's tensors, and read from them. */
export class Transfers {
  constructor(readonly device: GPUDevice, readonly bands: Bands, readonly pages: Pages, readonly failures: Failures) {}

  /**
   * A tensor's place.
   *
   * @throws {ShapeError} where it has none
   */
  placed(t: Tensor, what: string): Place {
    const place = this.pages.place(t);
    if (!place) throw new ShapeError(`Cannot ${what} ${t.name}: it is not allocated on this engine`);
    return place;
  }

  /** A tensor's places in order, with the elements that each holds: of all bands, or the one. */
  segments(t: Tensor, what: string): Segment[] {
    const { width } = rowsOf(t), blocks = this.bands.of(t) ?? [{ tensor: t, first: 0, rows: rowsOf(t).rows }];
    return blocks.map(({ tensor, first, rows }) => {
      const { buffer, offset } = this.placed(tensor, what);
      return { buffer, offset, first: first * width, count: rows * width };
    });
  }

  /** `Engine.write` */
  write(t: Tensor, data: TensorData): void {
    // Where not even its place could be made, the next run tells.
    if (this.failures.kept && !this.bands.flat([t]).every((one) => this.pages.place(one))) return;
    const segments = this.segments(t, "write");
    // Also what a detached array looks like: writeBuffer would end the process.
    if (data.length !== size(t)) {
      throw new ShapeError(`Cannot write ${t.name} [${t.shape.join(", ")}]: it has ${size(t)} elements, got ${data.length}`);
    }
    expectUsage("write", t, segments, "COPY_DST");
    this.failures.later(`writing ${t.name}`, () => {
      for (const { buffer, offset, first, count } of segments) {
        const some = segments.length > 1 ? data.subarray(first, first + count) : data;
        if (count > 0) this.device.queue.writeBuffer(buffer, offset, stored(t, some) as Float32Array<ArrayBuffer>);
      }
    });
  }

  /** `Engine.read` */
  read(t: Tensor, range?: readonly [number, number]): Promise<TensorData> {
    return this.failures.guard(`Cannot read ${t.name}`, async () => {
      const { first, count } = extent(t, range), width = elementBytes(t);
      // Words are copied, so of bytes all are.
      if (range && width === 1) return (await this.read(t)).subarray(first, first + count);
      const pieces = this.segments(t, "read").flatMap((segment): Piece[] => {
        const from = Math.max(first, segment.first), to = Math.min(first + count, segment.first + segment.count);
        if (from >= to) return [];
        const offset = segment.offset + (from - segment.first) * width;
        return [{ buffer: segment.buffer, offset, bytes: roundUp((to - from) * width, 4), at: (from - first) * width }];
      });
      expectUsage("read", t, pieces, "COPY_SRC");
      return loaded(t, pieces.length ? await this.#copy(t, pieces, roundUp(count * width, 4)) : new ArrayBuffer(0));
    });
  }

  /** The bytes of some pieces, in one array. */
  async #copy(t: Tensor, pieces: readonly Piece[], bytes: number): Promise<ArrayBuffer> {
    const { device, failures } = this, copies: GPUBuffer[] = [];
    let verdict: Promise<unknown> | undefined;
    try {
      [, verdict] = failures.scoped(`reading ${t.name}`, () => {
        const encoder = device.createCommandEncoder();
        for (const { buffer, offset, bytes } of pieces) {
          const copy = device.createBuffer({ label: `copy of ${t.name}`, size: bytes, usage: USAGE.MAP_READ | USAGE.COPY_DST });
          copies.push(copy);
          encoder.copyBufferToBuffer(buffer, offset, copy, 0, bytes);
        }
        device.queue.submit([encoder.finish()]);
      });
      await Promise.all(copies.map(async (copy) => await copy.mapAsync(MAP.READ)));
      await verdict;
      failures.check();
      if (copies.length === 1) return copies[0].getMappedRange().slice(0);
      const all = new Uint8Array(bytes);
      copies.forEach((copy, i) => all.set(new Uint8Array(copy.getMappedRange()), pieces[i].at));
      return all.buffer;
    } catch (error) {
      // What the scopes caught says more than the call that followed from it.
      await verdict;
      failures.check();
      throw error;
    } finally {
      release(...copies);
    }
  }
}
