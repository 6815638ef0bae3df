/**
 * Long runs: epochs, evaluations, saves, the best model, the log, and going on in any of it.
 *
 * Plan. Windows of an epoch are each seen once, at odd lengths, of units, phase by phase, and after a stop the same. A run ends by patience
 * and says so; the whole evaluation at its end comes after a save, tells how far it is, and hears a signal. The command line: flags, the
 * files in a run folder, and a recipe that begins the same run again.
 */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import { RunLog } from "../cli/run_log.ts";
import { SavePlan } from "../cli/saving.ts";
import { batchOffsets, epochOffsets, windowsOf } from "../src/data/batches.ts";
import { ConfigError, OutOfMemoryError } from "../src/base/errors.ts";
import { formatRecipe, parseRecipe } from "../src/files/recipe.ts";
import { phasesOf } from "../src/files/phases.ts";
import { preset } from "../src/files/presets.ts";
import { checkTrain, type TrainConfig } from "../src/files/train_config.ts";
import { microBatches } from "../src/run/batches.ts";
import { checkRoom } from "../src/run/fitting.ts";
import { stepsFor } from "../src/run/fit.ts";
import { type Progress, type Snapshot, train } from "../src/run/train.ts";
import { answer, failed, files } from "./commands.ts";
import { disposeEngines, engine } from "./engines.ts";
import { SMALL, TEXT } from "./model.ts";
import { at, folder, tiny } from "./tiny.ts";

Deno.test("long runs: each window of an epoch is seen once, in another order each epoch", () => {
  for (
    const [length, nCtx, unit] of [[97, 7, 1], [96, 8, 1], [13, 13, 1], [25, 13, 1], [60, 12, 12], [64, 5, 12], [100, 24, 12], [4096, 1, 1]]
  ) {
    const windows = windowsOf(length, nCtx, unit),
      all = (seen: number, count: number, phase = 0) => Array.from(epochOffsets({ seed: 3, phase, seen, count, length, nCtx, unit }));
    const epochs = [0, 1, 2].map((epoch) => all(epoch * windows, windows));
    for (const [epoch, offsets] of epochs.entries()) {
      assertEquals(new Set(offsets).size, windows, `${length} ${nCtx} ${unit}: a window twice`);
      for (const offset of offsets) assert(offset >= 0 && offset + nCtx <= length && (unit === 1 || offset % unit === 0), `${offset}`);
      // Of the first epoch no token is in two windows.
      const sorted = offsets.toSorted((a, b) => a - b);
      if (epoch === 0) sorted.forEach((offset, i) => assert(i === 0 || offset >= sorted[i - 1] + nCtx));
    }
    if (windows > 8) assert(String(epochs[0]) !== String(epochs[1]) && String(epochs[0]) !== String(all(0, windows, 1)));
    // Whatever a step takes of it, and wherever a run goes on.
    assertEquals([...all(0, 1), ...all(1, 2), ...all(3, windows)], all(0, windows + 3));
  }
  assertEquals([windowsOf(6, 7), windowsOf(7, 7), windowsOf(59, 12, 12)], [0, 1, 4]);
  // Beyond what 32 bits reach.
  const large = batchOffsets(1, 0, 0, 200, 2 ** 34, 4096);
  assert(large.some((offset) => offset > 2 ** 33) && large.every((offset) => Number.isInteger(offset) && offset < 2 ** 34 - 4095));
  assertEquals(new Set(epochOffsets({ seed: 1, phase: 0, seen: 5, count: 300, length: 16e9, nCtx: 12288, unit: 12288 })).size, 300);
});

const phases = [{ until: 0.5, n_ctx: 12, batch: 5 }];
const constants: Partial<TrainConfig> = { steps: 6, batch: 2, accumulate: 2, lr: 0.01, warmup: 2, seed: 5, windows: "shuffled", phases };
const text = new TextEncoder().encode(TEXT).subarray(0, 700);

