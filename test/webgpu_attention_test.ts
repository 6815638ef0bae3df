/**
 * Variants of attention on the WebGPU engine: orders, and what a kernel keeps for the next. Tiles are webgpu_tiles_test.ts's.
 *
 * Plan. Both orders agree with the oracle on both sides of their boundaries. Which is chosen is what the rule and measurements say. What does
 * not fit is made in parts, or not kept.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { OutOfMemoryError } from "../src/base/errors.ts";
import { type Attention, Program, tensor } from "../src/ops/mod.ts";
import { type AttentionConfig, resolveSets } from "../src/pattern/sets.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import { recordings } from "../src/engines/webgpu/recording.ts";
import { Bands } from "../src/engines/webgpu/bands.ts";
import { loadLate } from "../src/engines/webgpu/plan/index.gen.ts";
import { Plan, type PlanContext } from "../src/engines/webgpu/plan/plan.ts";
import { attentionProblem } from "../src/engines/webgpu/tuning/problems.ts";
import { TUNING_VERSION } from "../src/engines/webgpu/tuning/tuning.ts";
import { ATTENTION_DEFAULTS, type AttentionKernel } from "../src/engines/webgpu/tuning/variants.ts";
import type { Case } from "./case.ts";
import { only, pick, type Query } from "./cases.ts";
import { gpuTest, SPLIT } from "./engines.ts";
import { deviations } from "./runtimes/conformance.ts";
import { chooseAttention } from "../src/engines/webgpu/tuning/select.ts";
import { software } from "./gpu.ts";

// The suite sees each problem in the order that the rule chooses; these see every pattern, and every boundary, in both. Wider heads
// are further pipelines, and seconds each. Where nothing is kept they see both storages, as the suite did while only narrow sets kept.
const widths = (...pairs: [number, number][]): Query[] => pairs.map(([d, dv]) => ({ op: "attention", d, dv }));

const ORDERED = widths([4, 4], [16, 16], [32, 32], [20, 12], [5, 7]).map((query) => ({ ...query, dtype: "f32" }));

const UNKEPT = widths([4, 4], [16, 16]);

for (
  const [name, order, options, cases] of [
    ["webgpu", "in order", {}, ORDERED],
    ["webgpu, nothing kept,", "grouped", { keepBytes: 0 }, UNKEPT],
    ["webgpu-default", "in order", { limits: "default" }, ORDERED],
    ["webgpu-split", "in order", SPLIT, ORDERED],
    ["webgpu-default", "grouped", { limits: "default" }, ORDERED],
  ] as const
) {
  gpuTest(`${name}: attention ${order} agrees with the oracle`, async () => {
    const engine = await WebGpuEngine.create({ ...software, ...options, inOrder: order === "in order" });
    const chosen = pick(...cases), wrong: string[] = [];
    assert(chosen.length >= 60, `${chosen.length} cases`);
    for (const c of chosen) for (const what of await deviations(engine, c)) wrong.push(`${c.name}: ${what}`);
    engine.dispose();
    assertEquals(wrong, []);
  });
}

/** An attention over two heads that share a set, by its sizes. */
function attentionOf(config: AttentionConfig, n: number, batch = 1): Attention {
  const make = (name: string) => tensor(name, [batch * n, 2 * 64]), sets = resolveSets(config, { n, layer: 0, heads: 2 });
  return { op: "attention", q: make("q"), k: make("k"), v: make("v"), o: make("o"), lse: tensor("lse", [batch, 2, n]), sets, batch, n };
}

const LIMITS = {
  maxBufferSize: 2 ** 28,
  maxStorageBufferBindingSize: 2 ** 27,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupsPerDimension: 65535,
};

/** The variant that a plan chooses on a device of a browser's default limits. */
function chosenFor(config: AttentionConfig, n: number, more: Partial<PlanContext>, kernel: AttentionKernel) {
  const context = {
    limits: LIMITS,
    bands: new Bands(LIMITS),
    tiles: "auto",
    keep: 0,
    place: () => undefined,
    late: loadLate,
    ...more,
  } as const;
  return chooseAttention(new Plan(context), kernel, attentionOf(config, n));
}

