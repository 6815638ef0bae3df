/**
 * A GPU that fails: whatever call of WebGPU throws, rejects or is the last of a lost device, what comes out is a typed error.
 *
 * Plan. A program of everything the engine does, run once on a whole device to learn which calls there are; then with each call failing
 * in each way at its first three times and its last. Each run ends well or with a LongstrideError; with a lost device always with a
 * BackendError, which callers recover from; no rejection is left unhandled; the engine's own device is destroyed. Errors of kernels name
 * them. `auto` falls back. The page's worker goes on after a loss at any call. A device of the driver's, destroyed at the k-th call, is
 * the check that the fake is like the real.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { pickBackend } from "../src/run/backend.ts";
import { checkConfig } from "../src/files/model_config.ts";
import { BackendError, ConfigError, KernelError, LongstrideError } from "../src/base/errors.ts";
import { openModel } from "../src/run/open.ts";
import { Program, tensor } from "../src/ops/mod.ts";
import { Trainer } from "../src/run/train.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import { profile } from "../src/engines/webgpu/tuning/profile.ts";
import { type Answer, type Question, serveModel, type WorkerScope } from "../web/model_worker.ts";
import { type Fault, FaultyGpu, withGpu } from "./faulty_gpu.ts";
import { until } from "./until.ts";

const config = checkConfig({
  model_type: "sparse_transformer",
  n_ctx: 16,
  n_layer: 1,
  n_head: 1,
  d_model: 8,
  d_ff: 8,
  d_qk: 8,
  vocab_size: 256,
  dropout: 0,
  attention: { pattern: "dense" },
  position: { kind: "attention", stride: 4 },
});

/** Everything that an engine does. */
async function everything({ gpu }: FaultyGpu): Promise<void> {
  const engine = await WebGpuEngine.create({ adapter: (await gpu.requestAdapter())! }), x = tensor("x", [4]), y = tensor("y", [1]);
  try {
    engine.allocate([x, y]);
    engine.write(x, Float32Array.of(1, 2, 3, 4));
    const program = new Program("adding");
    program.add({ op: "sum", x, y, scale: 1, accumulate: false });
    const executable = await engine.compile(program);
    await executable.run(2);
    // More than are begun at first: the others are made ready meanwhile.
    for await (const _ of executable.stream({ times: 6, reads: () => [{ tensor: y }] }));
    await engine.read(y);
    await profile(executable);
    executable.dispose();
    engine.free([x]);
    const trainer = await Trainer.create(engine, config, { steps: 2, batch: 1 });
    await trainer.step([new Uint8Array(16)]);
    await trainer.settle();
    trainer.dispose();
    // Where the last of it was lost, the next use says so.
    await new Promise((resume) => setTimeout(resume, 20));
    await engine.read(y);
  } finally {
    engine.dispose();
  }
}

/** Runs something, and counts the rejections that nobody handled. */
async function unhandled(use: () => Promise<unknown>): Promise<unknown[]> {
  const found: unknown[] = [],
    listen = (event: PromiseRejectionEvent) => {
      event.preventDefault();
      found.push(event.reason);
    };
  globalThis.addEventListener("unhandledrejection", listen);
  try {
    await use();
    await new Promise((resume) => setTimeout(resume, 0));
  } finally {
    globalThis.removeEventListener("unhandledrejection", listen);
  }
  return found;
}

/** Calls that answer with a promise. */
const PROMISED = /requestAdapter|requestDevice|mapAsync|popErrorScope|createComputePipelineAsync/;
/** Calls after which nothing is asked of the device any more, and what makes it. */
const LAST = /destroy|removeEventListener|requestDevice/;

/** Calls that the library makes; the adapter is asked for by the test. */
async function calls(use: (gpu: FaultyGpu) => Promise<unknown>): Promise<Map<string, number>> {
  const gpu = new FaultyGpu();
  await withGpu(gpu, () => use(gpu));
  gpu.calls.delete("GPU.requestAdapter");
  return gpu.calls;
}

function faults(made: ReadonlyMap<string, number>): Fault[] {
  return [...made].flatMap(([call, count]) =>
    [...new Set([1, 2, 3, count])].filter((at) => at <= count).flatMap((at) =>
      (["throws", "once", "rejects", "null", "lost", "lost-throws"] as const)
        .filter((kind) => kind === "null" ? /request/.test(call) : kind !== "rejects" || PROMISED.test(call))
        .map((kind): Fault => ({ call, at, kind }))
    )
  );
}

