/**
 * Event files for TensorBoard.
 *
 * Plan. The checksum by its known answer; records and events read back by pbf.
 *
 * @module
 */

import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { PbfReader as Pbf } from "pbf";
import { ConfigError } from "../src/base/errors.ts";
import { crc32c, eventFileHeader, eventFileName, scalarEvent } from "../src/files/tensorboard.ts";

interface Found {
  wallTime?: number;
  step?: number;
  version?: string;
  values?: Record<string, number>;
}

/** An event by the numbers of its fields (tensorflow/core/util/event.proto, framework/summary.proto). */
const event = (data: Uint8Array) =>
  new Pbf(data).readFields((field, event: Found, pbf) => {
    if (field === 1) event.wallTime = pbf.readDouble();
    if (field === 2) event.step = pbf.readVarint();
    if (field === 3) event.version = pbf.readString();
    if (field === 5) event.values = pbf.readMessage(summary, {});
  }, {});

const summary = (field: number, values: Record<string, number>, pbf: Pbf) => {
  if (field !== 1) return;
  const { tag, value } = pbf.readMessage((field, found: { tag: string; value: number }, pbf) => {
    if (field === 1) found.tag = pbf.readString();
    if (field === 2) found.value = pbf.readFloat();
  }, { tag: "", value: NaN });
  values[tag] = value;
};

/** The events of a file, checksums checked. */
function read(file: Uint8Array): Found[] {
  const events: Found[] = [], view = new DataView(file.buffer);
  const unmask = (word: number) => {
    const rotated = (word - 0xa282ead8) >>> 0;
    return (rotated >>> 17 | rotated << 15) >>> 0;
  };
  for (let at = 0; at < file.length;) {
    const length = Number(view.getBigUint64(at, true)), data = file.subarray(at + 12, at + 12 + length);
    assertEquals(unmask(view.getUint32(at + 8, true)), crc32c(file.subarray(at, at + 8)));
    assertEquals(unmask(view.getUint32(at + 12 + length, true)), crc32c(data));
    events.push(event(data));
    at += 16 + length;
  }
  return events;
}

Deno.test("tensorboard: CRC-32C by its known answers", () => {
  assertEquals(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  assertEquals(crc32c(new Uint8Array(32)), 0x8a9136aa); // RFC 3720, B.4
});

Deno.test("tensorboard: a file of a header and steps is read back", () => {
  const tags = { "loss/train": 2.25, "loss/held out": 0.1, "µ": -3 };
  const file = Uint8Array.from([...eventFileHeader(1.5), ...scalarEvent(1764417600.25, 300, tags), ...scalarEvent(2, 2 ** 31 - 1, {})]);
  const [header, step, last] = read(file);
  assertEquals(header, { wallTime: 1.5, version: "brain.Event:2" });
  assertEquals([step.wallTime, step.step, last.step], [1764417600.25, 300, 2 ** 31 - 1]);
  assertEquals(Object.keys(step.values!), Object.keys(tags));
  for (const [tag, value] of Object.entries(tags)) assertAlmostEquals(step.values![tag], value, 1e-7);
});

Deno.test("tensorboard: names, and what is refused", () => {
  assertEquals(eventFileName(1764417600.9, "run"), "events.out.tfevents.1764417600.run");
  assertThrows(() => scalarEvent(1, -1, {}), ConfigError, "step must be a whole number");
});
