/**
 * Names and shapes on disk, configurations and run states.
 *
 * Plan. What is written is read back; parameter counts are the paper's; what does not fit or lies is refused, each part of it named.
 */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type Checkpoint, formatRunState, parseRunState, type RunState } from "../src/files/run_state.ts";
import { checkConfig, formatConfig, type ModelConfig, parseConfig } from "../src/files/model_config.ts";
import { momentChunks, readMoments } from "../src/files/moments.ts";
import { readModel } from "../src/files/weights.ts";
import { modelChunks } from "../src/files/write_weights.ts";
import { parameterCount, parameterShapes } from "../src/files/parameter_shapes.ts";
import { checkTrain, TRAIN_DEFAULTS } from "../src/files/train_config.ts";
import { preset, PRESETS } from "../src/files/presets.ts";
import { join } from "../src/data/reader.ts";
import { CheckpointError, ConfigError, ShapeError } from "../src/base/errors.ts";
import { f32, parseSafetensors } from "../src/files/safetensors.ts";
import { safetensorsChunks, type TensorToSave } from "../src/files/write_safetensors.ts";

const golden = new URL("../../shared/golden/", import.meta.url);

function present(url: URL): boolean {
  try {
    return Deno.statSync(url).isDirectory;
  } catch {
    console.warn(`golden numbers are absent (${url.pathname}): the tests that read them are skipped`);
    return false;
  }
}

const small: ModelConfig = {
  model_type: "sparse_transformer",
  n_ctx: 20,
  n_layer: 2,
  n_head: 2,
  d_model: 8,
  d_ff: 12,
  d_qk: 4,
  vocab_size: 16,
  dropout: 0.1,
  attention: { pattern: "fixed", stride: 6, c: 2 },
  position: { kind: "attention", stride: 6 },
};

/** Numbers that tell parameters apart. */
function numbers(config: ModelConfig, base: number): Map<string, Float32Array> {
  return new Map(
    [...parameterShapes(config)].map(([name, shape], at) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(base + at)]),
  );
}

Deno.test("checkpoint: parameter counts of the paper's presets", () => {
  const counts = { cifar10: 59_196_928, enwik8: 94_949_888, imagenet64: 151_645_184 };
  for (const [name, count] of Object.entries(counts)) assertEquals(parameterCount(preset(name).model), count, name);
  // Of the sound models the paper gives about.
  for (const [name, millions] of [["audio-65k", 152], ["audio-262k", 25], ["audio-1m", 3]] as const) {
    const count = parameterCount(preset(name).model) / 1e6;
    assert(Math.abs(count / millions - 1) < 0.3, `${name}: ${count} M`);
  }
});

Deno.test("checkpoint: every preset is valid, and one of each kind is small", () => {
  for (const name of Object.keys(PRESETS)) {
    const { model, train } = preset(name);
    assertEquals(checkConfig(model), model, name);
    assertEquals(checkTrain(train), { ...TRAIN_DEFAULTS, ...train }, name);
  }
  for (const name of ["text", "image", "sound"]) assert(parameterCount(preset(name).model) < 4e6, name);
});

Deno.test("checkpoint: parameters of rank 2 come first, in a stable order", () => {
  const shapes = parameterShapes(small), ranks = [...shapes.values()].map((shape) => shape.length);
  assertEquals(ranks, ranks.toSorted((a, b) => b - a));
  assertEquals([...shapes].slice(0, 4), [
    ["embed.token.weight", [17, 8]],
    ["embed.position.0.weight", [4, 8]],
    ["embed.position.1.weight", [6, 8]],
    ["layers.0.attn.q.weight", [4, 8]],
  ]);
  assertEquals(shapes.size, 3 + 1 + 2 * (6 + 6 + 4) + 2);
});

Deno.test({
  name: "checkpoint: the golden models have exactly our names and shapes, and are written byte for byte",
  ignore: !present(golden),
  fn() {
    const folders = [...Deno.readDirSync(golden)].filter(({ name }) => name.startsWith("model-"));
    assertEquals(folders.length, 3);
    for (const { name } of folders) {
      const config = Deno.readTextFileSync(new URL(`${name}/config.json`, golden));
      const bytes = Deno.readFileSync(new URL(`${name}/model.safetensors`, golden));
      const model = readModel(config, bytes);
      assertEquals([...model.weights.keys()], [...parameterShapes(model.config).keys()]);
      const tensors = new Map<string, TensorToSave>();
      for (const tensor of parseSafetensors(bytes, name).tensors.values()) {
        assertEquals(model.weights.get(tensor.name), f32(tensor));
        tensors.set(tensor.name, { shape: tensor.shape, data: f32(tensor) });
      }
      assert(join([...safetensorsChunks(tensors)]).every((byte, at) => byte === bytes[at]), `${name} is rewritten as it was`);
    }
  },
});

