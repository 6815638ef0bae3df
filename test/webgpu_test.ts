/**
 * The WebGPU engine: planning of memory, limits, devices and errors. (Its kernels are webgpu_kernels_test.ts's, the variants of attention
 * webgpu_attention_test.ts's and webgpu_tiles_test.ts's, measuring them webgpu_tuning_test.ts's; that each operation is right is the conformance suite's to show.)
 *
 * Plan. Planning never lets two living tensors share a slot; what shares a page or lies in bands is right. Devices: a browser's default
 * limits, a software one, a caller's. What the device refuses comes out typed and named, and what is left can be gone on with.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { pickBackend } from "../src/run/backend.ts";
import { BackendError, KernelError, OutOfMemoryError, ShapeError } from "../src/base/errors.ts";
import "../src/ops/late.gen.ts";
import { HYPER, Program, size, type Tensor, tensor } from "../src/ops/mod.ts";
import { preset } from "../src/files/presets.ts";
import { resolveSets } from "../src/pattern/sets.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import { planSlots } from "../src/engines/webgpu/memory.ts";
import { profile } from "../src/engines/webgpu/tuning/profile.ts";
import { Trainer } from "../src/run/train.ts";
import { pick } from "./cases.ts";
import { gpuTest } from "./engines.ts";
import { deviations } from "./runtimes/conformance.ts";
import { relativeError } from "../src/run/verify.ts";
import { ALIGNMENT } from "../src/engines/webgpu/storage.ts";
import { bareDevice, software } from "./gpu.ts";

Deno.test("planning: tensors that live at the same time never share a slot", () => {
  let seed = 1;
  const random = (below: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % below;
  const lives = new Map<Tensor, [number, number]>();
  for (let i = 0; i < 60; i++) {
    const first = random(40);
    lives.set({ name: `t${i}`, shape: [1 + random(5000)], dtype: "f32", scratch: true }, [first, first + random(8)]);
  }
  const { slots, bytes } = planSlots(lives);
  for (const [a, [first, last]] of lives) {
    assert(bytes[slots.get(a)!] >= size(a) * 4);
    for (const [b, other] of lives) {
      assert(a === b || slots.get(a) !== slots.get(b) || last < other[0] || other[1] < first, `${a.name} and ${b.name} share a slot`);
    }
  }
  const alone = [...lives.keys()].reduce((sum, t) => sum + size(t) * 4, 0);
  assert(bytes.reduce((a, b) => a + b) < alone / 2, "sharing saves less than half");
});

const NAMES = [
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const;

gpuTest("default limits are those every browser gives", async () => {
  const engine = await WebGpuEngine.create({ ...software, limits: "default" }), { limits } = engine;
  assertEquals(limits.maxComputeWorkgroupStorageSize, 16384);
  assertEquals(limits.maxStorageBuffersPerShaderStage, 8);
  assertEquals(limits.maxComputeInvocationsPerWorkgroup, 256);
  assertEquals(limits.maxStorageBufferBindingSize, 128 * 2 ** 20);
  engine.dispose();
});

gpuTest("a software adapter is refused unless allowed", async () => {
  const engine = await WebGpuEngine.create(software), { isSoftware, description } = engine;
  engine.dispose();
  if (isSoftware) await assertRejects(() => WebGpuEngine.create(), BackendError, "computes on the CPU");
  else (await WebGpuEngine.create()).dispose();
  assertStringIncludes(description, "WebGPU on ");
});

gpuTest("a caller's device is used and left alive", async () => {
  const device = await bareDevice(), engine = await WebGpuEngine.create({ device });
  const x = tensor("x", [8]);
  engine.allocate([x]);
  engine.write(x, new Float32Array(8).fill(2));
  assertEquals(await engine.read(x), new Float32Array(8).fill(2));
  engine.dispose();
  device.pushErrorScope("validation");
  device.createBuffer({ size: 16, usage: 0x80 }).destroy();
  assertEquals(await device.popErrorScope(), null);
  device.destroy();
});

gpuTest("a caller's device that is lost, or below what kernels need, is refused with what to do", async () => {
  const device = await bareDevice();
  // No runtime here makes a device below WebGPU's own defaults: this one is a real one that says so.
  const limits = { ...Object.fromEntries(NAMES.map((name) => [name, device.limits[name]])), maxComputeInvocationsPerWorkgroup: 128 };
  const low = new Proxy(device, {
    get: (target, name) => name === "limits" ? limits : name === "lost" ? target.lost : target[name as keyof GPUDevice],
  });
  for (const backend of ["webgpu", "auto"] as const) {
    const error = await assertRejects(
      () => pickBackend(backend, { device: low }),
      BackendError,
      "maxComputeInvocationsPerWorkgroup is 128",
    );
    assertStringIncludes(error.message, "must be at least 256; request it with these as requiredLimits");
    assert(!/maxStorageBuffers/.test(error.message), error.message);
  }
  device.destroy();
  await device.lost;
  await assertRejects(() => pickBackend("auto", { device }), BackendError, "it is lost, destroyed");
});

gpuTest("a tensor larger than a binding lies in bands, and is written and read across them", async () => {
  const engine = await WebGpuEngine.create({ ...software, bindingBytes: 4096 });
  for (const dtype of ["f32", "f16"] as const) {
    const large = tensor("large", [300, 8], dtype), data = Float32Array.from({ length: 2400 }, (_, i) => i % 1000);
    engine.allocate([large]);
    engine.write(large, data);
    assertEquals(await engine.read(large), data);
    // Within a band, across two, across all, at the very end, nothing.
    for (const [from, to] of [[3, 5], [120, 135], [1, 299], [299, 300], [128, 128]]) {
      assertEquals(await engine.read(large, [from, to]), data.subarray(from * 8, to * 8), `${dtype} ${from} to ${to}`);
    }
    engine.free([large]);
    assertEquals(engine.persistentBytes, 0);
  }
  const wide = assertThrows(
    () => engine.allocate([tensor("layers.0.wide", [100, 17])]),
    OutOfMemoryError,
    "64 rows of layers.0.wide [100, 17]",
  );
  assertStringIncludes(wide.message, "at once, 4.3 KiB, the device binds at most 4.0 KiB; use narrower layers");
  engine.dispose();
});

gpuTest("where an operation needs all of a tensor, and a binding does not hold it, it says so", async () => {
  const engine = await WebGpuEngine.create({ ...software, bindingBytes: 8192 }), program = new Program("long");
  const n = 600, make = (name: string, ...shape: number[]) => tensor(name, shape), t = (name: string) => make(name, n, 8);
  const q = t("q"), k = t("k"), v = t("v"), o = t("o"), lse = make("lse", 1, 2, n);
  program.add({ op: "attention", q, k, v, o, lse, sets: resolveSets({ pattern: "dense" }, { n, layer: 0, heads: 2 }), batch: 1, n });
  engine.allocate([q, k, v, o, lse]);
  const error = await assertRejects(() => engine.compile(program), OutOfMemoryError, "Cannot plan attention");
  assertStringIncludes(error.message, "it needs all of k of one head [600, 4] at once, 9.4 KiB, the device binds at most 8.0 KiB");
  engine.dispose();
});

for (const precision of ["f32", "f16"] as const) {
  gpuTest(`steps in ${precision} on a device that binds 64 KiB at once are those of one that binds all`, async () => {
    const model = {
      ...preset("text").model,
      ...{ n_ctx: 48, n_layer: 2, n_head: 2, d_model: 32, d_ff: 64, d_qk: 32, dropout: 0.2 },
      attention: { pattern: "fixed", stride: 8, c: 2 } as const,
      position: { kind: "attention", stride: 8 } as const,
    };
    const text = new TextEncoder().encode("she sells sea shells by the sea shore; ".repeat(60)),
      all: ReadonlyMap<string, Float32Array>[] = [],
      scratch: number[] = [];
    // 960 rows: the widest activations take 240 KiB, logits 960.
    for (const bindingBytes of [undefined, 64 * 1024]) {
      const engine = await WebGpuEngine.create({ ...software, bindingBytes });
      const trainer = await Trainer.create(engine, model, { steps: 4, batch: 20, lr: 0.003, warmup: 0, precision, recompute: true });
      for (let step = 0; step < 2; step++) await trainer.step([text.subarray(step * 20, step * 20 + 960)]);
      const { m, skipped } = await trainer.snapshot();
      assertEquals(skipped, [0, 0]);
      all.push(m);
      scratch.push(trainer.scratchBytes);
      trainer.dispose();
      engine.dispose();
    }
    // A bias of keys shifts all scores of a row alike: its gradient is 0 but for rounding.
    for (const [name, want] of all[0]) {
      const error = name.endsWith("k.bias") ? 0 : relativeError(all[1].get(name)!, want);
      assert(error < (precision === "f32" ? 2e-5 : 5e-3), `${name}: ${error}`);
    }
    assert(scratch[1] < 1.6 * scratch[0], `${scratch} bytes of scratch`);
  });
}

gpuTest("uploads of another length, or detached, are refused", async () => {
  const engine = await WebGpuEngine.create(software), x = tensor("x", [4]), data = new Float32Array(4);
  assertThrows(() => engine.write(x, data), ShapeError, "not allocated");
  engine.allocate([x]);
  assertThrows(() => engine.allocate([x]), ShapeError, "already has a place");
  assertThrows(() => engine.write(x, new Float32Array(5)), ShapeError, "x [4]: it has 4 elements, got 5");
  structuredClone(data, { transfer: [data.buffer] });
  assertThrows(() => engine.write(x, data), ShapeError, "got 0");
  engine.dispose();
});

gpuTest("a program with a tensor that has no place is refused by name", async () => {
  const engine = await WebGpuEngine.create(software), program = new Program("p");
  program.add({ op: "sum", x: tensor("nowhere", [3]), y: tensor("y", [1]), scale: 1, accumulate: false });
  await assertRejects(() => engine.compile(program), ShapeError, "nowhere");
  engine.dispose();
});

gpuTest("a lost device is a typed error at the next run and read", async () => {
  const device = await bareDevice(), engine = await WebGpuEngine.create({ device }), x = tensor("x", [4]), y = tensor("y", [1]);
  const program = new Program("sum");
  program.add({ op: "sum", x, y, scale: 1, accumulate: false });
  engine.allocate([x, y]);
  const executable = await engine.compile(program);
  await executable.run();
  device.destroy();
  await device.lost;
  await new Promise((resolve) => setTimeout(resolve, 0));
  await assertRejects(() => executable.run(), BackendError, "is lost");
  await assertRejects(() => engine.read(y), BackendError, "is lost");
  engine.dispose();
});

gpuTest("a failed run is a typed error at the next read, naming the program", async () => {
  const engine = await WebGpuEngine.create(software), x = tensor("x", [4]), y = tensor("y", [1]), z = tensor("z", [1]);
  const program = new Program("summing freed tensors");
  program.add({ op: "sum", x, y, scale: 1, accumulate: false });
  engine.allocate([x, y]);
  engine.allocate([z]);
  const executable = await engine.compile(program);
  engine.free([x, y]);
  await executable.run();
  await assertRejects(() => engine.read(z), KernelError, "summing freed tensors");
  assertEquals(await engine.read(z), new Float32Array(1), "what is left can still be read");
  engine.dispose();
});

gpuTest("f16 takes two bytes an element, rounds to nearest even, and comes back as f32", async () => {
  const engine = await WebGpuEngine.create(software), half = tensor("half", [64, 64], "f16"), odd = tensor("odd", [64, 3], "f16");
  engine.allocate([half]);
  assertEquals(engine.persistentBytes, 64 * 64 * 2);
  engine.allocate([odd]);
  assertEquals(engine.persistentBytes, 64 * 64 * 2 + 64 * 3 * 4);
  const data = Float32Array.from({ length: 64 * 64 }, (_, i) => (i - 2048) / 3);
  engine.write(half, data);
  assertEquals(await engine.read(half), data.map((x) => Math.f16round(x)));
  engine.dispose();
});

gpuTest("choosing among more tokens than the kernel compares is an error that says how many", async () => {
  const engine = await WebGpuEngine.create(software),
    program = new Program("choose"),
    u32 = (...shape: number[]) => tensor("t", shape, "u32");
  const logits = tensor("logits", [1, 4097]), tape = u32(4, 1), position = u32(1), given = u32(1), choice = tensor("choice", [5]);
  const seeds = u32(2);
  program.add({ op: "choose", logits, tape, position, given, choice, seeds });
  engine.allocate([logits, tape, position, given, choice, seeds]);
  await assertRejects(
    () => engine.compile(program),
    ShapeError,
    "the vocabulary has 4097 tokens, the WebGPU engine has a kernel up to 4096",
  );
  engine.dispose();
});

gpuTest("tensors read and written by one dispatch may share a page", async () => {
  const engine = await WebGpuEngine.create(software), x = tensor("x", [5]), y = tensor("y", [1]), program = new Program("sum in a page");
  program.add({ op: "sum", x, y, scale: 2, accumulate: true });
  engine.allocate([x, y]);
  engine.write(x, new Float32Array([1, 2, 3, 4, 5]));
  engine.write(y, new Float32Array([100]));
  const executable = await engine.compile(program);
  await executable.run();
  assertEquals(await engine.read(y), new Float32Array([130]));
  engine.dispose();
});

gpuTest("operands and results of every operation in one page, which its kernels then declare writable, agree with the oracle", async () => {
  const engine = await WebGpuEngine.create(software), wrong: string[] = [];
  for (const op of new Set(pick().map(({ fields }) => fields.op))) {
    // One of middling size.
    const cases = pick({ op, dtype: "f32" }), c = cases[cases.length >> 1];
    for (const what of await deviations(engine, c, [[...c.problem.inputs.keys()]])) wrong.push(`${c.name}: ${what}`);
  }
  engine.dispose();
  assertEquals(wrong, []);
});

gpuTest("an update over one page is one dispatch, and decay reaches only the tensors that decay", async () => {
  const engine = await WebGpuEngine.create(software);
  const list = (kind: string) => [[3, 5], [70], [2, 64], [1]].map((shape, i) => tensor(`${kind}${i}`, shape));
  const params = list("p"),
    grads = list("g"),
    m = list("m"),
    v = list("v"),
    factor = tensor("factor", [1]),
    hyper = tensor("hyper", [HYPER]);
  for (const tensors of [params, grads, m, v, [factor, hyper]]) engine.allocate(tensors);
  for (const t of params) engine.write(t, new Float32Array(size(t)).fill(1));
  engine.write(factor, new Float32Array([1]));
  engine.write(hyper, new Float32Array([0.5, 1, 1, 0]));
  const program = new Program("decay");
  const decay = params.map((t) => t.shape.length === 2);
  program.add({ op: "adam", params, grads, m, v, decay, factor, hyper, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.5 });
  const executable = await engine.compile(program);
  if (engine.timestamps) assertEquals((await profile(executable)).length, 1);
  else await executable.run();
  for (const [i, t] of params.entries()) {
    assertEquals(await engine.read(t), new Float32Array(size(t)).fill(decay[i] ? 0.75 : 1), t.name);
  }
  assert(engine.persistentBytes % ALIGNMENT === 0);
  engine.dispose();
});

gpuTest("profile: every dispatch has its operation, kernel and time", async () => {
  const engine = await WebGpuEngine.create(software), x = tensor("x", [20000]), y = tensor("y", [1]), program = new Program("profiled");
  program.add({ op: "sum", x, y, scale: 1, accumulate: false });
  engine.allocate([x, y]);
  const executable = await engine.compile(program);
  if (engine.timestamps) {
    const times = await profile(executable);
    assertEquals(times.map(({ op, kernel }) => [op, kernel]), [["sum", "sum"], ["sum", "sum"]]);
    assert(times.every(({ ms }) => ms >= 0 && ms < 1e4));
  } else await assertRejects(() => profile(executable), BackendError, "timestamp-query");
  engine.dispose();
});
