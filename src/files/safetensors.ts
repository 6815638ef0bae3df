/**
 * The safetensors format, read: 8 bytes of header length (u64, little-endian), a JSON header of tensor names with type, shape
 * and byte range, then the numbers, little-endian, row-major.
 *
 * @module
 */

import { expect, shown } from "../base/check.ts";
import { CheckpointError, excerpt } from "../base/errors.ts";
import { fromHalves } from "../base/half.ts";
import { HEAD, parseJson, standIn } from "../base/json.ts";

/** Element types of the format that are accepted: those of whole bytes. */
export type SavedType =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "F8_E4M3"
  | "F8_E5M2"
  | "I64"
  | "I32"
  | "I16"
  | "I8"
  | "U64"
  | "U32"
  | "U16"
  | "U8"
  | "BOOL";

/** Bytes per element, by type. */
const BYTES: Readonly<Record<SavedType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
};

/** A tensor as a file holds it. */
export interface SavedTensor {
  /** Its name in the file. */
  readonly name: string;
  /** Its elements' type. */
  readonly dtype: SavedType;
  /** Sizes, outermost first; empty for a single number. */
  readonly shape: readonly number[];
  /** The elements: a view into the file's bytes, of any alignment. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What a file holds. */
export interface Safetensors {
  /** Tensors by name, in the order of their data. */
  readonly tensors: Map<string, SavedTensor>;
  /** The header's `__metadata__`. */
  readonly metadata: Map<string, string>;
  /** Tensors of types that are not read here, by name with their type: they lie beside the others and are left alone. */
  readonly unread: Map<string, string>;
}

/** What is met in place of weights, by its first bytes. */
const INSTEAD: readonly (readonly [string, string])[] = [
  ["PK\x03\x04", "a zip archive, as PyTorch saves; convert it first: safetensors.torch.save_file"],
  ["\x80\x02", "a Python pickle; convert it first: safetensors.torch.save_file"],
  ["GGUF", "GGUF; take the weights as safetensors"],
];

/** Says what a file is that is no safetensors, where that is known. */
function insteadOf(file: Uint8Array): string | undefined {
  const head = String.fromCharCode(...file.subarray(0, HEAD));
  return standIn(head) ?? INSTEAD.find(([begin]) => head.startsWith(begin))?.[1];
}

/** The reference implementation's own limit. */
const HEADER_LIMIT = 100_000_000;

/**
 * Reads a file strictly: header length within the file, valid UTF-8 and JSON, each name once, whole sizes, and byte ranges that cover the
 * data exactly, without overlap, gap or rest. What is of a type not known here is listed and no more.
 *
 * @param file the whole file; the tensors are views into it
 * @param name of the file, for messages
 * @throws {CheckpointError} saying what was found and what is allowed
 */
export function parseSafetensors(file: Uint8Array<ArrayBuffer>, name: string): Safetensors {
  expect("Cannot read tensors", { file: [file, "an array of bytes"], name: [name, "a string"] });
  const fail = (what: string): never => {
    throw new CheckpointError(`Cannot read ${name}: ${what}`);
  };
  // A header of 640 bytes begins as a pickle does.
  const instead = file[8] === 0x7b ? undefined : insteadOf(file);
  if (instead) fail(`it is ${instead}`);
  if (file.length < 8) fail(`a safetensors file begins with 8 bytes of header length, this one has ${file.length} bytes`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = view.getBigUint64(0, true), most = Math.min(HEADER_LIMIT, file.length - 8);
  if (length < 2n || length > BigInt(most)) {
    const cut = length >= 2n && length <= BigInt(HEADER_LIMIT) ? "; it was cut short, or is not a safetensors file" : "";
    fail(`its header length is ${length}, it must be from 2 to ${most} in a file of ${file.length} bytes${cut}`);
  }
  const start = 8 + Number(length), data = file.length - start;
  if (file[8] !== 0x7b) fail(`its header must begin with "{", found byte 0x${file[8].toString(16).padStart(2, "0")}`);
  let header: unknown;
  try {
    header = parseJson(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(file.subarray(8, start)));
  } catch (error) {
    fail(error instanceof SyntaxError ? `in its header, ${error.message}` : "its header is not valid UTF-8");
  }

  const metadata = new Map<string, string>(), unread = new Map<string, string>();
  const found: { begin: number; end: number; tensor: SavedTensor }[] = [];
  for (const [key, value] of Object.entries(header as Record<string, unknown>)) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      fail(`the header's entry ${excerpt(key)} must be an object, found ${shown(value)}`);
    }
    const fields = new Map<string, unknown>(Object.entries(value as Record<string, unknown>));
    if (key === "__metadata__") {
      for (const [field, text] of fields) {
        if (typeof text !== "string") fail(`its metadata ${excerpt(field)} must be a string, found ${shown(text)}`);
        metadata.set(field, text as string);
      }
      continue;
    }
    const wrong = (what: string): never => fail(`tensor ${excerpt(key)}: ${what}`);
    for (const field of fields.keys()) {
      if (!["dtype", "shape", "data_offsets"].includes(field)) {
        wrong(`unknown field ${excerpt(field)}, known are dtype, shape, data_offsets`);
      }
    }
    const dtype = fields.get("dtype"), shape = fields.get("shape"), offsets = fields.get("data_offsets");
    if (typeof dtype !== "string") return wrong(`dtype must be a string such as ${Object.keys(BYTES).join(", ")}, found ${shown(dtype)}`);
    if (!wholes(shape)) return wrong(`shape must be a list of whole numbers from 0, found ${shown(shape)}`);
    if (!wholes(offsets) || offsets.length !== 2 || offsets[0] > offsets[1] || offsets[1] > data) {
      return wrong(`data_offsets must be [begin, end] with begin ≤ end ≤ ${data}, the bytes of data there are; found ${shown(offsets)}`);
    }
    // Multiplied as big integers: sizes may each be in bounds and their product wrap around to a number that fits.
    const known = Object.hasOwn(BYTES, dtype), [begin, end] = offsets;
    const want = known ? shape.reduce((a, b) => a * BigInt(b), BigInt(BYTES[dtype as SavedType])) : undefined;
    if (!known) unread.set(key, dtype);
    else if (want !== BigInt(end - begin)) wrong(`${dtype} [${shape.join(", ")}] takes ${want} bytes, data_offsets give ${end - begin}`);
    found.push({ begin, end, tensor: { name: key, dtype: dtype as SavedType, shape, bytes: file.subarray(start + begin, start + end) } });
  }

