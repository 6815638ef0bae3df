/**
 * Images, sound and text from data to pictures, on the command line: training, what a run folder then holds, evaluation,
 * attention maps.
 *
 * Plan. Tiny data of each kind that a tiny model learns by heart: bits/byte fall well below order 0. The run folder knows
 * its data; evaluate repeats the run's own number from it and makes a table; other data is said to be other. Pictures and
 * sounds have the sizes they should. Bad input gets one readable message and exit code 1 or 2.
 */

import { assert, assertAlmostEquals, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { decodeWav, encodeWav } from "../src/data/wav.ts";
import { decodePng, encodePng } from "../src/data/png.ts";
import { loadTrained } from "../cli/run_folder.ts";
import { answer, failed, files } from "./commands.ts";
import { SMALL, TEXT } from "./model.ts";

const folder = Deno.makeTempDirSync({ prefix: "longstride-kinds-" });
const at = (name: string) => join(folder, name);

/** 4 × 4 images of a few colours: one above, one below. */
const COLORS = [[250, 10, 10], [20, 240, 30], [10, 30, 230], [240, 230, 20]];
const image = (n: number) => Uint8Array.from({ length: 48 }, (_, i) => COLORS[(n + (i < 24 ? 0 : Math.floor(n / 4))) % 4][i % 3]);
const images = Uint8Array.from(Array.from({ length: 40 }, (_, n) => [...image(n * 7 % 16)]).flat());
Deno.writeFileSync(at("tiny.bin"), images);
Deno.mkdirSync(at("photos"));
for (let n = 0; n < 20; n++) {
  Deno.writeFileSync(at(`photos/${String(n).padStart(2, "0")}.png`), encodePng({ width: 4, height: 4, rgb: image(n * 7 % 16) }));
}
// 500 Hz: 24 samples a period.
const sine = Float32Array.from({ length: 6000 }, (_, t) => 0.5 * Math.sin(2 * Math.PI * t / 24));
Deno.writeFileSync(at("sine.wav"), await encodeWav(sine, 12000));
Deno.writeTextFileSync(at("text.txt"), TEXT);

const model = (more: Record<string, unknown>) => ({
  ...SMALL,
  n_ctx: 48,
  attention: { pattern: "strided", stride: 12, integration: "multihead" },
  ...more,
});
Deno.writeTextFileSync(at("image.json"), JSON.stringify(model({ position: { kind: "data", shape: [4, 4, 3] } })));
Deno.writeTextFileSync(
  at("sound.json"),
  JSON.stringify(model({ n_ctx: 96, attention: { pattern: "strided", stride: 8 }, position: { kind: "attention", stride: 8 } })),
);

const learn = ["--batch", "4", "--lr", "0.01", "--json"];
const wasm = ["--backend", "wasm", "--threads", "1"];
const trained = (config: string, data: string[], out: string, ...more: string[]) =>
  answer(
    "train",
    "--config",
    at(config),
    "--data",
    ...data,
    "--out",
    at(out),
    ...learn,
    ...(more.includes("--backend") ? [] : wasm),
    ...more,
  );
const tinyImages = [at("tiny.bin"), "--shape", "4x4x3", "--held-out", "8"];

for (const backend of ["wasm", "reference"]) {
  Deno.test(`kinds: ${backend}: tiny images are learnt by heart, and drawn`, async () => {
    const out = `image-${backend}`,
      { code, err, events } = await trained("image.json", tinyImages, out, "--steps", "150", "--backend", backend);
    assertEquals([code, err], [0, ""]);
    const [start] = events, sample = events.find(({ event }) => event === "sample")!, end = events.at(-1)!;
    assertEquals((start.data as { source: unknown }).source, { kind: "image", path: at("tiny.bin"), shape: [4, 4, 3], heldOut: 8 });
    const first = events.find(({ event, heldOut }) => event === "progress" && heldOut !== undefined)!;
    assert(Number(first.heldOut) > 3 && Number(end.heldOut) < 0.5, `held-out bits/byte fall from ${first.heldOut} to ${end.heldOut}`);
    assert(Number(end.heldOut) < Number(end.order0) / 4);
    assertEquals([sample.kind, sample.images, sample.file], ["image", 8, at(`${out}/samples.png`)]);
    const made = files(at(out));
    assert(made.has("samples.png") && made.has("loss.svg") && !made.has("samples.txt"));
    // Four columns and two rows of 4 × 4, each pixel 24 × 24, 4 between.
    const { width, height, rgb } = decodePng(Deno.readFileSync(at(`${out}/samples.png`)), "samples.png");
    assertEquals([width, height], [4 * 100 + 4, 2 * 100 + 4]);
    // Completed from a held-out upper half: that is as it was.
    const held = images.subarray(32 * 48, 33 * 48),
      pixel = (x: number, y: number) => [...rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
    assertEquals(pixel(4 + 12, 104 + 12), [...held.subarray(0, 3)]);
    // Learnt by heart: what the model draws are the data's colours.
    const drawn = new Set([4, 28, 52, 76].flatMap((y) => [4, 28, 52, 76].map((x) => String(pixel(x + 12, y + 12)))));
    assert([...drawn].some((color) => COLORS.some((one) => String(one) === color)), [...drawn].join(" "));
  });
}

Deno.test("kinds: a folder of PNG without a preset gets a model made for its size", async () => {
  const { code, err, events } = await answer(
    ...["train", "--data", at("photos"), "--out", at("fit"), "--steps", "2", "--d-model", "16", "--d-qk", "16", "--d-ff", "16"],
    ...["--json", ...wasm],
  );
  assertEquals([code, err], [0, ""]);
  const { n_ctx, position, attention } = events[0].config as { n_ctx: number; position: unknown; attention: { stride: number }[] };
  assertEquals([n_ctx, position], [48, { kind: "data", shape: [4, 4, 3] }]);
  assertEquals(attention.at(-1)!.stride, 12, "a row of pixels");
  const people = await answer(
    "train",
    "--data",
    at("photos"),
    "--out",
    at("fit2"),
    "--steps",
    "1",
    "--d-model",
    "16",
    "--d-qk",
    "16",
    ...wasm,
  );
  assertMatch(people.out, /^Data +photos: 20 images of 4 × 4 × 3, the last 1 held out$/m);
  assertMatch(people.out, /samples\.png: images from nothing above, completed from a held-out upper half below/);
});

Deno.test("kinds: a sine is learnt, and played", async () => {
  const { code, err, events } = await trained("sound.json", [at("sine.wav")], "sound", "--steps", "150");
  assertEquals([code, err], [0, ""]);
  const end = events.at(-1)!, sample = events.find(({ event }) => event === "sample")!;
  assert(Number(end.heldOut) < Number(end.order0) / 2, `held-out ${end.heldOut} of ${end.order0} bits/byte`);
  assertEquals((events[0].data as { source: unknown }).source, { kind: "audio", path: at("sine.wav"), rate: 12000 });
  assertEquals([sample.kind, sample.sounds, sample.seconds], ["audio", 2, 96 / 12000]);
  const { codes, rate } = await decodeWav(Deno.readFileSync(at("sound/samples.wav")), "samples.wav");
  // Two sounds of a context each, a quarter of a second of silence between.
  assertEquals([codes.length, rate], [96 + 3000 + 96, 12000]);
  assert(codes.subarray(96, 3096).every((code) => code === 128));
  // The second begins with held-out samples as they were.
  const held = loadTrained(at("sound")).state!.data.heldOut;
  const { codes: all } = await decodeWav(Deno.readFileSync(at("sine.wav")), "sine.wav");
  assertEquals(codes.subarray(3096, 3096 + 24), all.subarray(6000 - held, 6000 - held + 24));
});

Deno.test("kinds: what is to be known of data reaches every command, people and programs", async () => {
  // Twice full scale, and behind it a byte too many.
  const loud = await encodeWav(sine.map((x) => x / 2), 12000), file = new Uint8Array(44 + 4 * 6000 + 1), view = new DataView(file.buffer);
  file.set(loud.subarray(0, 44));
  for (const [field, value] of [[4, 36 + 24000], [28, 48000], [40, 24000]]) view.setUint32(field, value, true);
  for (const [field, value] of [[20, 3], [32, 4], [34, 32]]) view.setUint16(field, value, true);
  sine.forEach((x, i) => view.setFloat32(44 + 4 * i, 2.2 * x, true));
  Deno.mkdirSync(at("loud"));
  Deno.writeFileSync(at("loud/a.wav"), file);
  Deno.writeTextFileSync(at("loud/README.md"), "A tone.");
  const notices = [
    `${at("loud/a.wav")}: 1 byte behind its samples, at byte 24044, were left out`,
    `${at("loud/a.wav")}: 25 % of it is beyond full scale and was cut there, its peak is 1.1`,
    `loud: left out as neither image nor sound: ${at("loud/README.md")} (7 bytes)`,
  ];
  const shown = notices.map((notice) => `Note: ${notice}.\n`).join("");
  const { code, err, events } = await trained("sound.json", [at("loud")], "loud-run", "--steps", "2");
  assertEquals([code, err, events[0].notices], [0, shown, notices]);
  const levels = events[0].levels as { peak: number; clipped: number; silent: number };
  assertAlmostEquals(levels.peak, 1.1, 1e-6);
  const evaluated = await answer("evaluate", at("loud-run"), "--json", ...wasm);
  assertEquals([evaluated.err, evaluated.events[0].notices], [shown, notices]);
  const inspected = await answer("data", "inspect", at("loud"), "--json"), people = await answer("data", "inspect", at("loud"));
  assertEquals(inspected.events[0].levels, levels);
  assertEquals((inspected.events[0].notices as string[]).map((notice) => notice.replace(at("loud:"), "loud:")), notices);
  assertEquals(inspected.events[0].skipped, [{ name: at("loud/README.md"), bytes: 7, why: "neither image nor sound" }]);
  assertMatch(people.out, /Levels: peak 1\.1, 25\.0 % clipped, \d/);
  for (const notice of notices.slice(0, 2)) assertStringIncludes(people.out, `Note: ${notice}.`);
  const lines = await answer("train", "--resume", at("loud-run"), "--steps", "3", ...wasm);
  assertEquals(lines.err, shown);
  assertMatch(lines.out, /frames at 12,000 Hz \(peak 1\.1, 25\.0 % clipped, /);
  // Insisting is remembered.
  const bytes = await answer(
    "train",
    "--data",
    at("loud/a.wav"),
    "--as",
    "bytes",
    "--config",
    at("sound.json"),
    "--out",
    at("insisted"),
    "--steps",
    "1",
    "--json",
    ...wasm,
  );
  assertEquals([bytes.code, (bytes.events[0].data as { source: unknown }).source], [0, {
    kind: "bytes",
    path: at("loud/a.wav"),
    as: "bytes",
  }]);
  assertEquals((await answer("evaluate", at("insisted"), "--json", ...wasm)).events[0].same, true);
});

Deno.test("kinds: a run of images goes on bit-exactly from its folder alone", async () => {
  const straight = await trained("image.json", tinyImages, "straight", "--steps", "20");
  assertEquals((await trained("image.json", tinyImages, "parts", "--steps", "20")).code, 0);
  const resumed = await answer("train", "--resume", at("parts"), "--steps", "30", "--json", ...wasm);
  const same = await answer(
    "train",
    "--resume",
    at("straight"),
    "--steps",
    "30",
    "--data",
    at("tiny.bin"),
    "--shape",
    "4x4x3",
    "--json",
    ...wasm,
  );
  assertEquals([straight.code, resumed.code, same.code, resumed.err], [0, 0, 0, ""]);
  assertEquals(files(at("parts")).get("model.safetensors"), files(at("straight")).get("model.safetensors"));
  const other = await answer(
    "train",
    "--resume",
    at("parts"),
    "--steps",
    "40",
    "--data",
    at("tiny.bin"),
    "--shape",
    "4x4x3",
    "--held-out",
    "9",
    ...wasm,
  );
  failed(other, 1, "Cannot resume on other data");
});

Deno.test("kinds: evaluate repeats the run's own number, and makes the table of minimum contexts", async () => {
  const { events } = await trained("sound.json", [at("sine.wav")], "judged", "--steps", "60"), { heldOut } = events.at(-1)!;
  const one = await answer("evaluate", at("judged"), "--json", ...wasm);
  assertEquals([one.code, one.err], [0, ""]);
  const end = one.events.at(-1)! as { results: { minContext: number; bits: number; tokens: number }[]; part: string; same: boolean };
  assertEquals([end.part, end.same, end.results.length, end.results[0].tokens], ["held-out", true, 1, 300]);
  assertAlmostEquals(end.results[0].bits, Number(heldOut), 1e-6);
  const table = await answer("evaluate", at("judged"), "--min-context", "0,48,95", "--limit", "250", ...wasm);
  assertEquals([table.code, table.err], [0, ""]);
  assertMatch(table.out, /^Model +strided l 8, n_ctx 96, 2 layers of 16, 2 heads: [\d,]+ parameters, after 60 steps$/m);
  assertMatch(table.out, /^Data +sine\.wav, held-out part: 250 bytes$/m);
  const rows = [...table.out.matchAll(/^ +(\d+) +(\d\.\d{4}) +0:\d\d$/gm)].map(([, context, bits]) => [Number(context), Number(bits)]);
  assertEquals(rows.map(([context]) => context), [0, 48, 95]);
  assert(rows[1][1] < rows[0][1] && rows[2][1] < rows[0][1], `more context, fewer bits: ${rows.join(" ")}`);
  // Other data is scored whole, and said to be other.
  Deno.writeFileSync(at("other.wav"), await encodeWav(sine.subarray(0, 500).map((x) => x / 2), 12000));
  const other = await answer("evaluate", at("judged"), "--data", at("other.wav"), "--json", ...wasm);
  assertEquals([other.events.at(-1)!.part, other.events.at(-1)!.same, other.events.at(-1)!.tokens], ["all", false, 500]);
  const words = await answer("evaluate", at("judged"), "--data", at("other.wav"), ...wasm);
  assertStringIncludes(words.out, "other.wav, all: 500 bytes, not what it was trained on");
});

Deno.test("kinds: the files of a model alone are evaluated on what is given", async () => {
  assertEquals((await trained("sound.json", [at("sine.wav")], "bare", "--steps", "2")).code, 0);
  Deno.mkdirSync(at("alone"));
  for (const name of ["config.json", "model.safetensors"]) Deno.copyFileSync(at(`bare/${name}`), at(`alone/${name}`));
  failed(await answer("evaluate", at("alone"), ...wasm), 1, "does not say what it was trained on; give --data FILE");
  assertEquals((await answer("evaluate", at("alone"), "--data", at("sine.wav"), "--part", "train", ...wasm)).code, 0);
});

Deno.test("kinds: a damaged run state is said, and is in the way of going on alone", async () => {
  const state = at("bare/state-2/run.json"), whole = Deno.readTextFileSync(state), said = `of its data and steps. Cannot read ${state}: `;
  Deno.writeTextFileSync(state, whole.slice(0, 300));
  failed(await answer("evaluate", at("bare"), ...wasm), 1, said, "does not say what it was trained on; give --data FILE");
  const commands = [["evaluate", "--data", at("sine.wav")], ["sample", "--kind", "audio", "--length", "9"], [
    "maps",
    "--data",
    at("sine.wav"),
  ]];
  for (const [name, ...more] of commands) {
    const { code, err } = await answer(name, at("bare"), ...more, ...wasm);
    assertEquals(code, 0, err);
    assertStringIncludes(err, said);
  }
  failed(await answer("train", "--resume", at("bare"), "--steps", "3", ...wasm), 1, "Cannot resume from", `Cannot read ${state}`);
  Deno.writeTextFileSync(state, whole);
});

Deno.test("kinds: maps of layers and heads, over text and over an image", async () => {
  const drawn = await answer("maps", at("image-wasm"), "--out", at("maps"), "--json", ...wasm);
  assertEquals([drawn.code, drawn.err], [0, ""]);
  assertEquals([...files(at("maps")).keys()].sort(), [
    ...[0, 1].flatMap((layer) => [0, 1].flatMap((head) => ["png", "svg"].map((ending) => `layer-${layer}-head-${head}.${ending}`))),
    "sheet.png",
    "sheet.svg",
  ]);
  assertStringIncludes(Deno.readTextFileSync(at("maps/sheet.svg")), ">layer 1, head 0<");
  assertEquals(drawn.events.filter(({ event }) => event === "map").map(({ layer, head, n, queries }) => [layer, head, n, queries]), [
    [0, 0, 48, 48],
    [0, 1, 48, 48],
    [1, 0, 48, 48],
    [1, 1, 48, 48],
  ]);
  const over = await answer(
    "maps",
    at("image-wasm"),
    "--layers",
    "1",
    "--heads",
    "1",
    "--at",
    "2",
    "--query",
    "3,2",
    "--out",
    at("maps"),
    ...wasm,
  );
  assertEquals(over.code, 0, over.err);
  const { width, height, rgb } = decodePng(Deno.readFileSync(at("maps/layer-1-head-1-query-3-2.png")), "q");
  assertEquals([width, height], [256, 256]);
  assertStringIncludes(Deno.readTextFileSync(at("maps/layer-1-head-1-query-3-2.svg")), ">pixel in row 3, column 2<");
  // The query's pixel is orange, the one after it black.
  assertEquals([...rgb.subarray((200 * 256 + 150) * 3, (200 * 256 + 150) * 3 + 3)], [232, 119, 34]);
  assertEquals([...rgb.subarray((200 * 256 + 200) * 3, (200 * 256 + 200) * 3 + 3)], [0, 0, 0]);
  assertEquals(
    (await answer("train", "--config", at("sound.json"), "--data", at("text.txt"), "--out", at("words"), "--steps", "2", ...wasm)).code,
    0,
  );
  const words = await answer("maps", at("words"), "--prompt", "It was", "--layers", "0", "--json", ...wasm);
  assertEquals([words.code, words.events[0].n], [0, 6]);
  assert(files(at("words/maps")).has("layer-0-head-0.png"));
  const svg = Deno.readTextFileSync(at("words/maps/layer-0-head-0.svg")),
    characters = [...svg.matchAll(/>([^<\s])<\/text>/g)].map(([, one]) => one);
  // Keys hold what comes before them, queries predict their own.
  assertEquals(characters.join(""), "0▸It␣waIt␣was");
  assertStringIncludes(svg, "words: &quot;It was&quot;<");
});

Deno.test("kinds: sample draws a sheet of images, completes them, and the same seed gives the same", async () => {
  const run3 = at("image-wasm"), sheet = (...more: string[]) => answer("sample", run3, "--batch", "6", "--json", ...wasm, ...more);
  const one = await sheet("--out", at("sheet.png"), "--seed", "5"), again = await sheet("--out", at("again.png"), "--seed", "5");
  assertEquals([one.code, again.code], [0, 0]);
  const [facts] = one.events;
  assertEquals([facts.kind, facts.file, facts.samples, facts.tokens, facts.prefix], ["image", at("sheet.png"), 6, 6 * 48, 0]);
  assertEquals(Deno.readFileSync(at("sheet.png")), Deno.readFileSync(at("again.png")));
  // The files of a model alone: its positions say what it makes.
  Deno.mkdirSync(at("pictures"));
  for (const name of ["config.json", "model.safetensors"]) Deno.copyFileSync(join(run3, name), at(`pictures/${name}`));
  const alone = await answer("sample", at("pictures"), "--batch", "6", "--seed", "5", ...wasm);
  assertEquals(alone.code, 0, alone.err);
  assertEquals(Deno.readFileSync(at("sheet.png")), Deno.readFileSync(at("pictures/sample.png")));
  // Three columns, two rows.
  const { width, height } = decodePng(Deno.readFileSync(at("sheet.png")), "sheet");
  assertEquals([width, height], [3 * 100 + 4, 2 * 100 + 4]);
  // Where it cannot be written, before anything is made; a file that is there already stays as it is.
  const nowhere = await sheet("--out", at("no/such/folder/sheet.png")), before = Deno.readFileSync(at("sheet.png"));
  assertEquals([nowhere.code, nowhere.err.includes("keys and values kept")], [1, false], nowhere.err);
  assertEquals((await sheet("--out", at("sheet.png"), "--length", "1")).code, 2);
  assertEquals(Deno.readFileSync(at("sheet.png")), before);
  // Of a file, each sample completes an image of its own; of what was held out, likewise.
  for (const from of [["--prefix", at("tiny.bin"), "--prefix-tokens", "36"], ["--prefix-tokens", "36"]]) {
    const { code, err } = await sheet("--out", at("half.png"), ...from);
    assertEquals([code, err.includes("Cannot")], [0, false], err);
    const { rgb } = decodePng(Deno.readFileSync(at("half.png")), "half"), first = from.length === 4 ? 0 : 32;
    for (const which of [0, 4]) {
      const tokens = images.subarray((first + which) * 48, (first + which + 1) * 48),
        left = 4 + (which % 3) * 100,
        top = 4 + Math.floor(which / 3) * 100;
      for (const row of [0, 2]) {
        const at = ((top + row * 24 + 12) * width + left + 12) * 3;
        assertEquals([...rgb.subarray(at, at + 3)], [...tokens.subarray(row * 12, row * 12 + 3)], `image ${which}, row ${row}`);
      }
    }
  }
  const people = await answer("sample", run3, ...wasm);
  assertEquals([people.code, people.out], [0, `${join(run3, "sample.png")}: 4 images\n`]);
  assertMatch(people.err, /192 tokens in /);
  // One image alone is enough to complete.
  Deno.writeFileSync(at("one.png"), encodePng({ width: 4, height: 4, rgb: image(3) }));
  assertEquals((await answer("sample", run3, "--prefix", at("one.png"), "--batch", "1", "--out", at("one-done.png"), ...wasm)).code, 0);
});

Deno.test("kinds: sample goes on with a sound, longer than its context, and with text of a file", async () => {
  const sound = await answer(
    "sample",
    at("judged"),
    "--prefix",
    at("sine.wav"),
    "--prefix-tokens",
    "50",
    "--length",
    "200",
    "--out",
    at("more.wav"),
    ...wasm,
  );
  assertEquals([sound.code, sound.out], [0, `${at("more.wav")}: 0.02 s of sound\n`]);
  const { codes } = await decodeWav(Deno.readFileSync(at("more.wav")), "more.wav"),
    { codes: all } = await decodeWav(Deno.readFileSync(at("sine.wav")), "sine.wav");
  assertEquals([codes.length, codes.subarray(0, 50)], [250, all.subarray(0, 50)]);
  const text = await answer(
    "sample",
    at("words"),
    "--prefix",
    at("text.txt"),
    "--prefix-tokens",
    "11",
    "--length",
    "9",
    "--batch",
    "2",
    "--out",
    at("out.txt"),
    ...wasm,
  );
  assertEquals([text.code, text.out], [0, ""]);
  const written = Deno.readFileSync(at("out.txt")), begins = new TextEncoder().encode("It was the ");
  assertEquals([written.length, written.subarray(0, 11), written.subarray(20, 22)], [42, begins, Uint8Array.of(10, 10)]);
  const live = await answer("sample", at("words"), "--prefix-tokens", "5", "--length", "3", ...wasm);
  assertEquals(live.code, 0);
});

Deno.test("kinds: bad input is one message", async () => {
  Deno.writeFileSync(at("cut.bin"), images.subarray(0, 100));
  Deno.writeFileSync(at("odd.png"), encodePng({ width: 5, height: 4, rgb: new Uint8Array(60) }));
  Deno.writeFileSync(at("short.wav"), await encodeWav(sine.subarray(0, 150), 12000));
  Deno.writeFileSync(at("flac.wav"), new TextEncoder().encode("fLaC and more"));
  const image = ["--config", at("image.json"), ...wasm, "--out", at("bad")],
    sound = ["--config", at("sound.json"), ...wasm, "--out", at("bad")];
  const cases: [string[], number, ...string[]][] = [
    [["train", ...image, "--data", at("cut.bin"), "--shape", "4x4x3"], 1, "cut.bin: cut short, a row of 4 × 4 × 3 at byte 96"],
    [["train", ...image, "--data", at("tiny.bin"), "--shape", "4x5x3"], 1, "an image of 4 × 5 × 3 has 60 tokens and n_ctx is 48; resize"],
    [["train", ...image, "--data", at("odd.png")], 1, "it has 1 image, it must have at least 2"],
    [["train", ...image, "--data", at("tiny.bin"), "--shape", "4x4"], 2, "must be height, width and channels"],
    [
      ["train", ...image, "--data", at("tiny.bin"), "--shape", "4x4x3", "--held-out", "40"],
      1,
      "its images must be a whole number from 1 to 39",
    ],
    [["train", ...sound, "--data", at("short.wav")], 1, "it has 150 bytes, it must have at least 192"],
    [["train", ...sound, "--data", at("flac.wav")], 1, "it is FLAC by its first bytes", "ffmpeg"],
    [["evaluate", at("nowhere")], 1, "nowhere"],
    [["evaluate", at("judged"), "--min-context", "96"], 2, "the minimum context must be a whole number from 0 to 95, found 96"],
    [["evaluate", at("judged"), "--min-context", "1,x"], 2, "Cannot use --min-context: it must be whole numbers"],
    [["evaluate", at("judged"), "--min-context", "-1"], 2, "it must be whole numbers"],
    [["evaluate", at("judged"), "--part", "test"], 2, "its makers set none apart"],
    [["evaluate", at("judged"), "--data", at("nowhere.wav")], 1, "nowhere.wav: there is no such file"],
    [["maps", at("judged"), "--layers", "2", ...wasm], 2, "--layers must be a whole number from 0 to 1"],
    [["maps", at("judged"), "--heads", "a"], 2, "Cannot use --heads"],
    [["maps", at("judged"), "--query", "1,1", ...wasm], 2, "the model is not one of images"],
    [["maps", at("image-wasm"), "--query", "4,0", ...wasm], 2, "it must be ROW,COL below 4,4"],
    [["maps", at("judged"), "--prompt", "x".repeat(97)], 2, "the prompt must have 1 to 96 bytes, it has 97"],
    [["maps", at("judged"), "--prompt", "x", "--at", "1"], 2, "Cannot use --prompt with --data or --at"],
    [["maps", at("judged"), "--at", "4"], 2, "--at must be a whole number from 0 to 3, found 4"],
    [["maps", at("judged"), "--out", at("sine.wav"), ...wasm], 1, "Cannot write into"],
  ];
  const images1 = ["sample", at("image-wasm"), ...wasm];
  cases.push(
    [[...images1, "--length", "9"], 2, "Cannot make 9 tokens of an image: it has 48 more"],
    [[...images1, "--prompt", "a cat"], 2, "the model makes no text; --prefix FILE"],
    [[...images1, "--prefix-tokens", "48"], 2, "must leave room in a context of 48", "at most 47 tokens, found 48"],
    [[...images1, "--prefix", at("odd.png")], 1, "its size at byte 16 is 5 × 4", "resize it first"],
    [[...images1, "--prefix", at("cut.bin")], 1, "cut short"],
    [[...images1, "--prefix", at("nowhere.png")], 1, "there is no such file"],
    [[...images1, "--shape", "4x6x2"], 2, "Cannot draw images: their shape must be"],
    [[...images1, "--out", at("sine.wav/x.png")], 1, "Cannot write"],
    [["sample", at("judged"), "--prefix", at("short.wav"), "--prefix-tokens", "151", ...wasm], 2, "Cannot sample"],
    [["sample", at("words"), "--prompt", "x", "--prefix-tokens", "2"], 2, "Cannot use --prompt with --prefix"],
    [["sample", at("alone"), "--prefix-tokens", "2", ...wasm], 1, "give --data FILE"],
  );
  for (const [args, code, ...includes] of cases) failed(await answer(...args), code, ...includes);
  assert(!Array.from(Deno.readDirSync(folder)).some(({ name }) => name === "bad"), "a run folder was made");
});

Deno.test.afterAll(() => Deno.removeSync(folder, { recursive: true }));