Deno.test("long runs: steps go through the windows of their phase", async () => {
  const full = checkTrain({ ...constants, steps: 40 });
  for (const phase of phasesOf(SMALL, full)) {
    const { batch, config: { n_ctx }, begin, end } = phase, seen: string[] = [];
    for (let step = begin; step < end; step++) {
      for (const tokens of await microBatches(full, step, phase, text, Uint32Array)) {
        for (let row = 0; row < batch; row++) seen.push(String.fromCharCode(...tokens.subarray(row * n_ctx, (row + 1) * n_ctx)));
      }
    }
    const windows = windowsOf(text.length, n_ctx), first = seen.slice(0, windows).sort();
    assertEquals(
      first,
      Array.from({ length: windows }, (_, i) => String.fromCharCode(...text.subarray(i * n_ctx, (i + 1) * n_ctx))).sort(),
    );
  }
  assertEquals(stepsFor(2, SMALL, { batch: 2 }, 700), 21);
  assertEquals(stepsFor(1, SMALL, { batch: 4 }, 700), 6);
});

/** Trains until `until` steps are done. */
async function trained(until: number, more: Partial<TrainConfig> = {}, from?: Snapshot) {
  const stop = new AbortController(), reports: Progress[] = [];
  let end: Snapshot | undefined;
  const on = await engine("wasm"),
    options = { engine: on, config: SMALL, train: { ...constants, ...more }, data: text, from, reportSeconds: 0 };
  for await (const report of train({ ...options, heldOut: text.subarray(0, 200), signal: stop.signal })) {
    reports.push(report);
    if (report.step === until) stop.abort();
    if (report.last) end = await report.snapshot();
  }
  return { reports, end: end! };
}

Deno.test("long runs: shuffled windows go on bit for bit", async () => {
  const straight = await trained(Infinity), half = await trained(4), rest = await trained(Infinity, {}, half.end);
  assertEquals(half.reports.at(-1)!.ended, "signal");
  assertEquals([...rest.end.weights.get("out.weight")!], [...straight.end.weights.get("out.weight")!]);
  assertEquals(rest.reports.at(-1)!.heldOut, straight.reports.at(-1)!.heldOut);
});

Deno.test("long runs: patience ends a run, and counts on from the evaluations before", async () => {
  const on = await engine("wasm"), reports: Progress[] = [];
  // A rate of nearly 0: no evaluation is better than what is said to have been before.
  const hopeless = { ...constants, steps: 50, lr: 1e-12, muon_lr: 1e-12, patience: 3, phases: [] };
  const options = { engine: on, config: SMALL, train: hopeless, data: text, heldOut: text.subarray(0, 200), reportSeconds: 9 };
  for await (const report of train({ ...options, evaluateEvery: { steps: 2 }, heldOutBefore: [1, 2] })) reports.push(report);
  assertEquals(reports.map(({ step, last, ended }) => [step, last, ended]), [
    [2, false, undefined],
    [4, false, undefined],
    [4, false, undefined],
    [4, true, "patience"],
  ]);
  assertEquals(reports[2].scored, 0);
  assert(reports[3].heldOut! > 7);
});

Deno.test("long runs: all that is held out is scored after the time to save, told as it goes, and stopped by a signal", async () => {
  const on = await engine("wasm"), heldOut = new Uint8Array(32 * 400).fill(97), base = { engine: on, config: SMALL, data: text, heldOut };
  const short = { ...constants, steps: 2, phases: [] }, reports: Progress[] = [];
  for await (const report of train({ ...base, train: short, reportSeconds: 0, evaluationTokens: 64 })) reports.push(report);
  const final = reports.filter(({ scored }) => scored !== undefined), { last, ended, heldOut: bits, secondsLeft } = reports.at(-1)!;
  assertEquals([final[0].scored, last, ended, secondsLeft], [0, true, "steps", 0]);
  assert(final.length > 2 && final.every(({ scored }, i) => i === 0 || scored! > final[i - 1].scored!), "it tells how far it is");
  assert(final[0].secondsLeft > 0 && bits! > 0, "it counts in the time left");
  assert(reports[0].secondsLeft > 0);
  const stop = new AbortController(), stopped: Progress[] = [];
  for await (const report of train({ ...base, train: short, reportSeconds: 0, evaluationTokens: 64, signal: stop.signal })) {
    stopped.push(report);
    if (report.scored! > 0) stop.abort();
  }
  const end = stopped.at(-1)!;
  assertEquals([end.step, end.last, end.ended, end.heldOut], [2, true, "signal", undefined]);
  assert(stopped.length < reports.length);
});

