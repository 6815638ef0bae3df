/**
 * What a run is made of besides its model: optimizer, first weights, schedule and phases, by the library and by the command line.
 *
 * Plan. Schedules at their ends and between; a caller's own; phases by step, and what of them is refused; the flags that say all this,
 * another attention at a resume; presets as they are meant; and that models which see the future are
 * neither trained nor scored.
 */

import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import { checkConfig, type ModelConfig } from "../src/files/model_config.ts";
import { checkTrain } from "../src/files/train_config.ts";
import { phaseAt, phasesOf } from "../src/files/phases.ts";
import { preset, presetFor, PRESETS } from "../src/files/presets.ts";
import { patternsIn } from "../src/pattern/patterns_in.ts";
import { ConfigError } from "../src/base/errors.ts";
import { Scorer } from "../src/run/evaluate.ts";
import { Parameters } from "../src/model/parameters.ts";
import { learningRate, scheduleRows } from "../src/model/optimizer.ts";
import { ReferenceEngine } from "../src/engines/reference/engine.ts";
import { train, Trainer } from "../src/run/train.ts";
import { answer, failed, files } from "./commands.ts";
import { SMALL, TEXT } from "./model.ts";

const MODEL: ModelConfig = {
  ...SMALL,
  attention: [{ pattern: "local", stride: 4 }, { pattern: "strided", stride: 8, integration: "multihead" }],
};
const text = new TextEncoder().encode(TEXT);

Deno.test("recipe: schedules rise over the warm-up and fall to their least", () => {
  const at = (schedule: "cosine" | "linear" | "constant", lr_min: number) => {
    const train = checkTrain({ steps: 110, warmup: 10, lr: 0.5, schedule, lr_min });
    return [0, 9, 10, 60, 110, 500].map((t) => learningRate(t, train));
  };
  const near = (got: number[], want: number[]) => want.forEach((value, i) => assertAlmostEquals(got[i], value, 1e-12));
  near(at("cosine", 0), [0.05, 0.5, 0.5, 0.25, 0, 0]);
  near(at("linear", 0.2), [0.05, 0.5, 0.5, 0.3, 0.1, 0.1]);
  near(at("constant", 0.2), [0.05, 0.5, 0.5, 0.5, 0.5, 0.5]);
});

Deno.test("recipe: rows of constants go back from the update that is next, and a caller's rate is checked", () => {
  const constants = checkTrain({ steps: 100, warmup: 0, lr: 0.5, muon_lr: 0.02, beta1: 0.5, beta2: 0.25 });
  const rows = scheduleRows(constants, 2, (t) => t + 1);
  assertEquals([...rows.subarray(0, 4)], [3, 1 / (1 - 0.5 ** 3), 1 / (1 - 0.25 ** 3), 0.02 * 3 / 0.5].map(Math.fround));
  assertEquals([...rows.subarray(8, 12)], [...rows.subarray(28, 32)], "before the first update there is none");
  assertThrows(() => scheduleRows(constants, 2, () => NaN), ConfigError, "the learning rate of update 2 must be a number from 0");
});

Deno.test("recipe: a caller's learning rate is the run's", async () => {
  const engine = new ReferenceEngine(), rates: number[] = [];
  const options = { engine, config: MODEL, train: { steps: 4, batch: 1 }, data: text, reportSeconds: 0 };
  for await (const { lr } of train({ ...options, learningRate: (t) => 0.001 * (t + 1) })) rates.push(lr);
  assertEquals(rates, [0.001, 0.002, 0.003, 0.004]);
});

Deno.test("recipe: phases follow from the step, keep to the model, and the last step is the model's own", () => {
  const phases = [{ until: 0.25, n_ctx: 8, batch: 6 }, { until: 0.5, attention: { pattern: "local" as const, stride: 2 } }];
  const found = phasesOf(MODEL, { steps: 40, batch: 2, phases });
  assertEquals(found.map(({ end, batch, config }) => [end, batch, config.n_ctx]), [[10, 6, 8], [20, 2, 32], [40, 2, 32]]);
  assertEquals([0, 9, 10, 19, 20, 39, 40].map((t) => phaseAt(found, t).index), [0, 0, 1, 1, 2, 2, 2]);
  assertEquals(found[1].config.attention, { pattern: "local", stride: 2 });
  assertEquals(phasesOf(MODEL, { steps: 1, phases }).map(({ end }) => end), [0, 0, 1]);
  const wrong: [unknown, string][] = [
    [7, "phases must be a list"],
    [[7], "phases[0] must be an object"],
    [[{ until: 1 }], "phases[0].until must be a number above 0 and below 1"],
    [[{ until: 0.5 }, { until: 0.5 }], "phases[1].until must be a number above 0.5"],
    [[{ until: 0.5, steps: 3 }], 'phases[0] has an unknown field "steps"'],
    [[{ until: 0.5, n_ctx: 64 }], "phases[0].n_ctx must be at most the model's 32"],
    [[{ until: 0.5, batch: 0 }], "phases[0].batch must be a whole number from 1"],
    [[{ until: 0.5, attention: { pattern: "none" } }], "pattern must be one of"],
  ];
  for (const [phases, includes] of wrong) assertThrows(() => phasesOf(MODEL, { phases } as never), ConfigError, includes);
});

