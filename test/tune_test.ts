/**
 * `tune` and what other commands make of it.
 *
 * Plan. A few seconds of measuring on whatever adapter there is; the file it keeps is for this device and is used, and said to
 * be used, the order of attention with it; another device's, another version's and a damaged one are refused where they were
 * asked for, and ignored with a sentence where they were only found.
 */

import { assert, assertAlmostEquals, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { tuningPath } from "../cli/tuning.ts";
import { parseTuning, TUNING_VERSION } from "../device.ts";
import { answer, failed } from "./commands.ts";
import { gpuTest } from "./engines.ts";
import { SMALL, TEXT } from "./model.ts";

const folder = Deno.makeTempDirSync({ prefix: "longstride-tune-" }), at = (name: string) => join(folder, name);
const CACHE = "XDG_CACHE_HOME", cacheBefore = Deno.env.get(CACHE);
Deno.test.beforeAll(() => Deno.env.set(CACHE, at("cache")));

Deno.writeTextFileSync(at("config.json"), JSON.stringify({ ...SMALL, n_layer: 1 }));
Deno.writeTextFileSync(at("text.txt"), TEXT);
const model = at("run");
const evaluate = (...more: string[]) => answer("evaluate", model, "--backend", "webgpu", "--limit", "64", ...more);

gpuTest("tune: a file that cannot be read is one message, before anything is measured", async () => {
  const { code, out, err } = await answer("tune", "--config", at("config.json"), "--out", folder, "--seconds", "1");
  assertEquals([code, out.includes("linear")], [1, false]);
  assertMatch(err, /^Cannot use the tuning .*: it is a folder[^\n]*\n$/m);
});

gpuTest("tune: a file of an earlier version begins anew, one of a later version is left", async () => {
  const out = at("other.json"), args = ["tune", "--config", at("config.json"), "--precision", "f32", "--seconds", "0", "--out", out];
  Deno.writeTextFileSync(out, JSON.stringify({ version: TUNING_VERSION - 1, device: "of before", choices: [{ kernel: "gone" }] }));
  const { code, err } = await answer(...args);
  assertEquals([code, err], [0, ""]);
  assertEquals(parseTuning(Deno.readTextFileSync(out), out).choices, []);
  const later = JSON.stringify({ version: TUNING_VERSION + 1 });
  Deno.writeTextFileSync(out, later);
  failed(await answer(...args), 1, `version must be ${TUNING_VERSION}`);
  assertEquals(Deno.readTextFileSync(out), later);
});

gpuTest("tune: measures, keeps, and evaluate and sample use what it kept", async () => {
  const kept = at("kept.json"), args = ["tune", "--config", at("config.json"), "--precision", "f32", "--seconds", "5"];
  const { code, out, err } = await answer(...args, "--out", kept);
  assertEquals(code, 0, err);
  assertStringIncludes(out, "linear 32×16→16 f32");
  assertStringIncludes(out, "by rule");
  assert(/\(2\/\d+, \d+:\d\d left\)/.test(out), out);
  assertStringIncludes(out, `Kept in ${kept}. To use it:`);
  const tuning = parseTuning(Deno.readTextFileSync(kept), kept);
  assert(tuning.choices.length >= 3 && tuning.choices.every(({ kernel }) => kernel.startsWith("linear")), out);
  const path = tuningPath(tuning.device, Deno.env.get)!, software = tuning.device.includes("software");
  if (software) {
    // Measured on a CPU: nothing is kept for all commands to use, unless somebody puts it there.
    failed(await answer(...args), 1, "Cannot tune: ", "is no GPU", "--out");
    assertEquals(existsSync(path), false);
    Deno.mkdirSync(dirname(path), { recursive: true });
    Deno.copyFileSync(kept, path);
  } else assertStringIncludes((await answer(...args)).out, `Kept in ${path}: commands on this device use it`);

  const trained = await answer(
    ...["train", "--config", at("config.json"), "--data", at("text.txt"), "--backend", "wasm", "--threads", "1", "--steps", "1"],
    ...["--out", model],
  );
  assertEquals(trained.code, 0, trained.err);
  const used = await evaluate();
  assertEquals(used.code, 0, used.err);
  assertStringIncludes(used.out, `kernels as tuned in ${path}`);
  const written = await answer("sample", model, "--backend", "webgpu", "--length", "2");
  assertEquals(written.code, 0, written.err);
  assertStringIncludes(written.err, `kernels as tuned in ${path}`);
  const ruled = await evaluate("--no-tuning");
  assertStringIncludes(ruled.out, "kernels chosen by rule");
  failed(await evaluate("--no-tuning", "--tuning", path), 2, "leave one of them out");
  // Found, of another version: ignored, and said so.
  Deno.writeTextFileSync(path, JSON.stringify({ ...tuning, version: TUNING_VERSION + 1 }));
  const ignored = await evaluate();
  assertEquals(ignored.code, 0, ignored.err);
  assertStringIncludes(ignored.out, `kernels chosen by rule. Cannot use the tuning ${path}: version must be ${TUNING_VERSION}`);

  // The crossover is part of what is kept: attention in the rows' order, and by parts, score the same.
  const ordered = (BITS: number) => {
    const variant = { TX: 8, TY: 8, TM: 4, TN: 4, LANES: 1, OWN_A: 0, OWN_B: 0, SPARE: 1, TURN: 2, SHARED: 1, BITS, KEEP: 0, MATRIX: 0 };
    const choice = { kernel: "attention_forward", kind: "strided 8/8 f32", sizes: [32, 8], variant, ms: 1 };
    Deno.writeTextFileSync(at("ordered.json"), JSON.stringify({ ...tuning, choices: [choice] }));
    return evaluate("--tuning", at("ordered.json"), "--json");
  };
  const scores: number[] = [];
  for (const { code, events, err } of [await ordered(0), await ordered(1)]) {
    assertEquals(code, 0, err);
    scores.push(events.find(({ event }) => event === "result")!.bits as number);
  }
  assertAlmostEquals(scores[0], scores[1], 1e-5);
  failed(await ordered(2), 1, "variant is none that this version has for attention_forward");

  // Asked for: refused.
  failed(await evaluate("--tuning", path), 1, "version must be");
  failed(await evaluate("--tuning", at("none.json")), 1, "there is no such file");
  for (const command of ["evaluate", "sample"]) {
    failed(
      await answer(command, model, "--backend", "wasm", "--tuning", kept),
      2,
      `Cannot use --tuning ${kept} on wasm (WASM was asked for)`,
    );
  }
  const other = at("other.json");
  Deno.writeTextFileSync(other, JSON.stringify({ ...tuning, device: "WebGPU on another" }));
  failed(await evaluate("--tuning", other), 1, 'it was measured on "WebGPU on another"', "tune on this device");
  failed(await answer("tune", "--config", at("config.json"), "--out", other, "--seconds", "0"), 1, "Cannot add to", "WebGPU on another");
});

gpuTest("tune: into a file, as JSON, added to what is there", async () => {
  const out = at("new/tuning.json"),
    args = ["tune", "--config", at("config.json"), "--precision", "f16", "--seconds", "4", "--out", out, "--json"];
  const { code, events, err } = await answer(...args);
  assertEquals(code, 0, err);
  assertEquals(events.map(({ event }) => event).filter((event) => event !== "trial"), ["start", "end"]);
  assert(events.some(({ event, variant }) => event === "trial" && variant === undefined));
  const first = parseTuning(Deno.readTextFileSync(out), out);
  assert(first.choices.length > 0);
  await answer(...args.slice(0, -1), "--seconds", "0");
  assertEquals(parseTuning(Deno.readTextFileSync(out), out), first, "what was not measured again stays");
  failed(await answer("tune", "--preset", "text", "--config", at("config.json")), 2, "leave one of them out");
});

Deno.test.afterAll(() => {
  if (cacheBefore === undefined) Deno.env.delete(CACHE);
  else Deno.env.set(CACHE, cacheBefore);
});