Deno.test("checkpoint: model and moments are read back as written", () => {
  const weights = numbers(small, 0), m = numbers(small, 1000), v = numbers(small, 2000);
  const model = readModel(formatConfig(small), join([...modelChunks({ config: small, weights })]));
  assertEquals(model, { config: small, weights });
  assertEquals(readMoments(small, join([...momentChunks({ config: small, train: { optimizer: "adamw" }, m, v })]), "o", "adamw"), { m, v });
  const lacking = new Map(m);
  lacking.delete("norm.bias");
  assertThrows(
    () => join([...momentChunks({ config: small, train: { optimizer: "adamw" }, m: lacking, v })]),
    CheckpointError,
    "m.norm.bias is missing",
  );
  lacking.set("norm.bias", new Float32Array(7));
  assertThrows(() => join([...momentChunks({ config: small, train: { optimizer: "adamw" }, m: lacking, v })]), ShapeError, "norm.bias");
});

Deno.test("checkpoint: missing, unexpected and mis-shaped tensors are all named in one error", () => {
  const tensors = new Map<string, TensorToSave>();
  for (const [name, shape] of parameterShapes(small)) {
    tensors.set(name, {
      shape,
      data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
    });
  }
  const read = (change: (tensors: Map<string, TensorToSave>) => void, config = small) => {
    const changed = new Map(tensors);
    change(changed);
    return assertThrows(() => readModel(formatConfig(config), join([...safetensorsChunks(changed)])), CheckpointError).message;
  };
  const message = read((t) => {
    t.delete("out.weight");
    t.delete("norm.bias");
    t.set("constructor", { shape: [1], data: new Float32Array(1) });
    t.set("norm.weight", { shape: [8], data: new Uint32Array(8) });
    t.set("layers.1.ff.w2.weight", { shape: [12, 8], data: new Float32Array(96) });
  });
  assertEquals(
    message,
    "Cannot use model.safetensors with this configuration: of its tensors 2 missing: out.weight, norm.bias; 2 of another shape or type: " +
      'layers.1.ff.w2.weight F32 [12, 8] instead of F32 [8, 12], norm.weight U32 [8] instead of F32 [8]; 1 unexpected: "constructor"',
  );
  assertStringIncludes(read(() => {}, { ...small, n_layer: 3 }), "16 missing: layers.2.attn.q.weight");
  assertStringIncludes(read(() => {}, { ...small, n_layer: 3 }), " and 8 more");
  assertStringIncludes(read(() => {}, { ...small, n_layer: 1 }), '16 unexpected: "layers.1.');
});

Deno.test("checkpoint: another n_ctx than the position tables have is explained", () => {
  const bytes = join([...modelChunks({ config: small, weights: numbers(small, 0) })]);
  assertThrows(
    () => readModel(formatConfig({ ...small, n_ctx: 40 }), bytes),
    CheckpointError,
    "embed.position.0.weight F32 [4, 8] instead of F32 [7, 8]; the position tables are as long as n_ctx 40",
  );
});

Deno.test("checkpoint: a configuration is read strictly, naming the file", () => {
  const bad = (text: string, includes: string) =>
    assertStringIncludes(assertThrows(() => parseConfig(text, "run/config.json"), ConfigError, includes).message, "run/config.json");
  const text = formatConfig(small), plus = (more: string) => text.replace("{", `{${more},`);
  assertEquals(parseConfig(text, "c"), small);
  bad("", "not valid JSON");
  bad(text.slice(0, -4), "not valid JSON");
  bad("null", "must be an object");
  bad("[]", "must be an object");
  bad(plus('"n_ctx": 20'), '"n_ctx" twice');
  bad(plus('"__proto__": {"n_ctx": 1}'), 'unknown field "__proto__"');
  bad(plus('"constructor": 1'), 'unknown field "constructor"');
  bad(plus(`"attention": ${"[".repeat(1e6)}`), "nests deeper");
  bad(text.replace('"n_layer": 2', '"n_layer": 0'), "n_layer must be a whole number from 1");
  // A name inherited, not the file's own, does not count.
  bad('{"__proto__": ' + text + "}", 'unknown field "__proto__"');
});