Deno.test("recipe: a short phase is scored on the beginnings of units, as it is trained", async () => {
  const bits = async (rest: number) => {
    // Three units of 32, alike in their first 8 tokens.
    const heldOut = Uint8Array.from({ length: 96 }, (_, at) => at % 32 < 8 ? at % 32 : rest),
      engine = new ReferenceEngine(),
      found: unknown[] = [];
    const constants = { steps: 2, batch: 1, phases: [{ until: 0.5, n_ctx: 8 }] };
    const options = {
      engine,
      config: MODEL,
      train: constants,
      data: text.subarray(0, 640),
      unit: 32,
      heldOut,
      evaluations: 2,
      reportSeconds: 0,
    };
    for await (const { heldOut } of train(options)) if (heldOut !== undefined) found.push(heldOut);
    return found;
  };
  const [a, b] = [await bits(3), await bits(77)];
  assertEquals(a[0], b[0]);
  assert(a[1] !== b[1]);
});

Deno.test("recipe: the small presets learn by Muon, the paper's are the paper's; images of another size have phases of whole rows", () => {
  for (const [name, { about, model, train }] of Object.entries(PRESETS)) {
    const small = !about.startsWith("paper: "), { optimizer } = checkTrain(train);
    assertEquals([optimizer, model.init], small ? ["muon", undefined] : ["adamw", "paper"], name);
    assertEquals(phasesOf(model, train).at(-1)!.config, checkConfig(model));
  }
  const { model, train } = presetFor("image", [12, 20, 1]).preset;
  assertEquals([model.n_ctx, patternsIn(model.attention).at(-1)!.stride, train.phases![0].n_ctx], [240, 20, 60]);
  assertEquals(preset("image").train.phases![0].n_ctx, 768);
});

Deno.test("recipe: what sees the future is neither trained nor scored", async () => {
  const engine = new ReferenceEngine(),
    both: ModelConfig = { ...MODEL, attention: [MODEL.attention, { pattern: "dense", causal: false }].flat() as never };
  const config = { ...both, attention: (both.attention as never[]).slice(1) } as ModelConfig, params = new Parameters(config);
  engine.allocate(params.all);
  const message = "the attention of layer 1 is not causal, so a position sees the token that it is to predict";
  await assertRejects(() => Trainer.create(engine, config, {}), ConfigError, `Cannot train: ${message}`);
  await assertRejects(() => Scorer.create(engine, params, 1), ConfigError, `Cannot evaluate: ${message}`);
  const phases = [{ until: 0.5, attention: { pattern: "dense" as const, causal: false } }];
  await assertRejects(() => Trainer.create(engine, MODEL, { phases }), ConfigError, "the attention of layer 0 is not causal");
});

const folder = Deno.makeTempDirSync({ prefix: "longstride-recipe-" }), at = (name: string) => join(folder, name);
Deno.writeTextFileSync(at("config.json"), JSON.stringify(MODEL));
Deno.writeFileSync(at("text.txt"), text);
const tiny = (out: string, ...more: string[]) => [
  ...["train", "--config", at("config.json"), "--data", at("text.txt"), "--backend", "wasm", "--threads", "1", "--out", at(out)],
  ...more,
];