Deno.test("long runs: a save waits fifty times as long as the last one took", () => {
  const plan = new SavePlan();
  assertEquals([plan.isDue(7, true), plan.isDue(7, false)], [true, false]);
  assertEquals(plan.took(1), undefined);
  assertEquals(plan.isDue(8, true), false);
  assertMatch(plan.took(12)!, /^A save takes 12\.0 s: the next is after 10:00, so that saving takes at most 2 % of the time\.$/);
  assertEquals(plan.took(12.5), undefined);
  const asked = new SavePlan({ steps: 5 });
  assertEquals([asked.isDue(10, false), asked.isDue(11, true)], [true, false]);
  assertMatch(asked.took(3)!, /^A save takes 3\.0 s, \d+ % of the time at this interval\.$/);
});

Deno.test("long runs: the log loses what was not saved, and a line that is not whole", () => {
  const path = at("log");
  Deno.mkdirSync(path);
  const [, phase] = phasesOf(SMALL, checkTrain(constants)),
    progress = (step: number, more: Partial<Progress> = {}) =>
      ({
        step,
        steps: 9,
        loss: 2.5,
        lr: 0.001,
        gradNorm: 1,
        skipped: 0,
        lossScale: 1,
        tokensPerSecond: 9.6,
        last: false,
        phase,
        ...more,
      }) as Progress;
  const log = new RunLog(path, 0), text = () => Deno.readTextFileSync(join(path, "log.csv"));
  for (const step of [1, 2, 3]) log.report(progress(step, step === 2 ? { heldOut: 2.125 } : {}), step / 4, step * 10);
  log.report(progress(3, { last: true }), 0.75, 30);
  const lines = text().split("\n");
  assertEquals(lines[0], "step,epoch,phase,seconds,loss,held_out,lr,grad_norm,skipped,loss_scale,tokens_per_second,time");
  assertMatch(lines[2], /^2,0\.5,2,20\.0,2\.5,2\.125,0\.001,1,0,1,10,20\d\d-.*Z$/);
  assertEquals(lines.length, 5);
  Deno.writeTextFileSync(join(path, "log.csv"), text() + "4,1,2,4");
  new RunLog(path, 2).report(progress(3), 0.75, 31);
  assertEquals(text().split("\n").map((line) => line.split(",")[0]), ["step", "1", "2", "3", ""]);
});

Deno.test("long runs: a run that cannot fit is refused before memory is taken, with what would", () => {
  const { model, train } = preset("audio-1m"),
    room = 4 * 2 ** 30,
    wasm = { room, description: "the engine" } as Parameters<typeof checkRoom>[0];
  const refused = (config: typeof model, more: Partial<TrainConfig>) =>
    assertThrows(() => checkRoom(wasm, config, checkTrain({ ...train, ...more })), OutOfMemoryError).message;
  assertMatch(
    refused(model, {}),
    /^Cannot train: a step takes 20\.\d GiB .*has 4\.00 GiB; what fits is n_ctx 131,072, a batch of 1 and recomputation/,
  );
  assertMatch(refused({ ...model, n_ctx: 131072 }, { recompute: false }), /what fits is recomputation \(--recompute\)/);
  assertMatch(refused({ ...model, n_ctx: 65536 }, { batch: 16, precision: "f16" }), /what fits is recomputation and a batch of 2/);
  checkRoom(wasm, { ...model, n_ctx: 131072 }, checkTrain(train));
  checkRoom({ ...wasm, room: undefined }, model, checkTrain(train));
});

Deno.test("long runs: a recipe is a model, constants and data, each of which may be missing", () => {
  const recipe = { model: SMALL, train: { steps: 7, lr: 0.5 }, data: { kind: "text" as const, path: "a.txt", valid: "b.txt" } };
  assertEquals(parseRecipe(formatRecipe(recipe), "r"), recipe);
  assertEquals(parseRecipe(JSON.stringify(SMALL), "r"), { model: SMALL });
  assertEquals(parseRecipe('{"train": {"beta2": 0.9}}', "r"), { train: { beta2: 0.9 } });
  for (
    const [json, what] of [
      ['{"train": {"stepz": 3}}', "train has an unknown field"],
      ['{"train": {"lr": -1}}', "train.lr must be a number"],
      [`{"model": ${JSON.stringify({ ...SMALL, n_head: 3 })}}`, "must be a multiple of n_head 3"],
      ['{"train": {}, "more": 1}', 'an unknown field "more"'],
      ["nothing", "not valid JSON"],
    ]
  ) assertThrows(() => parseRecipe(json, "r.json"), ConfigError, what);
});

