/**
 * Models of int8 weights.
 *
 * Plan. A file of them is read back: each number within half a step of its row, a quarter of the bytes. Every engine computes with them what
 * the oracle computes with the numbers that they stand for, prompts side by side and batches too, and keeps bytes. Training, saving and
 * operations that they are not for say what to do; files that lack or damage scales are refused.
 */

import { assert, assertAlmostEquals, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { CheckpointError, ShapeError } from "../src/base/errors.ts";
import { join } from "../src/data/reader.ts";
import { checkConfig, formatConfig, type ModelConfig } from "../src/files/model_config.ts";
import { parameterShapes } from "../src/files/parameter_shapes.ts";
import { parseSafetensors } from "../src/files/safetensors.ts";
import { safetensorsChunks, type TensorToSave } from "../src/files/write_safetensors.ts";
import { type Model, readModel } from "../src/files/weights.ts";
import { modelChunks, type SavedWeights } from "../src/files/write_weights.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { type Op, Program, tensor } from "../src/ops/mod.ts";
import { openModel } from "../src/run/open.ts";
import { Trainer } from "../src/run/train.ts";
import { relativeError } from "../src/run/verify.ts";
import { storedBytes } from "../src/engines/webgpu/storage.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";

const config: ModelConfig = checkConfig({
  model_type: "sparse_transformer",
  n_ctx: 48,
  n_layer: 2,
  n_head: 2,
  d_model: 36,
  d_ff: 72,
  d_qk: 32,
  // No multiple of four.
  vocab_size: 65,
  dropout: 0,
  attention: { pattern: "fixed", stride: 8, c: 2 },
  position: { kind: "attention", stride: 8 },
});

/** Weights with biases that are no zeros, and a row of zeros. */
const weights = initialWeights(config, 5);
for (const [name, values] of weights) if (name.endsWith("bias")) values.forEach((_, i) => values[i] = (i % 7 - 3) / 10);
weights.get("layers.0.ff.w1.weight")!.fill(0, 36, 72);

const fileOf = (dtype: SavedWeights) => join([...modelChunks({ config, weights }, dtype)]);
const readBack = (file: Uint8Array<ArrayBuffer>) => readModel(formatConfig(config), file);
const int8 = readBack(fileOf("I8"));

/** The model of f32 numbers that an int8 one stands for. */
const widened: Model = {
  config,
  weights: new Map([...parameterShapes(config).keys()].map((name) => {
    const numbers = int8.weights.get(name)!, scales = int8.weights.get(`${name}_scale`), width = numbers.length / (scales?.length ?? 1);
    return [name, scales ? Float32Array.from(numbers, (x, at) => x * scales[Math.floor(at / width)]) : numbers as Float32Array];
  })),
};

Deno.test("int8: a file has each matrix in bytes beside a scale a row, and each number within half a step", () => {
  const { tensors } = parseSafetensors(fileOf("I8"), "f");
  for (const [name, shape] of parameterShapes(config)) {
    const saved = tensors.get(name)!, scale = tensors.get(`${name}_scale`), isMatrix = shape.length === 2;
    assertEquals([saved.dtype, saved.shape, scale?.dtype, scale?.shape], [
      isMatrix ? "I8" : "F32",
      shape,
      ...isMatrix ? ["F32", [shape[0], 1]] : [undefined, undefined],
    ]);
    const exact = weights.get(name)!, near = widened.weights.get(name)!, scales = int8.weights.get(`${name}_scale`);
    exact.forEach((x, at) => {
      const step = scales ? scales[Math.floor(at / shape[1])] : 0;
      assert(Math.abs(x - near[at]) <= step / 2 * (1 + 1e-5), `${name} ${at}: ${near[at]} for ${x}, a step is ${step}`);
    });
    if (isMatrix) assertEquals(Math.max(...int8.weights.get(name)!.subarray(0, shape[1]).map(Math.abs)), 127, name);
  }
  assertEquals(int8.weights.get("layers.0.ff.w1.weight")!.subarray(36, 72), new Int8Array(36));
});

Deno.test("int8: a quarter of f32 and half of f16, but for scales, vectors and the header", () => {
  const { n_layer, d_model, d_ff } = { n_layer: 2, d_model: 512, d_ff: 2048 };
  const wide = checkConfig({ ...config, n_layer, d_model, d_ff, d_qk: 512, vocab_size: 256 });
  const bytes = (dtype: SavedWeights) => join([...modelChunks({ config: wide, weights: initialWeights(wide, 1) }, dtype)]).length;
  const [f32, f16, i8] = (["F32", "F16", "I8"] as const).map(bytes);
  assert(i8 / f32 < 0.26 && i8 / f16 < 0.52, `${i8} bytes, ${f16} in f16, ${f32} in f32`);
});

for (const name of ["reference", ...ENGINES]) {
  engineTest(name, `int8: ${name}: bytes are kept, and come back, some of them too`, async () => {
    const on = await engine(name), t = tensor("w", [7, 5], "i8"), data = Int8Array.from({ length: 35 }, (_, i) => i * 7 - 119);
    on.allocate([t]);
    on.write(t, data);
    assertEquals([...await on.read(t)], [...data]);
    assertEquals(storedBytes(t), 36);
    for (const range of [[0, 1], [1, 3], [6, 7], [3, 3]] as const) {
      assertEquals([...await on.read(t, range)], [...data.subarray(range[0] * 5, range[1] * 5)]);
    }
    on.free([t]);
  });

  engineTest(name, `int8: ${name}: a model samples, scores and embeds as one of the numbers that its weights stand for`, async () => {
    const on = await engine(name), own = await openModel(int8, { engine: on });
    const other = await openModel(widened, { engine: await engine("reference") });
    const prompt = Uint8Array.from({ length: 30 }, (_, i) => i * i % 65);
    for (const given of [prompt, prompt.subarray(0, 3)]) {
      // Side by side, and one by one.
      const [tokens, wanted] = await Promise.all(
        [own, other].map((model) => Array.fromAsync(model.tokens({ prompt: given, length: 12, temperature: 0 }))),
      );
      assertEquals(tokens, wanted);
    }
    const batches = await Promise.all(
      [own, other].map((of) => Array.fromAsync(of.samples({ batch: 3, prompt, length: 5, temperature: 0 }))),
    );
    assertEquals(batches[0], batches[1]);
    const [scores, exact] = await Promise.all([own, other].map((of) => of.score(prompt)));
    assertAlmostEquals(scores.bits, exact.bits, 1e-5);
    const [states, wanted] = await Promise.all([own, other].map((of) => of.embeddings(prompt)));
    assert(relativeError(states.data, wanted.data) < 1e-5);
    own.dispose();
    other.dispose();
  });
}

Deno.test("int8: training and saving say what to do instead", async () => {
  const on = await engine("wasm"), told = "embed.token.weight is int8, which is for sampling and scoring; go on from the f32 model";
  const moments = new Map([...weights].map(([name, { length }]) => [name, new Float32Array(length)]));
  const from = { step: 1, skipped: [0, 0], lossScale: [1, 0], weights: int8.weights, m: moments, v: moments } as const;
  await assertRejects(
    // As callers without types do.
    () => Trainer.create(on, config, { steps: 2 }, from as unknown as Parameters<typeof Trainer.create>[3]),
    CheckpointError,
    "Cannot start from the snapshot: embed.token.weight is int8; start from the f32 model that it was made of",
  );
  for (const dtype of ["F32", "F16", "I8"] as const) {
    assertThrows(() => modelChunks(int8, dtype), CheckpointError, `Cannot save the checkpoint: ${told}`);
  }
});

Deno.test("int8: operations that they are not for, and weights without scales, are refused by name", () => {
  const program = new Program("p"),
    x = tensor("x", [2, 4]),
    y = tensor("y", [2, 3]),
    w = tensor("w", [3, 4], "i8"),
    f = tensor("f", [3, 4]);
  const scale = tensor("scale", [3]);
  const refused = (op: Op, told: string) => assertStringIncludes(assertThrows(() => program.add(op), ShapeError).message, told);
  refused({ op: "linear", x, w, y }, "needs a scale with weights of i8, and none without, got w i8 [3, 4]; nothing");
  refused({ op: "linear", x, w: f, scale, y }, "needs a scale with weights of i8, and none without, got f f32 [3, 4]; scale f32 [3]");
  refused({ op: "linear", x, w, scale: tensor("scale", [4]), y }, "needs 3 elements of f32, got scale f32 [4]");
  refused({ op: "linear_input_grad", dy: y, w, dx: x }, "takes i8 as weights alone, and none that are trained, got w i8");
  refused({ op: "linear", x: tensor("x8", [2, 4], "i8"), w: f, y }, "needs all its activations f32 or all f16");
  program.add({ op: "linear", x, w, scale, y });
});

Deno.test("int8: files that lack scales, or have them damaged, are refused", () => {
  const NAME = "layers.1.attn.q.weight",
    changed = (change: (tensors: Map<string, TensorToSave>) => void) => {
      const tensors = new Map<string, TensorToSave>();
      for (const [name, shape] of parameterShapes(config)) {
        const data = int8.weights.get(name)!, scale = int8.weights.get(`${name}_scale`) as Float32Array | undefined;
        tensors.set(name, { shape, data });
        if (scale) tensors.set(`${name}_scale`, { shape: [shape[0], 1], data: scale });
      }
      change(tensors);
      return () => readBack(join([...safetensorsChunks(tensors)]));
    };
  const scales = int8.weights.get(`${NAME}_scale`) as Float32Array;
  assertEquals(changed((tensors) => tensors.set(`${NAME}_scale`, { shape: [32], data: scales }))(), int8);
  assertThrows(changed((tensors) => tensors.delete(`${NAME}_scale`)), CheckpointError, `1 missing: ${NAME}_scale`);
  assertThrows(
    changed((tensors) => tensors.set(`${NAME}_scale`, { shape: [1, 32], data: scales })),
    CheckpointError,
    `${NAME}_scale F32 [1, 32] instead of F32 [32, 1]`,
  );
  assertThrows(
    changed((tensors) => tensors.set(`${NAME}_scale`, { shape: [32, 1], data: scales.with(3, Infinity) })),
    CheckpointError,
    `${NAME}_scale has 1 numbers of 32 that are not finite, the first Infinity at 3`,
  );
  assertThrows(
    changed((tensors) => tensors.set("norm.bias", { shape: [36], data: new Int8Array(36) })),
    CheckpointError,
    "norm.bias I8 [36] instead of F32 [36]",
  );
  assertThrows(
    changed((tensors) => tensors.set(NAME, { shape: [32, 36], data: weights.get(NAME)! })),
    CheckpointError,
    `1 unexpected: "${NAME}_scale"`,
  );
  const lacking = new Map(int8.weights);
  lacking.delete(`${NAME}_scale`);
  return assertRejects(
    () => openModel({ config, weights: lacking }, { backend: "reference" }),
    CheckpointError,
    `Cannot use the weights: ${NAME}_scale must have 32 numbers, got none`,
  );
});

Deno.test.afterAll(disposeEngines);