const state: RunState = {
  step: 20,
  skipped: [2, 1],
  lossScale: [32768, 7],
  engine: "wasm",
  train: { ...TRAIN_DEFAULTS, steps: 50 },
  data: {
    name: 'the "book"',
    bytes: 1000,
    sha256: "ab".repeat(32),
    heldOut: 50,
    source: { kind: "image", path: "a.bin", shape: [4, 5, 1], rate: 8000, codes: "mulaw", heldOut: 2 },
  },
  history: [{ step: 10, loss: 4.5, ms: 12.5 }, { step: 15, loss: NaN }, { step: 20, loss: 4.25, heldOut: 4.375, ms: 25 }],
};
const files = { config: "01".repeat(32), model: "23".repeat(32), optimizer: "45".repeat(32) };

Deno.test("checkpoint: run state is read back as written", () => {
  assertEquals(parseRunState(formatRunState(state, files), "run.json"), { state, files });
  const empty = { ...state, data: { ...state.data, source: { kind: "text" } }, history: [] } satisfies RunState;
  assertEquals(parseRunState(formatRunState(empty, files), "run.json"), { state: empty, files });
  // What a checkpoint has more than its run state goes into other files.
  const checkpoint: Checkpoint = { ...state, config: small, weights: new Map(), m: new Map(), v: new Map() };
  assertEquals(formatRunState(checkpoint, files), formatRunState(state, files));
});

Deno.test("checkpoint: run state is read strictly", () => {
  const text = formatRunState(state, files), whole = JSON.parse(text);
  const bad = (change: Record<string, unknown>, includes: string) => {
    const error = assertThrows(
      () => parseRunState(JSON.stringify({ ...whole, ...change }), "state-20/run.json"),
      CheckpointError,
      includes,
    );
    assertStringIncludes(error.message, "Cannot read state-20/run.json");
  };
  for (let length = 0; length < text.trimEnd().length; length++) {
    assertThrows(() => parseRunState(text.slice(0, length), "run.json"), CheckpointError, "run.json");
  }
  assertThrows(() => parseRunState(text.replace("{", '{"step": 3,'), "run.json"), CheckpointError, '"step" twice');
  for (const key of Object.keys(whole)) {
    const { [key]: _, ...lacking } = whole;
    assertThrows(() => parseRunState(JSON.stringify(lacking), "run.json"), CheckpointError, key);
    for (const value of [null, "x", {}, -1, true]) {
      if (key !== "engine" || value !== "x") bad({ [key]: value }, key);
    }
  }
  bad({ version: 2 }, "a newer Longstride may have written it");
  bad({ more: 1 }, 'unknown field "more"');
  bad({ step: 1.5 }, "step must be a whole number");
  bad({ skipped: [1] }, "skipped must be a list of two numbers");
  bad({ lossScale: [1] }, "lossScale must be a list of two numbers");
  bad({ skipped: [1, -1] }, "skipped[1]");
  // States that no run is ever in.
  bad({ skipped: [21, 0] }, "skipped[0] must be a whole number from 0 to 20, found 21");
  bad({ skipped: [1, 2] }, "skipped[1] must be a whole number from 0 to 1, found 2");
  for (const scale of [0, -1, "1", null]) bad({ lossScale: [scale, 0] }, "lossScale[0] must be");
  bad({ lossScale: [1, 21] }, "lossScale[1] must be a whole number from 0 to 20");
  bad({ data: { ...whole.data, heldOut: 1001 } }, "data.heldOut must be a whole number from 0 to 1000");
  for (const name of ["loss", "heldOut", "ms"]) {
    bad({ history: [{ step: 9, loss: 1, [name]: -1 }] }, `history[0].${name} must be a number from 0`);
  }
  bad({ train: { ...whole.train, lr: -1 } }, "lr must be a number from");
  bad({ train: { ...whole.train, more: 1 } }, 'train has an unknown field "more"');
  const { seed: _, ...unseeded } = whole.train;
  bad({ train: unseeded }, "train lacks seed");
  bad({ data: { ...whole.data, sha256: "AB".repeat(32) } }, "64 hexadecimal digits");
  bad({ data: { ...whole.data, bytes: "1000" } }, "data.bytes");
  const source = (change: Record<string, unknown>) => ({ data: { ...whole.data, source: { ...whole.data.source, ...change } } });
  bad(source({ kind: "video" }), "data.source.kind must be one of text, image, audio, bytes");
  bad(source({ path: 1 }), "data.source.path must be a string");
  bad(source({ shape: [4, 5] }), "data.source.shape must be height, width and channels, found [4, 5]");
  bad(source({ shape: "4x5x1" }), "data.source.shape must be height, width and channels");
  bad(source({ codes: "alaw" }), "data.source.codes must be one of mulaw, g711");
  bad(source({ heldOut: -1 }), "data.source.heldOut");
  bad(source({ more: 1 }), 'data.source has an unknown field "more"');
  bad({ files: { ...files, model: "" } }, "files.model");
  bad({ history: [{ step: 21, loss: 1 }] }, "history[0].step must be a whole number from 0 to 20");
  bad({ history: [{ step: 9, loss: 1 }, { step: 8, loss: 1 }] }, "history[1].step must be a whole number from 9");
  bad({ history: [{ step: 9 }] }, "history[0] lacks loss");
  bad({ history: [{ step: 9, loss: "1" }] }, "history[0].loss");
  bad({ history: [{ step: 9, loss: 1, heldOut: "1" }] }, "history[0].heldOut");
});