Deno.test("long runs: a run of epochs, its best model, and its recipe, which begins the same run again", async () => {
  Deno.writeTextFileSync(at("valid.txt"), TEXT.slice(100, 1500).toUpperCase());
  const all = ["--valid", at("valid.txt"), "--epochs", "1.5", "--batch", "16", "--eval-every", "3", "--beta1", "0.8", "--no-samples"];
  const { code, err, events } = await answer(...tiny("epochs", ...all, "--json"));
  assertEquals([code, err], [0, ""]);
  // 132 windows of 32 in 4,240 bytes: 12.4 steps of 16.
  const { train, data, stepsPerEpoch } = events[0] as Record<string, Record<string, unknown>>, end = events.at(-1)!;
  assertEquals([train.steps, train.windows, train.beta1, data.heldOut, Math.round(Number(stepsPerEpoch))], [13, "shuffled", 0.8, 1400, 8]);
  assertEquals(events.filter(({ heldOut }) => heldOut !== undefined).map(({ step }) => step), [3, 6, 9, 12, 13, 13]);
  const made = files(at("epochs")), names = [...made.keys()];
  for (const name of ["best/model.safetensors", "log.csv", "recipe.json"]) assert(names.includes(name), name);
  // A slow machine reports by time as well.
  const logged = made.get("log.csv")!.trim().split("\n").map((line) => line.split(","));
  assertEquals(logged.filter(([, , , , , heldOut]) => heldOut).map(([step]) => step), ["step", "3", "6", "9", "12", "13"]);
  assert(!names.includes("samples.txt"));
  // The best is a run folder itself.
  assertEquals((await answer("evaluate", at("epochs/best"), "--backend", "wasm", "--json")).code, 0);
  const again = await answer(
    "train",
    "--config",
    at("epochs/recipe.json"),
    "--out",
    at("again"),
    "--backend",
    "wasm",
    "--threads",
    "1",
    "--no-samples",
  );
  assertEquals([again.code, again.err], [0, ""]);
  assertEquals(files(at("again")).get("model.safetensors"), made.get("model.safetensors"));
  assertEquals(files(at("again")).get("recipe.json"), made.get("recipe.json"));
  assert((end.best as { heldOut: number }).heldOut > 0);
  Deno.writeTextFileSync(at("picture.bin"), "x".repeat(96));
  failed(await answer(...tiny("bad", "--valid", at("picture.bin"), "--shape", "4x4x3")), 1, "4 × 4 × 3");
});

Deno.test("long runs: what the CPU engine keeps in f32 is said, and counted so", async () => {
  const [half, whole] = await Promise.all(
    ["f16", "f32"].map((precision) =>
      answer(...tiny(precision, "--precision", precision, "--steps", "1", "--no-samples", ...precision === "f16" ? [] : ["--json"]))
    ),
  );
  const { memory, precision } = whole.events[0] as { memory: { activations: number }; precision: string };
  assertMatch(half.out, /^Precision +f32: the wasm engine keeps activations in it; f16, which was asked for, is stored on a GPU alone$/m);
  assertMatch(half.out, new RegExp(`; ${Math.round(memory.activations / 1024)} KiB activations`));
  assertEquals(precision, "f32");
  assertMatch(half.out, /^Activations take \d+ KiB on the device; the largest step was planned with \d+ KiB\.$/m);
});

Deno.test("long runs: how often must be a number or a time", async () => {
  const on = await engine("wasm"), base = { engine: on, config: SMALL, train: constants, data: text };
  for (const every of [{ steps: 0 }, { steps: 1.5 }, { seconds: 0 }, { seconds: NaN }]) {
    await assertRejects(() => train({ ...base, evaluateEvery: every }).next(), ConfigError);
  }
});

Deno.test.afterAll(async () => {
  await disposeEngines();
  Deno.removeSync(folder, { recursive: true });
});
