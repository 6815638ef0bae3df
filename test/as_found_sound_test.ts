/**
 * Sound as the world writes it: lengths never filled in, chunks without padding, levels that cannot be meant.
 *
 * Plan. Every form of WAV with every length that programs leave; then samples that are no sound, refused with what to do or said.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { decodeWav, encodeWav } from "../src/data/wav.ts";
import { SILENCE } from "../src/data/mulaw.ts";
import { join } from "../src/data/reader.ts";
import { DataError } from "../src/base/errors.ts";
import { all, bytesOf, CODES, folder, type Header, load, TONE, utf8, wav } from "./as_found.ts";

Deno.test("sound that cannot be meant: refused with what to divide by, or said", async () => {
  const float = (scale: number, more: Header = {}) =>
    wav(bytesOf(Float32Array.from(TONE, (x) => x / 32768 * scale)), { tag: 3, bits: 32, ...more });
  await assertRejects(
    () => load("t.wav", float(32768)),
    DataError,
    "of it is beyond full scale, its peak is 16400; divide its samples by 32768: ffmpeg -i in.wav -af volume=1/32768 out.wav",
  );
  await assertRejects(() => load("t.wav", float(2 ** 31)), DataError, "divide its samples by 2147483648");
  await assertRejects(() => load("t.wav", float(5)), DataError, "divide its samples by 2.5");
  const hot = await load("t.wav", float(2.4)),
    clipped = TONE.filter((x) => Math.abs(Math.fround(x / 32768 * 2.4)) > 1).length / TONE.length;
  assertEquals([hot.levels!.peak.toFixed(3), hot.levels!.clipped], ["1.200", clipped]);
  assertEquals(hot.notices, [
    `t.wav: ${Number((100 * clipped).toPrecision(2))} % of it is beyond full scale and was cut there, its peak is 1.2`,
  ]);
  const quiet = await load("t.wav", float(1));
  assertEquals([quiet.notices, quiet.levels!.clipped, quiet.levels!.silent], [[], 0, 1 / 600]);
  // A few seconds of integers in long silence are no better.
  const mostly = new Float32Array(9000);
  mostly.set(Float32Array.from(TONE), 100);
  await assertRejects(() => load("t.wav", wav(bytesOf(mostly), { tag: 3, bits: 32 })), DataError, "divide its samples by 32768");

  const stereo = (right: (x: number) => number) =>
    wav(bytesOf(Int16Array.from({ length: 1200 }, (_, i) => i % 2 ? right(TONE[i >> 1]) : TONE[i >> 1])), { channels: 2 });
  assertEquals((await load("t.wav", stereo((x) => x))).notices, []);
  assertEquals((await load("t.wav", stereo(() => 0))).notices, []);
  await assertRejects(() => load("t.wav", stereo((x) => -x)), DataError, "its 2 channels cancel each other, their mean has");
  await assertRejects(() => load("t.wav", stereo((x) => -0.9 * x)), DataError, "give one of them: ffmpeg");
  assertStringIncludes((await load("t.wav", stereo((x) => -0.7 * x))).notices[0], "cancel each other in part");

  const silence = await load("t.wav", wav(new Uint8Array(1200)));
  assertEquals([silence.levels, silence.train.every((code) => code === SILENCE)], [{ peak: 0, clipped: 0, silent: 1 }, true]);
  assertEquals(silence.notices, [
    "t.wav: it is silence from beginning to end",
    "t.wav: all of its 570 tokens to train on are 128: there is nothing to learn",
  ]);
  // The levels of several are those of all together; the same notice of many is one.
  const many = await folder({
    "a.wav": wav(new Uint8Array(1200)),
    "b.wav": wav(new Uint8Array(600)),
    "c.wav": wav(bytesOf(TONE)),
    "cover.jpg": Uint8Array.of(0xff, 0xd8, 0xff),
  });
  assertEquals(many.levels!.silent.toFixed(3), ((600 + 300 + 1) / 1500).toFixed(3));
  assertEquals(many.notices, [
    "d/a.wav: it is silence from beginning to end; and so in 1 more",
    "d: left out as of a format that is not read: d/cover.jpg (3 bytes)",
  ]);
  const { levels } = await decodeWav(await encodeWav(Float32Array.of(0.5, -0.25)), "t.wav");
  assertEquals(levels.peak.toFixed(3), "0.500");
});

Deno.test("lengths never filled in: read to the end and said, in every form of WAV", async () => {
  const data = bytesOf(TONE), left = [0, 0x7fffffff, 0x7ffff000, 0x7ffff024, 0x80000000, 0xffffffdb, 0xffffff00, 0xffffffff];
  const forms: [string, Header][] = [["plain", {}], ["extensible", { extensible: true }], ["RF64 without its lengths", { kind: "RF64" }]];
  const read = async (file: Uint8Array) => {
    const told: string[] = [], { codes } = await decodeWav(file, "t.wav", 12000, (_, what) => told.push(what));
    return { codes, told };
  };
  for (const [form, header] of forms) {
    for (const says of left) {
      for (const whole of [0, 36, 0x7fffffff, 0xffffffff, says]) {
        const { codes, told } = await read(wav(data, { ...header, says, all: whole }));
        assertEquals(codes, CODES, `${form}, ${says} of ${whole}`);
        assertEquals(told, [`its data chunk says ${says} bytes; all 1200 up to the end of the file were read`]);
      }
    }
  }
  for (const kind of ["RF64", "BW64"]) {
    for (const ds64 of [0n, 2n ** 63n - 1n, 2n ** 64n - 1n]) {
      const { codes, told } = await read(wav(data, { kind, ds64, says: 0xffffffff, all: 0xffffffff }));
      assertEquals([codes, told.length], [CODES, 1], `${kind}, ${ds64}`);
    }
    assertEquals(await read(wav(data, { kind, ds64: 1200n, says: 0xffffffff, all: 0xffffffff })), { codes: CODES, told: [] });
    await assertRejects(
      () => read(wav(data, { kind, ds64: 6000n, says: 0xffffffff })),
      DataError,
      "cut short, its data chunk at byte 80 has 6000 bytes, the file ends after 1200",
    );
  }
  // One too many, a part of a frame, and both.
  const odd = join([data, Uint8Array.of(1)]), { codes, told } = await read(wav(odd, { says: 0xffffffff }));
  assertEquals([codes, told.length], [CODES, 2]);
  assertEquals(await read(wav(odd, {})), {
    codes: CODES,
    told: ["the last 1 byte of its samples are no whole frame of 2 and were left out"],
  });
  assertEquals((await read(wav(data, { says: 1201 }))).told, [
    "its data chunk says 1201 bytes; all 1200 up to the end of the file were read",
  ]);
  const frames = await read(wav(join([data, Uint8Array.of(1, 2)]), { channels: 2 }));
  assertEquals([frames.codes.length, frames.told], [300, ["the last 2 bytes of its samples are no whole frame of 4 and were left out"]]);
  // Nothing is there, and nothing was promised.
  await assertRejects(() => read(wav(new Uint8Array())), DataError, "its data chunk at byte 44 is empty");
  await assertRejects(
    () => read(join([wav(new Uint8Array(), { all: 48 }), utf8("LIST\x04\0\0\0INFO")])),
    DataError,
    "its data chunk at byte 44 is empty",
  );
});

Deno.test("WAV: chunks without their padding, 24 bits in 4 bytes, every length field wrong", async () => {
  const odd = utf8("LIST\x11\0\0\0INFOISFT\x05\0\0\0Lavf\0"), data = bytesOf(TONE);
  assertEquals(odd.length % 2, 1);
  for (const before of [odd, join([odd, Uint8Array.of(0)]), join([odd, Uint8Array.of(7)])]) {
    assertEquals((await decodeWav(wav(data, { before }), "t.wav")).codes, CODES);
  }
  const words = bytesOf(Int32Array.from(TONE, (x) => x << 16));
  assertEquals((await decodeWav(wav(words, { bits: 24, width: 4 }), "t.wav")).codes, CODES);
  const told: string[] = [];
  await decodeWav(wav(bytesOf(Int32Array.from(TONE, (x) => x << 8)), { bits: 24, width: 4 }), "t.wav", 12000, (_, what) => told.push(what));
  assertStringIncludes(told[0], "the upper 8 bits of its samples, taken for the loudest, hold nothing");

  const file = wav(data, { before: join([odd, Uint8Array.of(0)]) });
  for (const at of [4, 16, 40, 40 + 26]) {
    const right = new DataView(file.buffer).getUint32(at, true);
    for (const says of [0, 0xffffffff, right + 1]) {
      const lying = file.slice();
      new DataView(lying.buffer).setUint32(at, says, true);
      const found = await load("t.wav", lying).then((found) => found, (error) => error);
      if (found instanceof Error) assert(found instanceof DataError, `${found.stack}`);
      else assertEquals(all(found), CODES, `${says} at ${at}`);
    }
  }
});
