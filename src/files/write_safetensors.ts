/**
 * The safetensors format, written; safetensors.ts says what it is.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { excerpt, ShapeError } from "../base/errors.ts";
import type { SavedType } from "./safetensors.ts";

/** A tensor to be saved; its type is that of the array. */
export interface TensorToSave {
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** Elements, row-major; a Uint16Array holds the bits of f16 numbers. */
  readonly data: Float64Array | Float32Array | Uint32Array | Uint16Array | Uint8Array | Int8Array;
}

function typeOf(data: TensorToSave["data"]): SavedType {
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Uint16Array) return "F16";
  if (data instanceof Int8Array) return "I8";
  return data instanceof Uint32Array ? "U32" : "U8";
}

/**
 * A file in pieces, to be written one after another: the header, then each tensor's own bytes, not copied. The same
 * tensors and metadata make the same bytes whatever the order of the maps: wide types first, then by name, so that
 * every tensor is aligned to its type; the header is padded with spaces to a multiple of 8 bytes.
 *
 * @throws {ShapeError} where an array's length is not that of its shape, or a tensor is called `__metadata__`
 */
export function* safetensorsChunks(
  tensors: ReadonlyMap<string, TensorToSave>,
  metadata: Record<string, string> = {},
): Iterable<Uint8Array> {
  expect("Cannot save tensors", { tensors: [tensors, "a Map"] });
  for (const [name, tensor] of tensors) {
    expect(`Cannot save tensor ${excerpt(name)}`, {
      tensor: [tensor, "an object"],
      shape: [tensor?.shape, "a list"],
      data: [tensor?.data, "a typed array"],
    });
    for (const size of tensor.shape) expect(`Cannot save tensor ${excerpt(name)}`, { size: [size, [0, MOST]] });
  }
  const order = [...tensors].sort(([a, x], [b, y]) => y.data.BYTES_PER_ELEMENT - x.data.BYTES_PER_ELEMENT || (a < b ? -1 : 1));
  const entries: [string, unknown][] = Object.keys(metadata).length > 0 ? [["__metadata__", metadata]] : [];
  let end = 0;
  for (const [name, { shape, data }] of order) {
    if (name === "__metadata__") throw new ShapeError(`Cannot save a tensor called __metadata__: the format keeps that name for itself`);
    const count = shape.reduce((a, b) => a * b, 1);
    if (data.length !== count) {
      throw new ShapeError(
        `Cannot save tensor ${excerpt(name)}: shape [${shape.join(", ")}] has ${count} elements, the array ${data.length}`,
      );
    }
    entries.push([name, { dtype: typeOf(data), shape, data_offsets: [end, end += data.byteLength] }]);
  }
  // Joined by hand: an object would move names such as "0" to the front and lose "__proto__".
  const json = new TextEncoder().encode(`{${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")}}`);
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  yield header;
  for (const [, { data }] of order) yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