Deno.test("recipe: the command line says phases, schedule, optimizer and first weights", async () => {
  const phases = '[{"until": 0.5, "n_ctx": 16, "batch": 4}]';
  const flags = [
    "--phases",
    phases,
    "--optimizer",
    "muon",
    "--muon-lr",
    "0.02",
    "--schedule",
    "linear",
    "--lr-min",
    "0.1",
    "--init",
    "paper",
  ];
  const whole = await answer(...tiny("whole", "--steps", "12", ...flags));
  assertEquals([whole.code, whole.err], [0, ""]);
  assertMatch(whole.out, /^Training +12 steps of 32 bytes, muon 0.02, adamw 0.001 after 2 steps, linear, seed 0; one epoch is 84 steps$/m);
  assertMatch(whole.out, /^Reach +these layers together never bring some positions to others \(such as 0 to 13\); layout shows which$/m);
  assertMatch(whole.out, /^Phases +4 × 16 until step 6; 1 × 32 to the end$/m);
  assertMatch(whole.out, /^step +\d+\/12 {2}phase 1\/2 {2}loss/m);
  assertMatch(whole.out, /^Phase 2 of 2: 1 × 32 to the end$/m);
  const saved = JSON.parse(files(at("whole")).get("state-12/run.json")!).train;
  assertEquals([saved.phases, saved.schedule, saved.lr_min, saved.muon_lr], [JSON.parse(phases), "linear", 0.1, 0.02]);
  assertEquals(JSON.parse(files(at("whole")).get("config.json")!).init, "paper");
  const none = await answer(...tiny("none", "--steps", "2", "--phases", "none", "--pattern", "dense"));
  assertEquals([none.code, /^(Phases|Reach)/m.test(none.out)], [0, false]);
  failed(await answer(...tiny("bad", "--phases", "[{")), 2, "Cannot use --phases", "it is none, a list such as");
  failed(await answer(...tiny("bad", "--phases", '[{"until": 2}]')), 2, "phases[0].until must be a number above 0 and below 1");
  failed(await answer(...tiny("bad", "--optimizer", "moon")), 2, "did you mean muon?");
  failed(await answer(...tiny("bad", "--no-causal")), 1, "is not causal");
});

Deno.test("recipe: a resume takes another attention, context or rate where the weights fit, and says so", async () => {
  assertEquals((await answer(...tiny("first", "--steps", "3"))).code, 0);
  const resume = ["train", "--resume", at("first"), "--data", at("text.txt"), "--backend", "wasm", "--steps", "5"];
  const other = await answer(...resume, "--stride", "4", "--n-ctx", "30", "--lr", "0.0005");
  assertEquals([other.code, other.err], [0, ""]);
  assertMatch(
    other.out,
    /Changed since: n_ctx 32 → 30, attention local l 4, then strided multihead l 8 → local l 4, then strided multihead l 4, steps 3 → 5, lr 0.001 → 0.0005;/,
  );
  failed(await answer(...resume, "--steps", "7", "--init", "paper"), 2, "Cannot use --init with --resume");
  const config = JSON.parse(files(at("first")).get("config.json")!);
  assertEquals([config.n_ctx, config.attention[0].stride, config.attention[1].stride, config.position.stride], [30, 4, 4, 8]);
  failed(await answer(...resume, "--steps", "7", "--n-ctx", "64"), 1, "embed.position.0.weight from [4, 16] to [8, 16]");
});

Deno.test("recipe: --layers keeps the head of a list of patterns and repeats its tail; flags are for the layers like the last", async () => {
  const made = async (...flags: string[]) => {
    const { code, events, err } = await answer(
      "train",
      "--data",
      at("text.txt"),
      "--steps",
      "1",
      "--backend",
      "wasm",
      "--d-model",
      "16",
      ...flags,
    );
    assertEquals([code, err], [0, ""]);
    return (events[0].config as ModelConfig).attention as { pattern: string; stride: number }[];
  };
  const small = ["--d-qk", "16", "--d-ff", "16", "--n-ctx", "64", "--json"];
  assertEquals((await made("--layers", "6", "--out", at("six"), ...small)).map(({ stride }) => stride), [4, 4, 16, 32, 32, 32]);
  assertEquals((await made("--layers", "2", "--out", at("two layers"), ...small)).map(({ stride }) => stride), [4, 32]);
  assertEquals(
    (await made("--pattern", "fixed", "--stride", "8", "--c", "2", "--out", at("fix"), ...small)).map((
      { pattern, stride },
    ) => [pattern, stride]),
    [["local", 4], ["local", 4], ["fixed", 8], ["fixed", 8]],
  );
});

Deno.test("recipe: a preset's phases follow the context and the batch that are asked for", async () => {
  const made = async (...flags: string[]) => {
    const args = ["train", "--preset", "sound", "--data", at("text.txt"), "--as", "bytes", "--steps", "1", "--backend", "wasm", "--json"];
    const { code, events, err } = await answer(...args, "--d-model", "16", "--d-qk", "16", "--d-ff", "16", ...flags);
    assertEquals([code, err], [0, ""]);
    return (events[0].train as { phases: unknown }).phases;
  };
  assertEquals(await made("--n-ctx", "256", "--out", at("short")), []);
  assertEquals(await made("--n-ctx", "1024", "--batch", "2", "--out", at("two")), [{ until: 0.7, n_ctx: 512, batch: 16 }]);
});

Deno.test("recipe: what was made for it goes", () => Deno.remove(folder, { recursive: true }));