Deno.test("checkpoint: weights of BF16 and F64, and tensors of unknown types beside them", () => {
  const weights = new Map([...numbers(small, 1)].map(([name, values]) => [name, values.map((_, i) => (i % 200 - 100) / 128)])),
    config = formatConfig(small);
  const saved = (
    dtype: string,
    width: number,
    write: (view: DataView, at: number, x: number) => void,
    more: Record<string, [string, number]> = {},
  ) => {
    const header: Record<string, unknown> = {}, data: Uint8Array[] = [];
    let at = 0;
    const add = (name: string, dtype: string, shape: number[], bytes: Uint8Array) => {
      header[name] = { dtype, shape, data_offsets: [at, at += bytes.length] };
      data.push(bytes);
    };
    for (const [name, shape] of parameterShapes(small)) {
      const values = weights.get(name)!, bytes = new Uint8Array(values.length * width), view = new DataView(bytes.buffer);
      values.forEach((x, i) => write(view, i * width, x));
      add(name, dtype, shape, bytes);
    }
    for (const [name, [type, length]] of Object.entries(more)) add(name, type, [length], new Uint8Array(length));
    const json = new TextEncoder().encode(JSON.stringify(header)), length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
    return join([length, json, ...data]);
  };
  const half = new Float32Array(1), words = new Uint16Array(half.buffer);
  const bf16 = (view: DataView, at: number, x: number) => {
    half[0] = x;
    view.setUint16(at, words[1], true);
  };
  const f64 = (view: DataView, at: number, x: number) => view.setFloat64(at, x, true);
  // 200 steps of 1/128 have 8 bits at most: exact in both.
  for (const file of [saved("BF16", 2, bf16), saved("F64", 8, f64)]) assertEquals(readModel(config, file), { config: small, weights });
  const { weights: read, unread } = readModel(config, saved("BF16", 2, bf16, { "q.scales": ["F8_E8M0", 3], "q.packed": ["I4", 5] }));
  assertEquals([read, unread], [weights, new Map([["q.scales", "F8_E8M0"], ["q.packed", "I4"]])]);
  // What is read here and not asked for is of another model.
  assertThrows(() => readModel(config, saved("F64", 8, f64, { more: ["U8", 3] })), CheckpointError, '1 unexpected: "more"');
  const needed = saved("F64", 8, f64), at = new TextDecoder("latin1").decode(needed).indexOf('"F64"');
  needed.set(new TextEncoder().encode("X64"), at + 1);
  assertThrows(
    () => readModel(config, needed),
    CheckpointError,
    '1 of another shape or type: embed.token.weight "X64" instead of F32 [17, 8]',
  );
  assertThrows(
    () => readModel("<!doctype html><html>", needed),
    ConfigError,
    "Cannot read config.json: it is a web page in place of the file",
  );
});