  const tensors = new Map<string, SavedTensor>();
  let covered = 0;
  for (const { begin, end, tensor } of found.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== covered) {
      fail(
        `tensor ${excerpt(tensor.name)} begins at byte ${begin} of the data, ${begin < covered ? "inside" : "after a gap behind"} ` +
          `the one before it, which ends at ${covered}; tensors must follow one another`,
      );
    }
    covered = end;
    if (!unread.has(tensor.name)) tensors.set(tensor.name, tensor);
  }
  if (covered !== data) fail(`${data - covered} bytes follow the last tensor, there must be none`);
  return { tensors, metadata, unread };
}

/**
 * How long a file is, by its own header: 8 bytes, the header, and data up to the last offset.
 *
 * @param head the file's first bytes
 * @returns undefined where they end before the header does, or the header cannot be read
 */
export function safetensorsLength(head: Uint8Array<ArrayBuffer>): number | undefined {
  if (head.length < 8) return undefined;
  const length = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  if (length > BigInt(head.length - 8)) return undefined;
  const start = 8 + Number(length);
  try {
    const entries = Object.values(parseJson(new TextDecoder().decode(head.subarray(8, start))) as Record<string, unknown>);
    const ends = entries.map((entry) => (entry as { data_offsets?: number[] } | null)?.data_offsets?.[1]).filter(Number.isSafeInteger);
    return start + (ends as number[]).reduce((a, b) => Math.max(a, b), 0);
  } catch (error) {
    // What is wrong with it parseSafetensors will say, once all of it is there.
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}

function wholes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((x) => Number.isSafeInteger(x) && x >= 0);
}

type Class<T> = { new (buffer: ArrayBuffer, offset: number, length: number): T; readonly BYTES_PER_ELEMENT: number };

/** A view where the bytes are aligned, else a copy. Every runtime with WebAssembly that this runs in is little-endian. */
function elements<T>(tensor: SavedTensor, dtype: SavedType, array: Class<T>): T {
  if (tensor.dtype !== dtype) {
    throw new CheckpointError(`Cannot use tensor ${excerpt(tensor.name)}: its dtype must be ${dtype}, it is ${tensor.dtype}; convert it`);
  }
  const size = array.BYTES_PER_ELEMENT, bytes = tensor.bytes.byteOffset % size === 0 ? tensor.bytes : tensor.bytes.slice();
  return new array(bytes.buffer, bytes.byteOffset, bytes.byteLength / size);
}

/**
 * The elements of an F32 tensor, without a copy where the file's alignment allows, or those of an F16, BF16 or F64 tensor as f32: the first
 * two exactly, the last to the nearest.
 *
 * @throws {CheckpointError} where it has another dtype
 */
export function f32(tensor: SavedTensor): Float32Array<ArrayBuffer> {
  const { dtype } = tensor;
  if (dtype === "F16") return fromHalves(elements(tensor, dtype, Uint16Array<ArrayBuffer>));
  // The upper half of an f32.
  if (dtype === "BF16") {
    return new Float32Array(Uint32Array.from(elements(tensor, dtype, Uint16Array<ArrayBuffer>), (half) => half << 16).buffer);
  }
  if (dtype === "F64") return Float32Array.from(elements(tensor, dtype, Float64Array<ArrayBuffer>));
  return elements(tensor, "F32", Float32Array<ArrayBuffer>);
}

/**
 * The elements of a U32 tensor, without a copy where the file's alignment allows.
 *
 * @throws {CheckpointError} where it has another dtype
 */
export function u32(tensor: SavedTensor): Uint32Array<ArrayBuffer> {
  return elements(tensor, "U32", Uint32Array<ArrayBuffer>);
}

/**
 * The elements of a U8 tensor, without a copy.
 *
 * @throws {CheckpointError} where it has another dtype
 */
export function u8(tensor: SavedTensor): Uint8Array<ArrayBuffer> {
  return elements(tensor, "U8", Uint8Array<ArrayBuffer>);
}

/**
 * The elements of an I8 tensor, without a copy.
 *
 * @throws {CheckpointError} where it has another dtype
 */
export function i8(tensor: SavedTensor): Int8Array<ArrayBuffer> {
  return elements(tensor, "I8", Int8Array<ArrayBuffer>);
}