Deno.test("the order of attention: by what it costs, as measured nearby, as far as bits have room", async () => {
  const strided = (stride: number): AttentionConfig => ({ pattern: "strided", stride });
  const bitsOf = async (
    config: AttentionConfig,
    n: number,
    more: Partial<PlanContext> = {},
    kernel: AttentionKernel = "attention_forward",
  ) => (await chosenFor(config, n, more, kernel)).BITS;
  // Few rows: less work and one stage instead of two. Many: a multiple of the work.
  assertEquals(await bitsOf(strided(16), 128), 1);
  assertEquals(await bitsOf(strided(128), 512), 1);
  assertEquals(await bitsOf(strided(16), 256), 0);
  assertEquals(await bitsOf(strided(128), 2048), 0);
  // What owns queries has one stage either way; what owns keys has the columns' after the segments'.
  const fixed: AttentionConfig = { pattern: "fixed", stride: 128, c: 32 };
  assertEquals(await bitsOf(fixed, 512), 0);
  assertEquals(await bitsOf(fixed, 512, {}, "attention_backward_dk"), 1);

  const inOrder = true;
  assertEquals(await bitsOf(strided(16), 256, { inOrder }), 1);
  assertEquals(await bitsOf(strided(16), 128, { inOrder: false }), 0);
  assertEquals(await bitsOf({ pattern: "dense" }, 256, { inOrder }), 0, "it is in order anyway, and needs no bits");
  assertEquals(await bitsOf(strided(128), 16384, { inOrder }), 0, "32 MiB of bits");
  assertEquals(await bitsOf(strided(16), 1024, { inOrder, limits: { ...LIMITS, maxStorageBufferBindingSize: 128 * 1024 } }), 0);

  const { kind } = attentionProblem(attentionOf(strided(16), 256)), variant = { ...ATTENTION_DEFAULTS[3] };
  const tuning = (BITS: number, n: number, l: number): Partial<PlanContext> => ({
    tuning: {
      version: TUNING_VERSION,
      device: "",
      choices: [{ kernel: "attention_forward", kind, sizes: [n, l], variant: { ...variant, BITS }, ms: 1 }],
    },
  });
  assertEquals(await bitsOf(strided(16), 256, tuning(1, 256, 16)), 1);
  assertEquals(await bitsOf(strided(16), 512, tuning(1, 256, 16)), 1);
  assertEquals(await bitsOf(strided(16), 128, tuning(0, 128, 16)), 0);
  assertEquals(await bitsOf(strided(16), 1024, tuning(1, 256, 16)), 0, "measured too far away for the order");
  assertEquals(await bitsOf(strided(16), 256, { ...tuning(1, 256, 16), tiles: "smallest" }), 0);
});

Deno.test("attention: dk and dv's kernel takes small tiles where these have fewer scores by more than each costs more", async () => {
  const limits = { ...LIMITS, maxComputeWorkgroupStorageSize: 49152 };
  const sideOf = async (config: AttentionConfig, n: number, more: Partial<PlanContext> = { limits }) => {
    const { TY, TM } = await chosenFor(config, n, more, "attention_backward_dkv");
    return TY * TM;
  };
  assertEquals(await sideOf({ pattern: "strided", stride: 128 }, 12288), 32);
  assertEquals(await sideOf({ pattern: "strided", stride: 256 }, 65536), 64);
  assertEquals(await sideOf({ pattern: "bigbird", block: 64, random: 8 }, 12288), 64);
  assertEquals(await sideOf({ pattern: "dense" }, 12288), 64);
  assertEquals(await sideOf({ pattern: "dense" }, 1024), 32, "so that a large GPU has something to do");
  assertEquals(await sideOf({ pattern: "dense" }, 12288, {}), 32, "no room in 16 KiB");
});

Deno.test("attention: whether ds is kept is what was measured, also where there is one order only", async () => {
  const config: AttentionConfig = { pattern: "dense" }, kernel = "attention_backward_dkv";
  const keepOf = async (KEEP?: number) => {
    const variant = { ...ATTENTION_DEFAULTS[4], KEEP: KEEP! };
    const choices = KEEP === undefined ? [] : [{ kernel, ...attentionProblem(attentionOf(config, 256)), variant, ms: 1 }];
    return (await chosenFor(config, 256, { tuning: { version: TUNING_VERSION, device: "", choices } }, kernel)).KEEP;
  };
  assertEquals([await keepOf(), await keepOf(0), await keepOf(1)], [1, 0, 1]);
});

/** Kernels that a case's program becomes, in order. */
async function kernelsOf(engine: WebGpuEngine, { name, problem }: Case): Promise<string[]> {
  const program = new Program(name), tensors = [...problem.inputs.keys()];
  for (const op of problem.ops) program.add(op);
  for (const page of problem.pages) engine.allocate(page);
  const executable = await engine.compile(program), kernels = recordings.get(executable)!.bound.map(({ dispatch }) => dispatch.kernel);
  executable.dispose();
  engine.free(tensors);
  return kernels;
}

const attentionCase = (query: Query) => only({ op: "attention", dtype: "f32", ...query });

const LONG: Query = { pattern: "dense", n: 1700 };