Deno.test("faults: every call of WebGPU failing in every way comes out typed, a lost device as what callers recover from", async () => {
  const made = await calls(everything), kinds = new Map<string | undefined, number>();
  assert(made.size >= 28, `only ${made.size} calls: ${[...made.keys()]}`);
  const left = await unhandled(async () => {
    const one = async (fault: Fault) => {
      const gpu = new FaultyGpu(fault), where = JSON.stringify(fault);
      const error: unknown = await everything(gpu).then(() => undefined, (thrown) => thrown);
      kinds.set((error as Error)?.name, (kinds.get((error as Error)?.name) ?? 0) + 1);
      if (error !== undefined) assert(error instanceof LongstrideError && !(error instanceof ConfigError), `${where}: ${error}`);
      // Lost once all is done, it is nobody's matter.
      const isEnd = fault.call === "GPUBuffer.getMappedRange" && fault.at === made.get(fault.call) && fault.kind === "lost";
      const isLost = fault.kind.startsWith("lost") && !LAST.test(fault.call) && !isEnd, isAsked = fault.call === "GPUAdapter.requestDevice";
      if (isLost || (isAsked && fault.kind !== "lost")) assert(error instanceof BackendError, `${where}: ${error}`);
      assertEquals(gpu.destroyed, fault.call === "GPUDevice.destroy" && fault.kind !== "lost" ? 0 : gpu.devices, where);
    };
    // Side by side: a failure waits a while for the news that the device is lost.
    const all = faults(made), SOME = 40;
    for (let first = 0; first < all.length; first += SOME) await Promise.all(all.slice(first, first + SOME).map(one));
  });
  assertEquals(left, []);
  assertEquals([...kinds.keys()].sort(), ["BackendError", "KernelError", undefined]);
});

Deno.test("faults: what fails of a kernel names it", async () => {
  const cases: [Fault["call"], number, string][] = [
    ["GPUDevice.createShaderModule", 1, "Cannot compile kernel sum("],
    ["GPUDevice.createComputePipelineAsync", 1, "Cannot compile kernel sum("],
    ["GPUDevice.createBindGroup", 1, "Cannot compile adding: kernel sum: GPUDevice.createBindGroup failed, as told"],
    ["GPUComputePassEncoder.dispatchWorkgroups", 1, "kernel sum: GPUComputePassEncoder.dispatchWorkgroups failed, as told"],
    ["GPUComputePassEncoder.setBindGroup", 10, "Cannot profile adding: kernel sum: GPUComputePassEncoder.setBindGroup failed, as told"],
    ["GPUBuffer.mapAsync", 1, "Cannot read y: GPUBuffer.mapAsync failed, as told"],
    ["GPUBuffer.getMappedRange", 1, "Cannot read y: GPUBuffer.getMappedRange failed, as told"],
    ["GPUQueue.writeBuffer", 1, "writing x: GPUQueue.writeBuffer failed, as told"],
    ["GPUQueue.submit", 1, "Cannot run adding: GPUQueue.submit failed, as told"],
    ["GPUDevice.createQuerySet", 1, "Cannot profile adding: GPUDevice.createQuerySet failed, as told"],
  ];
  for (const [call, at, says] of cases) {
    await assertRejects(() => everything(new FaultyGpu({ call, at, kind: "throws" })), KernelError, says);
  }
});

Deno.test("faults: auto falls back where WebGPU gives no engine, and what failed once may work the next time", async () => {
  for (const kind of ["throws", "rejects", "null"] as const) {
    for (const call of ["GPU.requestAdapter", "GPUAdapter.requestDevice"]) {
      await withGpu(new FaultyGpu({ call, at: 1, kind }), async () => {
        const { engine, why } = await pickBackend("auto", { threads: 1 });
        assertEquals(engine.name, "wasm");
        assertStringIncludes(why, "no hardware WebGPU: ");
        engine.dispose();
      });
    }
  }
  for (const call of ["GPUDevice.createBuffer", "GPUDevice.addEventListener"]) {
    await withGpu(new FaultyGpu({ call, at: 1, kind: "throws" }), async () => {
      const { engine, why } = await pickBackend("auto", { threads: 1 });
      assertEquals([engine.name, why], ["wasm", `no hardware WebGPU: a faulty GPU failed at once: ${call} failed, as told`]);
      engine.dispose();
    });
  }
  await withGpu(new FaultyGpu({ call: "GPUDevice.createShaderModule", at: 1, kind: "once" }), async () => {
    const engine = await WebGpuEngine.create(), x = tensor("x", [4]), y = tensor("y", [1]), program = new Program("adding");
    program.add({ op: "sum", x, y, scale: 1, accumulate: false });
    engine.allocate([x, y]);
    await assertRejects(() => engine.compile(program), KernelError, "Cannot compile kernel sum(");
    (await engine.compile(program)).dispose();
    engine.dispose();
  });
});

/** Asks a worker's side for a sample, as a page does; what it answers. */
async function asked(source: string, length: number): Promise<Answer[]> {
  const answers: Answer[] = [], scope: WorkerScope = { onmessage: null, postMessage: (answer) => answers.push(answer) };
  serveModel(scope);
  const ask = (data: Question) => scope.onmessage!({ data } as MessageEvent<Question>);
  const comes = async (isThere: () => boolean) => assert(await until(isThere), `no end: ${JSON.stringify(answers)}`);
  const is = (...kinds: string[]) => answers.some((answer) => kinds.includes(answer.is));
  ask({ ask: "open", source, backend: "webgpu" });
  await comes(() => is("open", "error"));
  if (is("error")) return answers;
  ask({ ask: "sample", id: 1, samples: 1, bits: false, options: { length, prompt: [84, 104] } });
  await comes(() => is("end", "error"));
  return answers;
}

