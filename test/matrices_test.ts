/**
 * Kernels by subgroup matrices, which no test machine has.
 *
 * Plan. Their texts, in every variant that is taken or tried, are valid to Dawn's compiler, on its null backend, which has the extension and
 * no GPU. Plain code in the place of the matrices runs the same texts on any device: held to the oracle as all kernels are, and told from
 * those that a device without matrices takes, which are as right. What a device offers is read from its features and configurations, those
 * made up here.
 */

import "../src/ops/late.gen.ts";
import { assert, assertEquals } from "@std/assert";
import { createRequire } from "node:module";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import { findMatrices } from "../src/engines/webgpu/matrices.ts";
import { loadLate } from "../src/engines/webgpu/plan/index.gen.ts";
import { addKernels } from "../src/engines/webgpu/shader/link.ts";
import { memoryOf } from "../src/engines/webgpu/shader/memory.ts";
import { Pipelines } from "../src/engines/webgpu/shader/pipelines.ts";
import { type Matrices, specialise, type Values } from "../src/engines/webgpu/shader/specialise.ts";
import { WGSL } from "../src/engines/webgpu/shader/wgsl_matrices.gen.ts";
import { attentionByMatrices } from "../src/engines/webgpu/tuning/matrix_variants.ts";
import { matrixTrials } from "../src/engines/webgpu/tuning/trials.ts";
import { pick } from "./cases.ts";
import { disposeEngines, engine, gpuTest } from "./engines.ts";
import { software } from "./gpu.ts";
import { needing } from "./needs.ts";
import { deviations } from "./runtimes/conformance.ts";

const PRODUCTS = ["linear", "linear_input_grad", "linear_weight_grad", "muon_apply", "muon_gram_whole"];
const ATTENTION = ["forward", "backward_dq", "backward_dk", "backward_dv"].map((name) => `attention_${name}_matrices`);

/** Every variant of every kernel by matrices of one size, attention's for heads of some widths. */
function* variants(sizes: { MATRIX: number; LANES: number }, widths: readonly number[][]): Generator<[kernel: string, values: Values]> {
  const { linear, attention } = matrixTrials(sizes), own = { STORAGE: "f16x4", MATRICES: "subgroup" } as const;
  const epilogue = { BIAS: true, PRE: true, GELU: true, DROPOUT: true, RESIDUAL: true };
  const all: Record<string, Values> = {
    linear: epilogue,
    linear_input_grad: { GELU: true, RESIDUAL: true },
    linear_weight_grad: { ACCUMULATE: true },
    muon_gram_whole: { POLYNOMIAL: true },
    muon_apply: {},
  };
  for (const [kernel, values] of Object.entries(all)) for (const variant of linear) yield [kernel, { ...values, ...variant, ...own }];
  for (const kernel of ATTENTION) {
    for (const { TX, TY, TM, TN, LANES, MATRIX, BITS } of attention) {
      for (const [D4, V4] of widths) {
        yield [kernel, { TX, TY, TM, TN, LANES, MATRIX, BITS, GROUPED: 0, ALIBI: 0, SPANS: 0, D4, V4, ...own }];
      }
    }
  }
}

needing(["dawn"], "matrices: every variant of every kernel is valid to Dawn's compiler", async () => {
  await loadLate();
  addKernels(WGSL);
  const addon = Deno.env.get("LONGSTRIDE_TEST_DAWN");
  if (!addon) throw new Error("deno task test finds Dawn, or leaves this out: it sets LONGSTRIDE_TEST_DAWN");
  const { create } = createRequire(import.meta.url)(addon);
  const gpu: GPU = create(["enable-dawn-features=allow_unsafe_apis", "backend=null"]), adapter = (await gpu.requestAdapter())!;
  const requiredFeatures = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"] as GPUFeatureName[];
  const device = await adapter.requestDevice({ requiredFeatures }), invalid: string[] = [];
  let count = 0;
  const all = [
    ...variants({ MATRIX: 16, LANES: 32 }, [[4, 4], [20, 12]]),
    ...variants({ MATRIX: 8, LANES: 32 }, [[6, 16]]),
  ];
  for (const [kernel, values] of all) {
    count++;
    device.pushErrorScope("validation");
    device.createShaderModule({ code: specialise(kernel, values) });
    const error = await device.popErrorScope();
    if (error) invalid.push(`${kernel} ${JSON.stringify(values)}: ${error.message}`);
  }
  assertEquals(invalid, []);
  assert(count >= 90, `${count} variants`);
  device.destroy();
});

/** A device of which only this is asked. */
const deviceWith = (...features: string[]) => ({ features: new Set(features) }) as unknown as GPUDevice;