gpuTest("dk and dv's kernel keeps ds for dq where there is room: for all sequences, for some at a time, or not at all", async () => {
  const narrow = attentionCase({ pattern: "strided", stride: 16, n: 200, batch: 8 }), dense = attentionCase({ pattern: "dense", n: 200 });
  // Bytes to keep, by how many sequences of eight at a time they are for: statistics, and 28 pairs of tiles of 32 × 32 a head.
  const room = (sequences: number) => (8 * 2 * 200 * 2 + sequences * 2 * 28 * 32 * 32) * 4;
  for (
    const [c, keepBytes, groups] of [
      [dense, undefined, 1],
      [narrow, room(8), 1],
      [narrow, room(8) - 1, 2],
      [narrow, room(1), 8],
      [narrow, room(1) - 1, 0],
    ] as const
  ) {
    const engine = await WebGpuEngine.create({ ...software, keepBytes, inOrder: true });
    const kernels = await kernelsOf(engine, c);
    const count = (kernel: string) => kernels.filter((one) => one === `attention_backward_${kernel}`).length;
    const what = `${c.name}, ${keepBytes}: ${kernels}`;
    assertEquals([count("dq_kept"), count("dkv"), count("dq")], groups ? [groups, groups, 0] : [0, 1, 1], what);
    assertEquals(await deviations(engine, c), [], what);
    engine.dispose();
  }
  const small = await WebGpuEngine.create({ ...software, limits: "default" });
  const wide = attentionCase({ pattern: "strided", n: 70, d: 128 }), kept = "attention_backward_dq_kept";
  assert((await kernelsOf(small, narrow)).includes(kept));
  assert(!(await kernelsOf(small, wide)).includes(kept), "16 KiB of workgroup memory have no room for dk and dv at once");
  small.dispose();
});

gpuTest("lists that are cut keep ds too, of one sequence at a time as well, in both storages", async () => {
  const c = attentionCase(LONG), statistics = 2 * 1700 * 2 * 4, pairs = 54 * 55 / 2;
  for (const sequences of [1, 2]) {
    const engine = await WebGpuEngine.create({ ...software, keepBytes: statistics + sequences * pairs * 32 * 32 * 4 });
    const kernels = await kernelsOf(engine, c), once = ["dkv", "", "", "dq_kept", ""];
    const want = sequences === 1 ? [...once, ...once] : once;
    assertEquals(
      kernels.slice(kernels.indexOf("attention_backward_dkv")),
      want.map((name) => name ? `attention_backward_${name}` : "attention_join"),
    );
    for (const one of [c, c.half!]) assertEquals(await deviations(engine, one), [], `${one.name}, ${sequences} at a time`);
    engine.dispose();
  }
});

gpuTest("what kernels keep is given up where the device has no memory for it, and only that", async () => {
  const adapter = (await navigator.gpu.requestAdapter())!, { maxComputeWorkgroupStorageSize } = adapter.limits;
  const device = await adapter.requestDevice({ requiredLimits: { maxComputeWorkgroupStorageSize } });
  const create = device.createBuffer.bind(device), pop = device.popErrorScope.bind(device);
  // Buffers of more than `most` bytes are refused, as a device without memory left does it.
  let most = Infinity, isOver = false;
  const refused: string[] = [], alive = new Set<GPUBuffer>();
  class GPUOutOfMemoryError {
    readonly message = "not enough memory left";
  }
  device.createBuffer = (descriptor) => {
    const buffer = create(descriptor), destroy = buffer.destroy.bind(buffer);
    alive.add(buffer);
    buffer.destroy = () => {
      alive.delete(buffer);
      destroy();
    };
    if (descriptor.size > most) {
      refused.push(descriptor.label!);
      isOver = true;
      destroy();
    }
    return buffer;
  };
  device.popErrorScope = () => {
    const error = isOver ? new GPUOutOfMemoryError() : null, found = pop();
    isOver = false;
    return error ? Promise.resolve(error) : found;
  };
  const c = attentionCase(LONG), engine = await WebGpuEngine.create({ ...software, device }), before = alive.size;
  most = 2 * 54 * 55 / 2 * 32 * 32 * 4;
  assertEquals(await deviations(engine, c), []);
  assertEquals(refused.splice(0).map((label) => label.replace(/\d+$/, "")), [`${c.name} scratch `], "once, by the first plan");
  assertEquals(alive.size, before, "nothing is left of either plan");
  // Where nothing that is kept is in the way, the refusal is what the caller hears: a scratch tensor's, or a page's.
  most = 1700 * 4;
  await assertRejects(() => kernelsOf(engine, c), OutOfMemoryError, "Out of GPU memory: allocating ");
  engine.dispose();
  device.destroy();
});
