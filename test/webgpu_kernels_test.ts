/**
 * Kernels of the WebGPU engine as they are compiled. (The passes that make their text are shader_test.ts's.)
 *
 * Plan. A snapshot of emitted text, refusals. Every file and every parameter set that planning can choose compiles, on a device with a
 * browser's default limits where it is meant for one; one that does not is named with its line.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { KernelError } from "../src/base/errors.ts";
import "../src/engines/webgpu/plan/late.gen.ts";
import { texts } from "../src/engines/webgpu/shader/link.ts";
import { addKernels } from "../src/engines/webgpu/shader/link.ts";
import { Pipelines } from "../src/engines/webgpu/shader/pipelines.ts";
import { kernelKey, specialise } from "../src/engines/webgpu/shader/specialise.ts";
import { ATTENTION_DEFAULTS, ATTENTION_KERNELS, LINEAR_DEFAULTS, LINEAR_KERNELS } from "../src/engines/webgpu/tuning/variants.ts";
import { generateWgsl } from "../tools/gen_wgsl.ts";
import { gpuTest } from "./engines.ts";
import { attentionFits, linearFits } from "../src/engines/webgpu/tuning/select.ts";
import { bareDevice } from "./gpu.ts";

/** Files that are kernels, and not only parts of some. */
const KERNELS = (() => {
  const parts = new Set([...texts.values()].flatMap((text) => [...text.matchAll(/@import (\w+)/g)].map(([, name]) => name)));
  return [...texts.keys()].filter((name) => !parts.has(name) && !/^(storage|weights)_/.test(name));
})();

Deno.test("specialise: what is written for linear in tiles of 4 × 4", async () => {
  const text = specialise("linear", { TX: 1, TY: 1, TM: 4, TN: 4, BK4: 1, BIAS: true });
  const path = new URL("./snapshots/linear_4x4.wgsl", import.meta.url);
  if (Deno.args.includes("--update")) await Deno.writeTextFile(path, text);
  assertEquals(text, await Deno.readTextFile(path), "run with `-- --update` and look at the difference");
});

Deno.test("specialise: what is written for clip, which has nothing to unroll", async () => {
  const text = specialise("clip", { LOSS_SCALE: true });
  const path = new URL("./snapshots/clip.wgsl", import.meta.url);
  if (Deno.args.includes("--update")) await Deno.writeTextFile(path, text);
  assertEquals(text, await Deno.readTextFile(path), "run with `-- --update` and look at the difference");
});

Deno.test("specialise: no marked loop and no local array is left in any kernel", () => {
  for (const kernel of KERNELS) {
    const text = specialise(kernel, {});
    assert(!text.includes("@unroll"), `${kernel}: a loop is left`);
    assert(!/\bvar \w+: ?array/.test(text), `${kernel}: a local array is left`);
    assert(!text.includes("//"), `${kernel}: a comment is left`);
  }
});

Deno.test("specialise: one storage a kernel, whatever its imports name", () => {
  for (const kernel of KERNELS.filter((name) => /storage_f32/.test(texts.get(name)!))) {
    for (const STORAGE of ["f32", "f32x4", "f16x4"] as const) {
      const text = specialise(kernel, { STORAGE });
      assertEquals(text.match(/alias Stored=(\w+);/g)?.length, 1, `${kernel} as ${STORAGE}`);
      assertStringIncludes(text, `alias Stored=${{ f32: "f32", f32x4: "vec4f", f16x4: "vec2u" }[STORAGE]};`);
    }
  }
});

Deno.test("specialise: weights of int8 are four in a word, and have scales", () => {
  const kernels = KERNELS.filter((name) => /weights_f32/.test(texts.get(name)!));
  assertEquals(kernels, ["embedding", "embedding_decode", "linear", "linear_few"]);
  for (const kernel of kernels) {
    const f32 = specialise(kernel, {}), i8 = specialise(kernel, { WEIGHTS: "i8" });
    assertEquals([f32, i8].map((text) => /alias Weight=(\w+);/.exec(text)?.[1]), [kernel.startsWith("linear") ? "vec4f" : "f32", "u32"]);
    assertEquals([f32, i8].map((text) => /scale(?=:|\[)/.test(text)), [false, true]);
  }
});

Deno.test("specialise: a value without a declaration is refused by name", () => {
  assertThrows(() => specialise("clip", { TILE: 4 }), KernelError, "it declares no TILE");
  assertThrows(() => specialise("no_such_kernel", {}), KernelError, "no_such_kernel");
});

Deno.test("specialise: keys are canonical", () => {
  assertEquals(kernelKey("k", { b: 2, a: true }), kernelKey("k", { a: true, b: 2 }));
  assert(kernelKey("k", { a: 1 }) !== kernelKey("k", { a: 2 }));
});

Deno.test("generated module belongs to wgsl/", async () => {
  for (const [path, text] of await generateWgsl()) assertEquals(await Deno.readTextFile(path), text, `${path}: run deno task gen`);
});

gpuTest("every kernel compiles as it stands, on a device with default limits", async () => {
  const device = await bareDevice(), pipelines = new Pipelines(device);
  assert(KERNELS.length > 20);
  for (const kernel of KERNELS) {
    const { bindings } = await pipelines.get(kernel, {});
    assert(bindings.length <= 8, `${kernel} binds ${bindings.length} storage buffers`);
  }
  device.destroy();
});

gpuTest("every default variant compiles for every head width that fits the device, and every width has one", async () => {
  const device = await bareDevice(), pipelines = new Pipelines(device), { limits } = device;
  for (const kernel of LINEAR_KERNELS) {
    for (const variant of LINEAR_DEFAULTS[kernel]) {
      if (!linearFits(limits, variant)) continue;
      for (const STORAGE of ["f32x4", "f16x4"] as const) await pipelines.get(kernel, { ...variant, STORAGE });
    }
  }
  for (const kernel of ATTENTION_KERNELS) {
    // Heads 4, 20 and 12, 64, 64 and 128, 128 wide, in vec4.
    for (const [D4, V4] of [[1, 1], [5, 3], [16, 16], [16, 32], [32, 32]]) {
      const fitting = ATTENTION_DEFAULTS.filter((variant) => attentionFits(limits, kernel, variant, D4, V4));
      assert(fitting.length > 0 || kernel === "attention_backward_dkv", `${kernel} has no variant for ${D4}, ${V4}`);
      for (const variant of fitting) await pipelines.get(kernel, { ...variant, D4, V4 });
    }
  }
  device.destroy();
});

gpuTest("a kernel that does not compile is named with its line", async () => {
  const device = await bareDevice(), pipelines = new Pipelines(device);
  const text =
    "struct Params {\nn: u32,\n}\n\nvar<uniform> params: Params;\n@compute @workgroup_size(1)\nfn main() {\nlet x = nothing;\n}\n";
  addKernels({ broken: text });
  const error = await assertRejects(() => pipelines.get("broken", {}), KernelError, "Cannot compile kernel broken");
  assertStringIncludes(error.message, "\n  wgsl/broken.wgsl:8: let x=nothing");
  device.destroy();
});