Deno.test("matrices: what a device offers is read from its features and configurations; one that refuses a product does without", async () => {
  const square = (side: number) => ({ componentType: "f16", resultComponentType: "f32", M: side, N: side, K: side });
  const info = (more: object) => ({ subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: [square(8), square(16)], ...more });
  const all = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"], asked: string[] = [];
  const compiling = (fail?: Error) =>
    ({
      get: (kernel: string, { MATRIX, LANES }: Values) => {
        asked.push(`${kernel} ${MATRIX} ${LANES}`);
        return fail ? Promise.reject(fail) : Promise.resolve();
      },
    }) as unknown as Pipelines;
  const found = async (device: GPUDevice, given: object | undefined, pipelines = compiling()) => {
    const units = await findMatrices(device, given as GPUAdapterInfo | undefined, pipelines, "auto");
    return units && `${units.MATRIX} of ${units.LANES}`;
  };
  assertEquals(await found(deviceWith(...all), info({})), "16 of 32");
  assertEquals(await found(deviceWith(...all), info({ subgroupMatrixConfigs: [square(8)] })), "8 of 32");
  assertEquals(asked, ["linear 16 32", "linear 8 32"]);
  for (const missing of all) assertEquals(await found(deviceWith(...all.filter((one) => one !== missing)), info({})), undefined, missing);
  const other = { ...square(16), resultComponentType: "f16" }, flat = { ...square(16), N: 8 };
  assertEquals(await found(deviceWith(...all), info({ subgroupMatrixConfigs: [other, flat] })), undefined);
  assertEquals(await found(deviceWith(...all), info({ subgroupMinSize: 16 })), undefined, "subgroups of several sizes");
  assertEquals(await found(deviceWith(...all), undefined), undefined);
  const { KernelError } = await import("../src/base/errors.ts");
  assertEquals(await found(deviceWith(...all), info({}), compiling(new KernelError("refused"))), undefined);
  assertEquals(await findMatrices(deviceWith(...all), info({}) as unknown as GPUAdapterInfo, compiling(), "none"), undefined);
});

// Tiles full and partial, in order and by parts, one stage and several, widths that differ; products of odd sizes, whole epilogues.
const CASES = [
  ...["strided", "fixed", "dense"].map((pattern) => pick({ op: "attention", pattern, n: 101, d: 16, dtype: "f16" })[0]),
  ...pick({ op: "linear", rows: 130, dtype: "f16" }, { op: "linear_input_grad", rows: [65, 130], dtype: "f16" }),
  ...pick({ op: "linear_weight_grad", rows: 130, dtype: "f16" }, { op: "muon", dtype: "f16" }),
];

/** Does work, and adds to a set the kernels for which it asks with values that `isMeant` says yes to. */
async function seeing(ran: Set<string>, isMeant: (values: Values) => boolean, work: () => Promise<void>): Promise<void> {
  const { get } = Pipelines.prototype;
  Pipelines.prototype.get = function (kernel: string, values: Values) {
    if (isMeant(values)) ran.add(kernel);
    return get.call(this, kernel as never, values as never);
  };
  try {
    await work();
  } finally {
    Pipelines.prototype.get = get;
  }
}

/** Kernels by matrices that the cases ran. */
const ran = new Set<string>();

for (const c of CASES) {
  gpuTest(`matrices, by plain code: ${c.name}`, () =>
    seeing(ran, ({ MATRICES }) => MATRICES === "plain", async () => {
      assertEquals(await deviations(await engine("webgpu-matrices"), c), []);
    }));
}

gpuTest("matrices, by plain code: products of f16 alone with two tiles on their way, whose number is odd", async () => {
  const large = await WebGpuEngine.create({ ...software, matrices: "plain", tiles: "largest" }), ahead = new Set<string>();
  await seeing(ahead, ({ AHEAD }) => AHEAD === 2, async () => {
    for (const c of pick({ op: "linear_weight_grad", rows: 130, dtype: "f16" }, { op: "muon", dtype: "f16" })) {
      assertEquals(await deviations(large, c), [], c.name);
    }
  });
  large.dispose();
  assertEquals([...ahead].sort(), ["linear_weight_grad", "muon_apply", "muon_gram_whole"]);
});

gpuTest("matrices, by plain code: every kernel that has them was among those", () => {
  assertEquals([...ran].sort(), [...ATTENTION, ...PRODUCTS].sort());
  return Promise.resolve();
});

Deno.test("matrices: the workgroup memory of every variant is known, of heads of 64 below 24 KiB", async () => {
  await loadLate();
  addKernels(WGSL);
  const of = (MATRICES: Matrices, heads: [number, number]) =>
    [...variants({ MATRIX: 16, LANES: 32 }, [heads])].map(([kernel, values]) => ({
      kernel,
      bytes: memoryOf(kernel, { ...values, MATRICES }),
    }));
  for (const { kernel, bytes } of [...of("plain", [4, 4]), ...of("subgroup", [20, 12])]) assert(bytes > 0, `${kernel}: ${bytes}`);
  const [{ TX, TY, TM, TN, LANES, MATRIX }] = attentionByMatrices({ MATRIX: 16, LANES: 32 });
  for (const kernel of ATTENTION) {
    const bytes = memoryOf(kernel, { TX, TY, TM, TN, LANES, MATRIX, BITS: 0, D4: 16, V4: 16, MATRICES: "subgroup", STORAGE: "f16x4" });
    assert(bytes <= 24 * 1024, `${kernel}: ${bytes}`);
  }
});

Deno.test.afterAll(disposeEngines);