Deno.test("faults: the page's worker goes on after a device lost at any call of a sample", async () => {
  const source = new URL("golden/model-text-fixed-merged/", import.meta.url).href, length = 90;
  const count = (answers: Answer[]) => answers.reduce((sum, answer) => sum + (answer.is === "tokens" ? answer.tokens.length : 0), 0);
  const opening = await calls(async () => (await openModel(source, { backend: "webgpu" })).dispose());
  const all = await calls(() => asked(source, length));
  const left = await unhandled(async () => {
    let recovered = 0;
    for (const [call, last] of all) {
      if (LAST.test(call)) continue;
      const first = (opening.get(call) ?? 0) + 1;
      for (const at of new Set([1, first, Math.ceil((first + last) / 2), last])) {
        if (at > last) continue;
        for (const kind of ["lost", "lost-throws"] as const) {
          const answers = await withGpu(new FaultyGpu({ call, at, kind }), () => asked(source, length)),
            kinds = answers.map(({ is }) => is);
          const where = `${call} ${at} ${kind}: ${JSON.stringify(answers.filter(({ is }) => is === "error"))}`;
          // Lost while it opens: the page is told, by the class that says so.
          if (!kinds.includes("open")) {
            assertEquals(answers.flatMap((answer) => answer.is === "error" ? answer.name : []), ["BackendError"], where);
            continue;
          }
          assertEquals([kinds.includes("error"), count(answers)], [false, length], where);
          if (kinds.includes("lost")) recovered++;
        }
      }
    }
    assert(recovered > 20, `only ${recovered} recovered`);
  });
  assertEquals(left, []);
});

Deno.test("faults: a real device destroyed during a read, or at any call of one, is a lost device", async () => {
  const names = ["createCommandEncoder", "createBuffer", "pushErrorScope", "popErrorScope"] as const;
  for (const name of [...names, "mapAsync", "later"] as const) {
    const adapter = await navigator.gpu.requestAdapter(),
      device = await adapter!.requestDevice(),
      engine = await WebGpuEngine.create({ device });
    const x = tensor("tape", [4]);
    engine.allocate([x]);
    engine.write(x, Float32Array.of(1, 2, 3, 4));
    assertEquals(await engine.read(x), Float32Array.of(1, 2, 3, 4));
    // deno-lint-ignore no-explicit-any
    const any = device as any, create = device.createBuffer.bind(device);
    if (name === "mapAsync") {
      device.createBuffer = (descriptor) => {
        const buffer = create(descriptor), map = buffer.mapAsync.bind(buffer);
        buffer.mapAsync = (mode) => {
          device.destroy();
          return map(mode);
        };
        return buffer;
      };
    } else if (name !== "later") {
      const call = any[name].bind(device);
      any[name] = (...args: unknown[]) => {
        device.destroy();
        return call(...args);
      };
    }
    const reading = engine.read(x);
    if (name === "later") device.destroy();
    // What was read before the loss may still come.
    const error = await reading.then(() => undefined, (error) => error);
    if (error) assert(error instanceof BackendError, `${name}: ${error}`);
    await assertRejects(() => engine.read(x), BackendError, "is lost", name);
    engine.dispose();
  }
});

Deno.test("faults: an engine that is disposed of is kept by nothing, though its caller's device lives on", async () => {
  const code = `
    import { FaultyGpu } from ${JSON.stringify(new URL("./faulty_gpu.ts", import.meta.url).href)};
    import { WebGpuEngine } from ${JSON.stringify(new URL("../src/engines/webgpu/engine.ts", import.meta.url).href)};
    import { Program, tensor } from ${JSON.stringify(new URL("../src/ops/mod.ts", import.meta.url).href)};
    const device = await (await new FaultyGpu().gpu.requestAdapter()).requestDevice(), left = [];
    async function one() {
      const engine = await WebGpuEngine.create({ device }), x = tensor("x", [4]), y = tensor("y", [1]), program = new Program("adding");
      program.add({ op: "sum", x, y, scale: 1, accumulate: false });
      engine.allocate([x, y]);
      const executable = await engine.compile(program);
      await executable.run();
      await engine.read(y);
      engine.dispose();
      left.push(new WeakRef(engine), new WeakRef(executable));
    }
    for (let i = 0; i < 20; i++) await one();
    // With turns between: what a turn keeps goes with it.
    const alive = () => left.filter((one) => one.deref()).length;
    for (let i = 0; i < 3 || (i < 30 && alive() > 2); i++) {
      await new Promise((resume) => setTimeout(resume, 10));
      gc();
    }
    console.log(alive(), device.lost instanceof Promise);`;
  const args = ["run", "-A", "--no-check", "--v8-flags=--expose-gc", "--ext=ts", "-"];
  const child = new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "piped", stderr: "inherit" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(code));
  await writer.close();
  const { stdout } = await child.output(), [alive] = new TextDecoder().decode(stdout).split(" ").map(Number);
  // The last one may be on the stack still.
  assert(alive <= 2, `${alive} of 40 are kept`);
});
