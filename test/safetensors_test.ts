/**
 * The file format.
 *
 * Plan. Round trips and files of others; then every way a header can lie, cut off at every byte and with every byte of it changed.
 */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { f32, parseSafetensors, u32, u8 } from "../src/files/safetensors.ts";
import { safetensorsChunks, type TensorToSave } from "../src/files/write_safetensors.ts";
import { CheckpointError, ShapeError } from "../src/base/errors.ts";

function file(chunks: Iterable<Uint8Array>, offset = 0): Uint8Array<ArrayBuffer> {
  const parts = [...chunks], bytes = new Uint8Array(offset + parts.reduce((a, b) => a + b.length, 0));
  let at = offset;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes.subarray(offset);
}

/** A file with this header text and that many bytes of data. */
function lying(header: string | Uint8Array, data: number, length?: bigint): Uint8Array<ArrayBuffer> {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header, prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  return file([prefix, text, new Uint8Array(data)]);
}

const two = new Map<string, TensorToSave>([
  ["b", { shape: [2], data: new Uint8Array([7, 8]) }],
  ["10", { shape: [], data: new Float32Array([Math.PI]) }],
  ["a", { shape: [2, 2], data: new Float32Array([1, -0, NaN, 1e-40]) }],
  ["__proto__", { shape: [1], data: new Uint32Array([0xfffffffe]) }],
  ["constructor", { shape: [3, 0], data: new Float64Array(0) }],
]);

Deno.test("safetensors: what is written is read back, at any alignment", () => {
  for (const offset of [0, 1, 2, 4]) {
    const { tensors, metadata } = parseSafetensors(file(safetensorsChunks(two, { step: "3", __proto__x: "é" }), offset), "t");
    assertEquals([...tensors.keys()], ["constructor", "10", "__proto__", "a", "b"]);
    assertEquals(f32(tensors.get("a")!), two.get("a")!.data as Float32Array<ArrayBuffer>);
    assertEquals(f32(tensors.get("10")!), new Float32Array([Math.PI]));
    assertEquals(u32(tensors.get("__proto__")!), new Uint32Array([0xfffffffe]));
    assertEquals(u8(tensors.get("b")!), new Uint8Array([7, 8]));
    assertEquals(tensors.get("constructor")!.shape, [3, 0]);
    assertEquals([...metadata], [["step", "3"], ["__proto__x", "é"]]);
    assertEquals(({} as Record<string, unknown>).dtype, undefined);
  }
});

Deno.test("safetensors: the order of the map does not matter, the header is padded, data is not copied", () => {
  const chunks = [...safetensorsChunks(two)];
  assertEquals(file(chunks), file(safetensorsChunks(new Map([...two].reverse()))));
  assertEquals(chunks[0].length % 8, 0);
  assertStringIncludes(new TextDecoder().decode(chunks[0].subarray(8)), "}");
  assert(chunks.some((chunk) => chunk.buffer === two.get("a")!.data.buffer));
  assertEquals(parseSafetensors(file(safetensorsChunks(new Map())), "t").tensors.size, 0);
});

Deno.test("safetensors: other types, metadata first, padding behind", () => {
  const header = '{"__metadata__":{"k":"v"},"y":{"dtype":"I64","shape":[1,1],"data_offsets":[0,8]},' +
    '"x":{"dtype":"F32","shape":[3],"data_offsets":[8,20]}}    ';
  const bytes = lying(header, 20);
  bytes.set(new Uint8Array(new Float32Array([0, 1, 2]).buffer), bytes.length - 12);
  const { tensors, metadata } = parseSafetensors(bytes, "t");
  assertEquals(f32(tensors.get("x")!), new Float32Array([0, 1, 2]));
  assertEquals(tensors.get("y")!.dtype, "I64");
  assertEquals(metadata.get("k"), "v");
});

