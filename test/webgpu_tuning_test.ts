/**
 * Measuring the WebGPU engine's variants, and the files of what was measured. (The command is tune_test.ts's.)
 *
 * Plan. A small sweep keeps what agrees with the oracle, and what it answers is used; what is best is reckoned by hand; files are read
 * strictly and merged.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { BackendError, ConfigError } from "../src/base/errors.ts";
import { preset } from "../src/files/presets.ts";
import { resolveSets } from "../src/pattern/sets.ts";
import { ReferenceEngine } from "../src/engines/reference/engine.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import { bestOf, nameOfWork, tune } from "../src/engines/webgpu/tuning/tune.ts";
import { formatTuning, mergeTunings, parseTuning, type Tuning, TUNING_VERSION } from "../src/engines/webgpu/tuning/tuning.ts";
import { ATTENTION_DEFAULTS, ATTENTION_KERNELS, LINEAR_KERNELS } from "../src/engines/webgpu/tuning/variants.ts";
import { attentionByMatrices } from "../src/engines/webgpu/tuning/matrix_variants.ts";
import { ATTENTION_VARIANTS, LINEAR_VARIANTS } from "../src/engines/webgpu/tuning/trials.ts";
import { trainingWorks } from "../src/run/works.ts";
import { only } from "./cases.ts";
import { gpuTest } from "./engines.ts";
import { outputs } from "./runtimes/conformance.ts";
import { relativeError } from "../src/run/verify.ts";
import { software } from "./gpu.ts";

gpuTest("tune: attention by matrices is measured, and what the engine takes by itself is tried before the others", async () => {
  const engine = await WebGpuEngine.create({ ...software, matrices: "plain" });
  if (!engine.timestamps) return engine.dispose();
  const attention = [...ATTENTION_DEFAULTS.slice(4), ...attentionByMatrices({ MATRIX: 16, LANES: 32 }, 4, 16)].map((one) => ({ ...one }));
  const work = {
    sets: resolveSets({ pattern: "strided", stride: 16 }, { n: 40, layer: 0, heads: 1 }),
    n: 40,
    d: 16,
    dtype: "f16" as const,
  };
  const { choices } = await tune(engine, [work], { variants: { attention, linear: [] }, seconds: 0.001 });
  const kernels = ["backward_dk", "backward_dq", "backward_dv", "forward"].map((name) => `attention_${name}`);
  assertEquals(choices.map(({ kernel, variant }) => [kernel, variant.MATRIX]).sort(), kernels.map((kernel) => [kernel, 16]));
  engine.dispose();
});

gpuTest("tune: measures, keeps what agrees, and what it answers is used", async () => {
  const engine = await WebGpuEngine.create(software);
  if (!engine.timestamps) {
    await assertRejects(() => tune(engine, []), BackendError, "timestamp-query");
    return engine.dispose();
  }
  const variants = {
    attention: [...ATTENTION_DEFAULTS.slice(3), { ...ATTENTION_DEFAULTS[4], KEEP: 1 }, { ...ATTENTION_DEFAULTS[4], BITS: 1 }]
      .map((one) => ({ ...one })),
    linear: LINEAR_VARIANTS.slice(-1).map((one) => ({ ...one })),
  };
  const seen: string[] = [], inOrder: string[] = [], kept: string[] = [];
  const { description } = engine;
  let trials = 0;
  const tuning = await tune(engine, [
    { sets: resolveSets({ pattern: "strided", stride: 16 }, { n: 70, layer: 0, heads: 2 }), n: 70, d: 8 },
    { sets: resolveSets({ pattern: "dense" }, { n: 40, layer: 0, heads: 2 }), n: 40, d: 8 },
    { rows: 65, in: 64, out: 68, dtype: "f16" },
  ], {
    variants,
    report: (trial) => {
      assertEquals(trial.failures, []);
      assertEquals(trial.at, ++trials);
      assertEquals(trial.of, 13);
      for (const { kernel, difference, variant } of trial.measured) {
        assert(difference < 5e-3);
        seen.push(kernel);
        if (variant.BITS) inOrder.push(trial.work);
        if (variant.KEEP) kept.push(kernel);
      }
    },
  });
  assertEquals(new Set(seen), new Set([...ATTENTION_KERNELS, ...LINEAR_KERNELS]));
  assertEquals(inOrder.length, ATTENTION_KERNELS.length);
  assert(inOrder.every((work) => work.startsWith("strided 16")), "dense has no other order");
  assertEquals(kept, ["attention_backward_dkv", "attention_backward_dkv"]);
  for (const { kernel, variant } of tuning.choices) {
    assert([...variants.attention, ...variants.linear].some((one) => JSON.stringify(one) === JSON.stringify(variant)), kernel);
  }
  engine.dispose();

  // dk and dv by one kernel, and a variant that no device has room for, which is passed over.
  const kind = "strided 64/64 f32", sizes = [70, 16], huge = { ...ATTENTION_DEFAULTS[0], TY: 64, OWN_A: 1 };
  const given: Tuning = {
    version: TUNING_VERSION,
    device: description,
    choices: [
      { kernel: "attention_backward_dkv", kind, sizes, variant: { ...ATTENTION_DEFAULTS[3] }, ms: 1 },
      { kernel: "attention_forward", kind, sizes, variant: { ...huge }, ms: 1 },
    ],
  };
  const tuned = await WebGpuEngine.create({ ...software, tuning: given }), oracle = new ReferenceEngine();
  const c = only({ op: "attention", pattern: "strided", n: 70, d: 64, dv: 64, dtype: "f32" });
  const want = await outputs(oracle, c), got = await outputs(tuned, c);
  c.problem.outputs.forEach((t, i) => assert(relativeError(got[i], want[i]) <= 5e-6, t.name));
  tuned.dispose();
  await assertRejects(
    () => WebGpuEngine.create({ ...software, tuning: { ...given, device: "another" } }),
    ConfigError,
    'it was measured on "another"',
  );
});

Deno.test("tune: dk and dv by one kernel, and dq from what it keeps, only where all of it together is faster", () => {
  const chosen = (times: Record<string, number>) => {
    const fastest = Object.entries(times).map(([name, ms]) => {
      const KEEP = Number(name === "kept"), kernel = KEEP ? "attention_backward_dkv" : `attention_backward_${name}`;
      const measured = { kernel, kind: "dense 64/64 f32", sizes: [64, 1], variant: { KEEP }, ms, difference: 0 };
      return [KEEP ? "attention_backward_dq_kept" : kernel, measured] as const;
    });
    return bestOf(new Map(fastest)).map(({ kernel, variant, ms }) => `${kernel.slice(19)} ${ms}${variant.KEEP ? " kept" : ""}`).join(", ");
  };
  assertEquals(chosen({ dq: 4, dk: 3, dv: 2 }), "dq 4, dk 3, dv 2");
  assertEquals(chosen({ dq: 4, dk: 3, dv: 2, dkv: 5 }), "dq 4, dk 3, dv 2");
  assertEquals(chosen({ dq: 4, dk: 3, dv: 2, dkv: 4.5 }), "dq 4, dk 3, dv 2, dkv 4.5");
  assertEquals(chosen({ dq: 4, dk: 3, dv: 2, dkv: 4.5, kept: 8.5 }), "dq 4, dk 3, dv 2, dkv 4.5");
  assertEquals(chosen({ dq: 4, dk: 3, dv: 2, dkv: 4.5, kept: 8 }), "dq 4, dk 3, dv 2, dkv 8 kept");
  assertEquals(chosen({ dq: 4, dk: 3, dv: 2, kept: 8 }), "dq 4, dk 3, dv 2, dkv 8 kept");
  assertEquals(chosen({ dq: 4, dk: 3, dv: 2, kept: 9 }), "dq 4, dk 3, dv 2");
});

Deno.test("tuning files: what was written is read, and anything else is refused", () => {
  const choice = { kernel: "linear", kind: "f32", sizes: [64, 64, 64], variant: { ...LINEAR_VARIANTS.at(-1)! }, ms: 0.25 };
  const tuning: Tuning = {
    version: TUNING_VERSION,
    device: 'WebGPU on "a" GPU',
    choices: [choice, {
      kernel: "attention_forward",
      kind: "strided 16/16 f16",
      sizes: [100, 8],
      variant: { ...ATTENTION_VARIANTS[1], BITS: 1 },
      ms: 1,
    }],
  };
  const text = formatTuning(tuning);
  assertEquals(parseTuning(text, "t.json"), tuning);
  assertEquals(parseTuning(formatTuning({ ...tuning, choices: [] }), "t.json").choices, []);
  const refused = (from: string | RegExp, to: string, message: string) => {
    assert(text.replace(from, "") !== text, `${from}`);
    assertStringIncludes(assertThrows(() => parseTuning(text.replace(from, to), "t.json"), ConfigError).message, message);
  };
  refused(text, "", "Cannot use the tuning t.json: it is not valid JSON");
  const version = `"version": ${TUNING_VERSION}`, mustBe = `version must be ${TUNING_VERSION}`;
  refused(text, "null", `${mustBe}, found nothing`);
  refused(version, '"version": 1', `${mustBe}, found 1; tune again`);
  refused(version, `${version}, "x": 1`, 'it has an unknown field "x"');
  refused(version, '"version": 3, "version": 3', 'names "version" twice');
  refused(/"choices".*\}\s*\]/s, '"choices": {}', "choices must be a list");
  refused('"kernel":"linear"', '"kernel":"adam"', "tune again");
  refused('"TM":4', '"TM":800', "tune again");
  refused('"BITS":1', '"BITS":2', "choices[1].variant is none that this version has for attention_forward");
  refused('"TM":4', '"TN":8', "twice");
  refused('"TM":4,', "", "choices[0].variant is none that this version has for linear");
  refused('"sizes":[64,64,64]', '"sizes":[64,0,64]', "choices[0].sizes");
  refused('"ms":0.25', '"ms":-1', "choices[0].ms");
  refused('"ms":0.25', '"ms":"x"', "choices[0].ms");
});

Deno.test("tuning again takes the place of what was measured before, and leaves the rest", () => {
  const make = (kernel: string, n: number, ms: number) => ({
    kernel,
    kind: "dense 16/16 f32",
    sizes: [n, 1],
    variant: { ...ATTENTION_DEFAULTS[4] },
    ms,
  });
  const tuning = (...choices: Tuning["choices"]): Tuning => ({ version: TUNING_VERSION, device: "a", choices });
  const before = tuning(
    make("attention_backward_dk", 100, 1),
    make("attention_backward_dkv", 100, 1),
    make("attention_backward_dkv", 200, 1),
  );
  const later = tuning(make("attention_backward_dk", 100, 2));
  assertEquals(mergeTunings(before, later).choices, [before.choices[2], later.choices[0]]);
  assertEquals(mergeTunings(undefined, later), later);
});

Deno.test("works of a model: each kind of attention and size of product once, as its program has them", () => {
  const model = {
    ...preset("text").model,
    n_layer: 4,
    n_ctx: 128,
    attention: { pattern: "strided", stride: 8, integration: "interleaved" } as const,
  };
  assertEquals(trainingWorks(model, { batch: 2, precision: "f16" }).map(nameOfWork), [
    "linear 256×128→128 f16",
    "window 8, n 128 ×2, 4 heads of 32 f16",
    "linear 256×128→512 f16",
    "linear 256×512→128 f16",
    "column 8, n 128 ×2, 4 heads of 32 f16",
    "linear 256×128→256 f16",
  ]);
});
