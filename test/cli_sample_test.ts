/**
 * `sample` as a stranger uses it, of a run trained for it.
 *
 * Plan. The same seed gives the same, alone and among several; stop strings, and options that lie beside a model; a run is named by any file in it; pipes that close end quietly; what is not a
 * model is said.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { quote } from "../cli/program.ts";
import { answer, failed, files, MAIN, run } from "./commands.ts";
import { at, folder, TINY, tiny } from "./tiny.ts";

Deno.test.beforeAll(async () => {
  const { code, err } = await answer(...tiny("people", "--steps", "30", "--batch", "4"));
  assertEquals([code, err], [0, ""]);
});
Deno.test.afterAll(() => Deno.removeSync(folder, { recursive: true }));

Deno.test("cli: sample streams text; the same seed gives the same", async () => {
  const args = ["sample", at("people"), "--backend", "wasm", "--length", "60"], write = (...more: string[]) => answer(...args, ...more);
  // A process of its own.
  const one = await run(...args, "--seed", "3", "--prompt", "It was"),
    again = await write("--seed", "3", "--prompt", "It was"),
    other = await write("--seed", "4");
  assertEquals([one.code, one.out], [0, again.out]);
  assert(one.out.startsWith("It was") && one.out.endsWith("\n") && other.out !== one.out);
  assertMatch(one.err, /keys and values kept: .* of the .* of all 32 positions/);
  assertMatch(one.err, /60 bytes in /);
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(one.out), "control characters are made visible");
  const json = await write("--seed", "3", "--prompt", "It was", "--json");
  const tokens = json.events.filter(({ token }) => token !== undefined);
  assertEquals(tokens.length, 60);
  assertEquals("It was" + json.events.map(({ text }) => text).join("") + "\n", one.out);
  assertEquals((await write("--temperature", "0")).out, (await write("--top-k", "1", "--seed", "9")).out);
});

Deno.test("cli: a run by a file in it, an empty prompt, one longer than the context, and the version", async () => {
  const write = (...more: string[]) =>
    answer("sample", join(at("people"), "model.safetensors"), "--backend", "wasm", "--length", "20", ...more);
  const none = await write(),
    empty = await write("--prompt", ""),
    long = await write("--prompt", "It was the best of times, it was the worst");
  assertEquals([none.code, empty.out], [0, none.out]);
  assertEquals([long.code, long.out.startsWith("It was the best of times, it was the worst")], [0, true]);
  const { out } = await answer("--version"), { version } = JSON.parse(Deno.readTextFileSync(new URL("../deno.json", import.meta.url)));
  assertEquals(out, `longstride ${version}\n`);
});

Deno.test("cli: sample writes several texts at once, the first as a single one", async () => {
  const write = (...more: string[]) => answer("sample", at("people"), "--backend", "wasm", "--length", "40", "--prompt", "It was", ...more);
  const one = await write(), three = await write("--batch", "3"), json = await write("--batch", "3", "--json");
  assertEquals(three.code, 0);
  assert(three.out.startsWith(one.out), "each sequence has its own draws, the first those of a single one");
  const texts = ["", "", ""];
  for (const { sample, text } of json.events) texts[sample as number] += text;
  assertEquals(texts.map((text) => `It was${text}\n`).join(""), three.out);
  assertEquals(new Set(texts).size, 3);
  for (const which of [1, 2, 3]) assertMatch(three.err, new RegExp(`text ${which} of 3`));
  assertMatch(three.err, /120 bytes in /);
  failed(await write("--batch", "0"), 2, "it must be a whole number from 1 to 65536");
});

Deno.test("cli: sample ends a text before a stop string, alone, among several, in a file and as JSON", async () => {
  const write = (...more: string[]) => answer("sample", at("people"), "--backend", "wasm", "--length", "60", "--prompt", "It was", ...more);
  const all = (await write("--seed", "3")).out.trimEnd(), written = all.slice("It was".length);
  // Of what it writes two bytes that it wrote: the text is as before up to there.
  const stop = /[a-z ]{2}/.exec(written.slice(8))![0], end = written.indexOf(stop);
  assert(end > 0, written);
  const one = await write("--seed", "3", "--stop", "never comes", "--stop", stop);
  assertEquals([one.code, one.out], [0, `It was${written.slice(0, end)}\n`]);
  assertMatch(one.err, /^\d+ bytes in /m);
  const { events } = await write("--seed", "3", "--stop", stop, "--json");
  assertEquals(events.map(({ text }) => text).join(""), written.slice(0, end));
  const raw = at("stopped.txt");
  assertEquals((await write("--seed", "3", "--stop", stop, "--out", raw)).code, 0);
  const bytes = Deno.readFileSync(raw);
  assertEquals(events.filter(({ token }) => token !== undefined).map(({ token }) => token), [...bytes.subarray(6)]);
  const several = await write("--seed", "3", "--stop", stop, "--batch", "2", "--json");
  const texts = ["", ""];
  for (const { sample, text } of several.events) texts[sample as number] += text;
  assertEquals(texts[0], written.slice(0, end));
  assert(!texts[1].includes(stop) && texts[1].length > 0);
});

Deno.test("cli: sample goes by the generation_config.json of a run, and flags go before it", async () => {
  const file = join(at("people"), "generation_config.json"),
    write = (...more: string[]) => answer("sample", at("people"), "--backend", "wasm", ...more);
  const plain = await write("--length", "40", "--temperature", "0.5", "--seed", "9");
  try {
    Deno.writeTextFileSync(file, JSON.stringify({ max_new_tokens: 40, temperature: 0.5, seed: 9 }));
    const own = await write();
    assertEquals([own.code, own.out], [0, plain.out]);
    assertMatch(own.err, /as its generation_config.json says, where no flag does: maxNewTokens 40, temperature 0.5, seed 9/);
    assertMatch((await write("--length", "10")).err, /^10 bytes in /m);
    assert((await write("--seed", "10")).out !== plain.out);
    Deno.writeTextFileSync(file, JSON.stringify({ do_sample: false, num_return_sequences: 2, max_new_tokens: 20, stop_strings: ["\n"] }));
    const greedy = await write();
    assertMatch(greedy.err, /text 2 of 2/);
    const likeliest = await write("--temperature", "0", "--batch", "1");
    assert(greedy.out.startsWith(likeliest.out) && !likeliest.out.trimEnd().includes("\n"));
    Deno.writeTextFileSync(file, JSON.stringify({ temperature: "hot" }));
    failed(await write(), 1, "generation_config.json", "temperature must be");
  } finally {
    Deno.removeSync(file);
  }
});

Deno.test("cli: sample into a pipe that closes ends quietly", async () => {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: [
      "-c",
      `set -o pipefail; ${quote(Deno.execPath())} run -A ${quote(MAIN)} sample ${
        quote(at("people"))
      } --backend wasm --length 20000 | head -c 20`,
    ],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).output();
  failed({ code, err: new TextDecoder().decode(stderr), out: "", events: [] }, 0);
  assertEquals(stdout.length, 20);
});

Deno.test("cli: sample of what is not a model is an error that says which", async () => {
  const damaged = at("damaged"), weights = files(at("people")).get("model.safetensors")!;
  Deno.mkdirSync(damaged);
  const save = (config: unknown, content: string) => {
    Deno.writeTextFileSync(join(damaged, "config.json"), JSON.stringify(config));
    Deno.writeFileSync(join(damaged, "model.safetensors"), Uint8Array.from(content, (c) => c.charCodeAt(0)));
  };
  const fails = async (...includes: string[]) => failed(await answer("sample", damaged, "--backend", "wasm"), 1, ...includes);
  failed(await answer("sample", at("nowhere")), 1, "there is no such file; a run folder has config.json and model.safetensors");
  save(TINY, weights.slice(0, 1000));
  await fails("model.safetensors", "cut short");
  save(TINY, "\xff\xff\xff\xff\xff\xff\xff\x7f" + weights.slice(8));
  await fails("header length");
  save({ ...TINY, n_ctx: 64 }, weights);
  await fails("embed.position.0.weight F32 [4, 16] instead of F32 [8, 16]", "trained with another context");
  save({ ...TINY, n_layer: 3 }, weights);
  await fails("16 missing: layers.2.attn.q.weight");
  save({ ...TINY, attention: { pattern: "dense", causal: false } }, weights);
  await fails("the attention is not causal");
});