Deno.test("safetensors: a header that lies is refused, with what was found and what is allowed", () => {
  const refuse = (bytes: Uint8Array<ArrayBuffer>, includes: string) => {
    const error = assertThrows(() => parseSafetensors(bytes, "m.safetensors"), CheckpointError, includes);
    assertStringIncludes(error.message, "m.safetensors");
  };
  const x = (dtype: string, shape: string, offsets: string) => `{"x":{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}}`;
  refuse(new Uint8Array(0), "this one has 0 bytes");
  refuse(new Uint8Array(7), "this one has 7 bytes");
  refuse(new Uint8Array(100), "header length is 0, it must be from 2 to 92");
  refuse(lying("{}", 0, 3n), "header length is 3, it must be from 2 to 2");
  refuse(lying("{}", 0, 2n ** 64n - 1n), "header length is 18446744073709551615");
  refuse(lying("{}", 0, 100_000_001n), "header length is 100000001");
  refuse(lying("[]", 0), 'must begin with "{"');
  refuse(lying(" {}", 0), 'must begin with "{"');
  refuse(lying("{x}", 0), "not valid JSON");
  refuse(lying("{}}", 0), "not valid JSON");
  refuse(lying('{"x', 0), "not valid JSON");
  refuse(lying('{"\\', 0), "not valid JSON");
  refuse(lying(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]), 0), "not valid UTF-8");
  refuse(lying('{"x":1}', 0), 'entry "x" must be an object, found 1');
  refuse(lying('{"x":null}', 0), "must be an object");
  refuse(lying('{"x":[]}', 0), "must be an object");
  refuse(lying('{"__metadata__":{"a":1}}', 0), "must be a string");
  refuse(lying(`{"x":${"[".repeat(100_000)}`, 0), "nests deeper than 32 levels");
  const entry = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}';
  refuse(lying(`{"x":${entry},"x":${entry}}`, 1), '"x" twice');
  refuse(lying(`{"x":${entry},"\\u0078":${entry}}`, 1), '"x" twice');
  refuse(lying('{"x":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,1]}}', 1), '"dtype" twice');
  refuse(lying('{"__metadata__":{"a":"1","a":"2"}}', 0), '"a" twice');
  refuse(lying(`{"__proto__":${entry},"__proto__":${entry}}`, 1), '"__proto__" twice');
  refuse(lying('{"x":{"dtype":"U8","shape":[1]}}', 1), "found nothing");
  refuse(lying('{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":1}}', 1), 'unknown field "more"');
  for (const dtype of ["1", "null", "[]", "{}"]) refuse(lying(x(dtype, "[1]", "[0,4]"), 4), "dtype must be a string such as F64, F32");
  for (const shape of ["[-1]", "[1.5]", '["1"]', "[1e300]", "1", "{}", "[[1]]", "null"]) {
    refuse(lying(x('"F32"', shape, "[0,4]"), 4), "shape must be");
  }
  for (const offsets of ["[0]", "[0,4,4]", "[4,0]", "[-4,0]", "[0,8]", "[0.5,4.5]", '"04"', "[0,1e30]"]) {
    refuse(lying(x('"F32"', "[1]", offsets), 4), "data_offsets must be");
  }
  refuse(lying(x('"F32"', "[2]", "[0,4]"), 4), "takes 8 bytes, data_offsets give 4");
  // 2³² · 2³² wraps to 0 in 64 bits.
  refuse(lying(x('"F32"', "[4294967296,4294967296]", "[0,0]"), 0), "takes 73786976294838206464 bytes");
  refuse(lying(x('"U8"', `[${Array(20).fill(9007199254740991)}]`, "[0,0]"), 0), "data_offsets give 0");
  const pair = (a: string, b: string) =>
    `{"a":{"dtype":"U8","shape":[2],"data_offsets":${a}},"b":{"dtype":"U8","shape":[2],"data_offsets":${b}}}`;
  refuse(lying(pair("[0,2]", "[1,3]"), 4), 'tensor "b" begins at byte 1 of the data, inside');
  refuse(lying(pair("[0,2]", "[0,2]"), 2), "inside");
  refuse(lying(pair("[3,5]", "[0,2]"), 5), 'tensor "a" begins at byte 3 of the data, after a gap');
  refuse(lying(pair("[0,2]", "[2,4]"), 5), "1 bytes follow the last tensor");
  refuse(lying("{}", 1), "1 bytes follow the last tensor");
});

