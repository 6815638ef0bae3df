/**
 * Numbers that are not finite, and devices that answer what cannot be: said by name wherever they come in or out, never passed on.
 *
 * Plan. NaN and both infinities at the first, a middle and the last place of a tensor: files of weights (F32, F16) and of moments,
 * weights given to `openModel`, snapshots to go on from, what is to be saved. Finite weights that overflow: sampling, evaluation, maps.
 * An engine whose answers are exchanged: everything that reads it ends with a typed error. The commands exit with 1.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { checkConfig, formatConfig, type ModelConfig } from "../src/files/model_config.ts";
import { momentChunks, readMoments } from "../src/files/moments.ts";
import { type Model, readModel } from "../src/files/weights.ts";
import { modelChunks } from "../src/files/write_weights.ts";
import type { TrainConfig } from "../src/files/train_config.ts";
import { CheckpointError, DivergedError, KernelError } from "../src/base/errors.ts";
import { Scorer } from "../src/run/evaluate.ts";
import { notFinite } from "../src/base/finite.ts";
import { attentionMaps } from "../src/run/maps.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { Parameters } from "../src/model/parameters.ts";
import { openModel } from "../src/run/open.ts";
import type { Engine, Executable, Program, Tensor, TensorData } from "../src/ops/mod.ts";
import { Decoder, sample } from "../src/run/sample.ts";
import { type Snapshot, train, Trainer } from "../src/run/train.ts";
import { answer, failed } from "./commands.ts";
import { disposeEngines, engine, ENGINES } from "./engines.ts";
import { SMALL } from "./model.ts";

const config: ModelConfig = checkConfig({
  ...SMALL,
  n_ctx: 16,
  attention: { pattern: "fixed", stride: 4, c: 1 },
  position: { kind: "attention", stride: 4 },
});
const text = Uint8Array.from({ length: 400 }, (_, at) => 97 + at * 7 % 26);
const constants: Partial<TrainConfig> = { optimizer: "adamw", steps: 4, batch: 2, warmup: 0, lr: 0.001 };

/** Weights with numbers exchanged. */
function weightsWith(name: string, ...changes: [at: number, value: number][]): Map<string, Float32Array> {
  const weights = initialWeights(config, 1), data = weights.get(name)!;
  for (const [at, value] of changes) data[at < 0 ? data.length + at : at] = value;
  return weights;
}
const bytesOf = (chunks: Iterable<Uint8Array>) => new Uint8Array([...chunks].flatMap((chunk) => [...chunk]));

/** A file of finite numbers in which those of one tensor are then exchanged. */
function damaged(file: Uint8Array<ArrayBuffer>, tensor: string, at: number, value: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(file.buffer), length = Number(view.getBigUint64(0, true));
  const { dtype, data_offsets: [from, to] } = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)))[tensor];
  const width = dtype === "F16" ? 2 : 4, place = 8 + length + (at < 0 ? to + at * width : from + at * width);
  if (dtype === "F16") view.setUint16(place, Number.isNaN(value) ? 0x7e00 : value > 0 ? 0x7c00 : 0xfc00, true);
  else view.setFloat32(place, value, true);
  return file;
}

const BAD = [NaN, Infinity, -Infinity], PLACES = [0, 37, -1], NAME = "layers.1.attn.q.weight";

Deno.test("finite: all, none, the first of several, by place", () => {
  assertEquals([notFinite([]), notFinite([0, -0, 3.4e38, 5e-324])], [undefined, undefined]);
  assertEquals(notFinite(Float32Array.of(1, -Infinity, NaN)), "has 2 numbers of 3 that are not finite, the first -Infinity at 1");
});

Deno.test("finite: files of weights and moments say which tensor, how many numbers, the first and its place", () => {
  const weights = initialWeights(config, 1), moments = { config, train: { optimizer: "adamw" }, m: weights, v: weights } as const;
  for (const value of BAD) {
    for (const place of PLACES) {
      const where = `has 1 numbers of 256 that are not finite, the first ${value} at ${place < 0 ? 256 + place : place}`;
      for (const dtype of ["F32", "F16"] as const) {
        const file = damaged(bytesOf(modelChunks({ config, weights }, dtype)), NAME, place, value);
        const { message } = assertThrows(() => readModel(formatConfig(config), file, { config: "c", weights: "run/w" }), CheckpointError);
        assertStringIncludes(message, `Cannot use run/w: ${NAME} ${where}; it is damaged, or of a run that diverged: use an earlier copy`);
      }
      for (const moment of ["m", "v"]) {
        const file = damaged(bytesOf(momentChunks(moments)), `${moment}.${NAME}`, place, value);
        assertThrows(() => readMoments(config, file, "run/o", "adamw"), CheckpointError, `Cannot use run/o: ${moment}.${NAME} ${where}`);
      }
    }
  }
});

