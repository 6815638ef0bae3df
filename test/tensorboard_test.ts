/**
 * Event files for TensorBoard.
 *
 * Plan. The checksum by its known answer; records and events read back by pbf; a run's files, as `train --tensorboard` writes them and goes
 * on with them. (TensorBoard itself read such files on 2026-11-29: steps in order, nothing twice.)
 *
 * @module
 */

import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { PbfReader as Pbf } from "pbf";
import { ConfigError } from "../src/base/errors.ts";
import { crc32c, eventFileHeader, eventFileName, scalarEvent, sessionStart } from "../src/files/tensorboard.ts";
import { answer } from "./commands.ts";
import { at, folder, tiny } from "./tiny.ts";

interface Found {
  wallTime?: number;
  step?: number;
  version?: string;
  values?: Record<string, number>;
  session?: number;
}

/** An event by the numbers of its fields (tensorflow/core/util/event.proto, framework/summary.proto). */
const event = (data: Uint8Array) =>
  new Pbf(data).readFields((field, event: Found, pbf) => {
    if (field === 1) event.wallTime = pbf.readDouble();
    if (field === 2) event.step = pbf.readVarint();
    if (field === 3) event.version = pbf.readString();
    if (field === 5) event.values = pbf.readMessage(summary, {});
    if (field === 7) {
      event.session = pbf.readMessage((field, found, pbf) => void (field === 1 && (found.status = pbf.readVarint())), { status: 0 }).status;
    }
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
  const file = Uint8Array.from([
    ...eventFileHeader(1.5),
    ...scalarEvent(1764417600.25, 300, tags),
    ...scalarEvent(2, 2 ** 31 - 1, {}),
    ...sessionStart(3, 301),
  ]);
  const [header, step, last, again] = read(file);
  assertEquals(again, { wallTime: 3, step: 301, session: 1 });
  assertEquals(header, { wallTime: 1.5, version: "brain.Event:2" });
  assertEquals([step.wallTime, step.step, last.step], [1764417600.25, 300, 2 ** 31 - 1]);
  assertEquals(Object.keys(step.values!), Object.keys(tags));
  for (const [tag, value] of Object.entries(tags)) assertAlmostEquals(step.values![tag], value, 1e-7);
});

Deno.test("tensorboard: names, and what is refused", () => {
  assertEquals(eventFileName(1764417600.9, "run"), "events.out.tfevents.1764417600.run");
  assertThrows(() => scalarEvent(1, -1, {}), ConfigError, "step must be a whole number");
});

Deno.test("tensorboard: a run writes its losses, and goes on in a file of its own", async () => {
  const events = () => [...Deno.readDirSync(at("board"))].map(({ name }) => name).filter((name) => name.includes(".tfevents.")).sort();
  const train = async (...args: string[]) => {
    const { code, err } = await answer(...args, "--json");
    assertEquals([code, err], [0, ""]);
    return read(Deno.readFileSync(at(`board/${events().at(-1)}`)));
  };
  const losses = (found: Found[]) => found.filter(({ values }) => values).map(({ step, values }) => [step, values!["loss/held out"]]);
  const [header, ...first] = await train(...tiny("board", "--steps", "4", "--tensorboard"));
  assertEquals(header.version, "brain.Event:2");
  assertEquals(first.map(({ step }) => step), [1, 2, 3, 4]);
  for (const tag of ["loss/train", "loss/held out", "update/learning rate", "update/gradient norm", "speed/tokens per second"]) {
    assert(Number.isFinite(first[0].values![tag]), tag);
  }
  const history = JSON.parse(Deno.readTextFileSync(at("board/state-4/run.json"))).history as { step: number; heldOut: number }[];
  assertEquals(losses(first), history.map(({ step, heldOut }) => [step, Math.fround(heldOut)]));
  const resume = ["train", "--resume", at("board"), "--data", at("text.txt"), "--backend", "wasm", "--threads", "1"];
  // Without the flag too: the run has event files.
  const [, session, ...second] = await train(...resume, "--steps", "6");
  assertEquals([session.session, session.step], [1, 5]);
  assertEquals(second.map(({ step }) => step), [5, 6]);
  assertEquals(events().length, 2);
  await train(...resume, "--steps", "7", "--no-tensorboard");
  assertEquals(events().length, 2);
  // Where there are none yet, the curve so far comes first.
  for (const name of events()) Deno.removeSync(at(`board/${name}`));
  const [, ...all] = await train(...resume, "--steps", "8", "--tensorboard");
  assertEquals(all.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8]);
});

Deno.test.afterAll(() => Deno.removeSync(folder, { recursive: true }));