Deno.test("safetensors: tensors of unknown types are listed, in their place, whatever their size", () => {
  const entry = (dtype: string, shape: string, from: number, to: number) =>
    `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${from},${to}]}`;
  for (const dtype of ["F4", "F8_E8M0", "F31", "f32", "constructor", "__proto__", ""]) {
    const bytes = lying(`{"a":${entry("U8", "[2]", 0, 2)},"q":${entry(dtype, "[9,9]", 2, 7)},"b":${entry("U8", "[1]", 7, 8)}}`, 8);
    const { tensors, unread } = parseSafetensors(bytes, "t");
    assertEquals([[...tensors.keys()], [...unread]], [["a", "b"], [["q", dtype]]]);
    // They take part in covering the data.
    assertThrows(() => parseSafetensors(lying(`{"q":${entry(dtype, "[9]", 1, 7)}}`, 7), "t"), CheckpointError, "after a gap");
  }
});

Deno.test("safetensors: BF16 is exact, F64 goes to the nearest f32", () => {
  const bits = Uint16Array.of(0x3f80, 0xbf80, 0, 0x8000, 0x7f80, 0xff80, 0x7fc0, 1, 0x4049, 0x7f7f);
  const from = (dtype: string, data: ArrayBuffer, count: number, pad: number) => {
    const bytes = lying(
      `{"x":{"dtype":"${dtype}","shape":[${count}],"data_offsets":[0,${data.byteLength}]}}${" ".repeat(pad)}`,
      data.byteLength,
    );
    bytes.set(new Uint8Array(data), bytes.length - data.byteLength);
    return f32(parseSafetensors(bytes, "t").tensors.get("x")!);
  };
  // At any alignment.
  for (const pad of [0, 1, 2, 3, 4]) {
    assertEquals([...from("BF16", bits.buffer, 10, pad)], [1, -1, 0, -0, Infinity, -Infinity, NaN, 2 ** -133, 3.140625, 255 * 2 ** 120]);
    const doubles = Float64Array.of(Math.PI, 1e-50, -1e300, 1 + 2 ** -30, NaN);
    assertEquals(from("F64", doubles.buffer, 5, pad), Float32Array.from(doubles));
  }
});

Deno.test("safetensors: what stands in a file's place is named, with what to do", () => {
  const read = (text: string) => () => parseSafetensors(Uint8Array.from(text.padEnd(9), (c) => c.charCodeAt(0)), "w");
  const cases = [
    [
      "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 137216\n",
      "it is a Git LFS pointer in place of the file; fetch it: git lfs pull",
    ],
    ["<!DOCTYPE html>\n<html>", "it is a web page in place of the file; take the address that downloads it"],
    ["\n  <html lang=en>", "it is a web page"],
    ["PK\x03\x04\x14\0\0\0\x08\0", "it is a zip archive, as PyTorch saves; convert it first"],
    ["\x80\x02}q\0........", "it is a Python pickle"],
    ["GGUF\x03\0\0\0\0", "it is GGUF"],
  ] as const;
  for (const [text, said] of cases) assertThrows(read(text), CheckpointError, `Cannot read w: ${said}`);
  // A header of 640 bytes begins as a pickle does.
  assertEquals(parseSafetensors(lying("{}".padEnd(640), 0), "t").tensors.size, 0);
});

Deno.test("safetensors: truncation at every byte is noticed", () => {
  const whole = file(safetensorsChunks(two));
  for (let length = 0; length < whole.length; length++) assertThrows(() => parseSafetensors(whole.slice(0, length), "t"), CheckpointError);
});

Deno.test("safetensors: no single changed byte of the header crashes the reader", () => {
  const whole = file(safetensorsChunks(new Map([["w", { shape: [2], data: new Float32Array(2) }]])));
  for (let at = 0; at < whole.length - 8; at++) {
    for (const flip of [1, 0x20, 0x80, 0xff]) {
      const bytes = whole.slice();
      bytes[at] ^= flip;
      try {
        parseSafetensors(bytes, "t");
      } catch (error) {
        assert(error instanceof CheckpointError, `byte ${at}: ${error}`);
      }
    }
  }
});

Deno.test("safetensors: wrong types and shapes are errors", () => {
  const { tensors } = parseSafetensors(file(safetensorsChunks(two)), "t");
  assertThrows(() => f32(tensors.get("b")!), CheckpointError, "must be F32, it is U8");
  const bad = (name: string, shape: number[]) => [...safetensorsChunks(new Map([[name, { shape, data: new Float32Array(3) }]]))];
  assertThrows(() => bad("x", [2, 2]), ShapeError, "has 4 elements, the array 3");
  assertThrows(() => bad("__metadata__", [3]), ShapeError, "keeps that name");
});