Deno.test("finite: what is not is never saved, nor what F16 would make infinite", () => {
  for (const value of BAD) {
    const weights = weightsWith(NAME, [5, value]), good = initialWeights(config, 1);
    for (const dtype of ["F32", "F16"] as const) {
      assertThrows(() => modelChunks({ config, weights }, dtype), CheckpointError, `Cannot save the checkpoint: ${NAME} has 1 numbers`);
    }
    assertThrows(
      () => [...momentChunks({ config, train: { optimizer: "adamw" }, m: good, v: weights })],
      CheckpointError,
      `Cannot save the checkpoint: v.${NAME} has`,
    );
  }
  for (const [value, fits] of [[65519, true], [65520, false], [-1e30, false]] as const) {
    const save = () => bytesOf(modelChunks({ config, weights: weightsWith(NAME, [3, value]) }, "F16"));
    if (fits) save();
    else assertThrows(save, CheckpointError, `Cannot save ${NAME} as F16: its number ${Math.fround(value)} at 3 is beyond ±65,504`);
  }
});

Deno.test("finite: openModel and a snapshot to go on from", async () => {
  const on = await engine("wasm"),
    none = new Map([...initialWeights(config, 1)].map(([name, { length }]) => [name, new Float32Array(length)]));
  for (const value of BAD) {
    const weights = weightsWith(NAME, [-1, value]), from = { step: 1, skipped: [0, 0], lossScale: [1, 0], m: none, v: none } as const;
    await assertRejects(
      () => openModel({ config, weights }, { backend: "wasm" }),
      CheckpointError,
      `Cannot use the weights: ${NAME} has 1`,
    );
    const start = (snapshot: Snapshot) => Trainer.create(on, config, constants, snapshot);
    await assertRejects(() => start({ ...from, weights }), CheckpointError, `Cannot start from the snapshot: ${NAME} has 1 numbers of 256`);
    await assertRejects(() => start({ ...from, weights: none, v: weights }), CheckpointError, `v.${NAME} has 1 numbers`);
  }
});

/** A model whose weights are finite and whose second layer overflows f32. */
const overflowing = (): Model => {
  const weights = initialWeights(config, 1);
  for (const name of ["q", "k", "v", "p"]) weights.get(`layers.1.attn.${name}.weight`)!.fill(3e38);
  return { config, weights };
};

function place(on: Engine, { config, weights }: Model): Parameters {
  const params = new Parameters(config);
  on.allocate(params.all);
  for (const t of params.all) on.write(t, weights.get(t.name)!);
  return params;
}
async function drain<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of stream) all.push(one);
  return all;
}

/** What is done with a model, by name, and how the error begins. */
const USES: Readonly<Record<string, [does: (on: Engine, params: Parameters) => Promise<unknown>, says: string]>> = {
  sample: [async (on, params) => {
    const decoder = await Decoder.create(on, params);
    return await drain(sample(decoder, { prompt: text.subarray(0, 3), length: 20 })).finally(() => decoder.dispose());
  }, "Cannot go on sampling: after position"],
  evaluate: [async (on, params) => {
    const scorer = await Scorer.create(on, params, 2);
    return await scorer.bits(text).finally(() => scorer.dispose());
  }, "Cannot evaluate: the loss by token has"],
  maps: [(on, params) => drain(attentionMaps(on, params, text.subarray(0, 16))), "Cannot map attention: of layer "],
};

for (const name of ENGINES) {
  for (const [use, [does, says]] of Object.entries(USES)) {
    Deno.test(`finite: ${name}: ${use} of weights that overflow is an error, not a result`, async () => {
      const on = await engine(name), params = place(on, overflowing());
      const { message } = await assertRejects(() => does(on, params), DivergedError, says);
      assertStringIncludes(message, "weights have grown too large, or the device (");
      on.free(params.all);
    });
  }
}

/** An engine of which `change` exchanges what it reads. */
function answering(on: Engine, change: (t: Tensor, data: TensorData) => void): Engine {
  return new Proxy(on, {
    get(target, name) {
      if (name === "read") {
        return async (t: Tensor, range?: readonly [number, number]) => {
          const data = await target.read(t, range);
          change(t, data);
          return data;
        };
      }
      if (name === "compile") {
        return async (program: Program): Promise<Executable> => {
          const made = await target.compile(program);
          const stream: Executable["stream"] = async function* (options) {
            for await (const some of made.stream(options)) {
              options.reads(some.from, some.to).forEach(({ tensor }, i) => change(tensor, some.data[i]));
              yield some;
            }
          };
          return { ...made, stream };
        };
      }
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

Deno.test("finite: a device that answers nonsense is an error of sampling, evaluation and maps", async () => {
  const on = await engine("wasm"), model = { config, weights: initialWeights(config, 1) };
  for (const value of BAD) {
    const odd = answering(on, (t, data) => t.dtype !== "u32" && data.fill(value, -1)), params = place(odd, model);
    for (const [does, says] of Object.values(USES)) await assertRejects(() => does(odd, params), DivergedError, says);
    odd.free(params.all);
  }
  for (const token of [256, 0xffffffff]) {
    const odd = answering(on, (t, data) => t.dtype === "u32" && data.fill(token)), params = place(odd, model);
    await assertRejects(() => USES.sample[0](odd, params), KernelError, `answered token ${token}, the vocabulary has 256`);
    odd.free(params.all);
  }
  const params = place(on, model);
  for (const [does] of Object.values(USES)) await does(on, params);
  on.free(params.all);
});

Deno.test("finite: a device that answers nonsense ends training, and nothing is there to be saved", async () => {
  const on = await engine("wasm");
  const start = async (change: (t: Tensor, data: TensorData) => void) => {
    const options = { engine: answering(on, change), config, train: constants, data: text, heldOut: text, reportSeconds: 0 };
    for await (const report of train(options)) await report.snapshot();
  };
  await start(() => {});
  const only = (name: string, value: number) => (t: Tensor, data: TensorData) => t.name === name && data.fill(value, 0, 1);
  for (const value of BAD) {
    for (const name of ["loss", "square_norm"]) {
      await assertRejects(() => start(only(name, value)), DivergedError, "Cannot go on: the pair");
    }
    await assertRejects(() => start(only(NAME, value)), DivergedError, `Cannot save step 1: ${NAME} has 1 numbers`);
    await assertRejects(() => start(only(`v.${NAME}`, value)), DivergedError, `Cannot save step 1: v.${NAME} has 1 numbers`);
    await assertRejects(() => start(only("losses", value)), DivergedError, "Cannot evaluate: the loss by token has");
  }
  for (const scale of [0, -1, NaN]) await assertRejects(() => start(only("loss_scale", scale)), KernelError, `a loss scale of ${scale}`);
  await assertRejects(() => start(only("skipped", 77)), KernelError, "77 steps skipped, 0 in a row, of 1; it computes wrongly");
});

Deno.test("finite: sample, evaluate, maps and --resume say it and exit with 1", async () => {
  const at = await Deno.makeTempDir(), from = `${at}/run`;
  try {
    const flags =
      "--n-ctx 16 --layers 2 --heads 2 --d-model 16 --d-ff 32 --d-qk 16 --stride 4 --steps 2 --batch 2 --backend wasm --threads 1";
    await Deno.writeTextFile(`${at}/t.txt`, "It was the best of times, it was the worst of times.\n".repeat(40));
    assertEquals((await answer("train", "--data", `${at}/t.txt`, ...flags.split(" "), "--out", from)).code, 0);
    const path = `${from}/model.safetensors`, good = await Deno.readFile(path), moments = `${from}/state-2/optimizer.safetensors`;
    const commands = [["sample", from], ["evaluate", from, "--data", `${at}/t.txt`], ["maps", from, "--data", `${at}/t.txt`]];
    for (const value of [NaN, Infinity]) {
      await Deno.writeFile(path, damaged(good.slice(), "embed.token.weight", 0, value));
      for (const args of [...commands, ["train", "--resume", from, "--steps", "3"]]) {
        const done = await answer(...args, "--backend", "wasm", "--json");
        failed(done, 1, `Cannot use ${path}: embed.token.weight has 1 numbers of 4112 that are not finite, the first ${value} at 0`);
        assertEquals(done.out, "");
      }
    }
    await Deno.writeFile(path, good);
    await Deno.writeFile(moments, damaged(await Deno.readFile(moments), "v.norm.bias", 0, NaN));
    failed(await answer("train", "--resume", from, "--steps", "3"), 1, "optimizer.safetensors was changed or damaged");
    assert((await answer("sample", from, "--length", "5", "--backend", "wasm")).code === 0);
  } finally {
    await Deno.remove(at, { recursive: true });
  }
});

Deno.test.afterAll(disposeEngines);
