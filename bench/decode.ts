/**
 * Tokens per second.
 *
 * On the WASM engine: a model of 3.5 M parameters (4 layers, d 256, 4 heads, dense, context 1,024) after a prompt of 512 tokens,
 * beside the same with int8 weights, and beside the same model in onnxruntime-web's WASM where --peers names a folder that has it. Rounds of
 * all alternate.
 *
 *     deno run -A bench/decode.ts [--json] [--tokens 64] [--peers DIR] [--quick]
 *
 * On a GPU: the enwik8 preset (30 layers, d 512, 8 heads, fixed, context 12,288) after 1,000 and after 12,000 tokens: tokens a
 * second as streamed, GPU time of a token by operation, and the later token's cost over the earlier's. --quick takes a small
 * model and a short context, for software GPUs too, --int8 int8 weights.
 *
 *     deno run -A bench/decode.ts --gpu [dawn] [--json] [--quick] [--batch 1] [--int8] [--stream-ms 10]
 *
 * "between pieces" is how long a reader of the stream waits for more, which --stream-ms asks for, "a read" what an idle device takes to
 * answer.
 *
 * @module
 */

import { join } from "../src/data/reader.ts";
import { checkConfig, formatConfig, type ModelConfig } from "../src/files/model_config.ts";
import { parameterShapes } from "../src/files/parameter_shapes.ts";
import { preset } from "../src/files/presets.ts";
import { type Model, readModel } from "../src/files/weights.ts";
import { modelChunks } from "../src/files/write_weights.ts";
import { compileWith } from "../src/model/compile.ts";
import { decodingProgram } from "../src/model/decode.ts";
import { Parameters } from "../src/model/parameters.ts";
import { CHOICE, type ChoiceNumbers, type Engine } from "../src/ops/mod.ts";
import { Random } from "../src/base/random.ts";
import { cachePlans, Decoder } from "../src/run/sample.ts";
import { WasmEngine } from "../src/engines/wasm/engine.ts";
import { profile } from "../src/engines/webgpu/tuning/profile.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import { flag, GPU_OPTIONS, normals, peer, QUICK, report, type Row } from "./lib.ts";

/** Weights: small normals, of which a pool is enough. */
function weightsFor(config: ModelConfig): Map<string, Float32Array> {
  const pool = normals(1 << 20, 1);
  return new Map([...parameterShapes(config)].map(([name, [rows, columns]]) => {
    const scale = columns === undefined ? 0.1 : 1 / Math.sqrt(columns), base = name.endsWith("norm.weight") ? 1 : 0;
    return [name, Float32Array.from({ length: rows * (columns ?? 1) }, (_, i) => pool[i & 0xfffff] * scale + base)];
  }));
}

/** The same as int8. */
const int8Of = (config: ModelConfig, weights: Map<string, Float32Array>): Model["weights"] =>
  readModel(formatConfig(config), join([...modelChunks({ config, weights }, "I8")])).weights;

/** Parameters on an engine. */
function place(engine: Engine, config: ModelConfig, weights: Model["weights"]): Parameters {
  const params = new Parameters(config, weights);
  engine.allocate(params.all);
  for (const t of params.all) engine.write(t, weights.get(t.name)!);
  return params;
}

const draw = new Random(5, 0);
const prompt = (count: number, vocabulary: number) => Uint32Array.from({ length: count }, () => draw.below(vocabulary));

/** Tokens a second of all sequences, as a stream gives them, what the prompt took, and milliseconds between pieces of the stream. */
async function streamed(decoder: Decoder, given: Uint32Array, tokens: number): Promise<{ rate: number; prefill: number; between: number }> {
  const from = given.length / decoder.batch, begun = performance.now();
  await decoder.begin(given, { temperature: 1, seed: 1 });
  const stream = decoder.stream(from, from + tokens);
  await stream.next();
  const first = performance.now(), waits: number[] = [];
  let before = first;
  for await (const _ of stream) {
    const now = performance.now();
    // The others of a piece are there already.
    if (now - before > 0.2) waits.push(now - before);
    before = now;
  }
  return { rate: (tokens - 1) * decoder.batch / (before - first) * 1000, prefill: first - begun, between: median(waits) };
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];

async function onCpu(): Promise<void> {
  const tokens = Number(flag("tokens") ?? (QUICK ? 4 : 64)),
    given = prompt(QUICK ? 16 : 512, 256),
    config = checkConfig({
      model_type: "sparse_transformer",
      n_ctx: given.length * 2,
      n_layer: 4,
      n_head: 4,
      d_model: 256,
      d_ff: 1024,
      d_qk: 256,
      vocab_size: 256,
      dropout: 0,
      attention: { pattern: "dense" },
      position: { kind: "attention", stride: 32 },
    });
  const weights = weightsFor(config),
    int8 = int8Of(config, weights);
  const rows: Row[] = [];
  for (const threads of [1, undefined]) {
    const engine = await WasmEngine.create({ threads }), params = place(engine, config, weights);
    const together = await Decoder.create(engine, params), single = await Decoder.create(engine, params, 1, Infinity);
    const whole = await Decoder.create(engine, place(engine, config, int8));
    for (const decoder of [together, whole]) await streamed(decoder, given, tokens);
    const ours: number[] = [], theirs: number[] = [], prefill: number[] = [], ofInt8: number[] = [], prefillOfInt8: number[] = [];
    for (let round = 0; round < (QUICK ? 1 : 3); round++) {
      for (let again = 0; again < (QUICK ? 1 : 3); again++) {
        const { rate, prefill: took } = await streamed(together, given, tokens);
        ours.push(rate);
        prefill.push(took);
        const quarter = await streamed(whole, given, tokens);
        ofInt8.push(quarter.rate);
        prefillOfInt8.push(quarter.prefill);
      }
      const args = ["--device=wasm", `--prompt=${given.length}`, `--gen=${tokens}`, `--threads=${threads ?? 0}`];
      const ort = await peer<{ tokPerSec: number }>("ort_decode.mjs", args);
      if (ort) theirs.push(ort.tokPerSec);
    }
    const stepped = (await streamed(single, given, tokens)).prefill, rate = median(ours);
    rows.push({
      "engine": engine.description,
      "tokens/s": rate,
      [`prompt of ${given.length}, ms`]: median(prefill),
      "one by one, ms": stepped,
      "int8, tokens/s": median(ofInt8),
      "times f32": median(ofInt8) / rate,
      "prompt of int8, ms": median(prefillOfInt8),
      ...theirs.length ? { "onnxruntime-web, tokens/s": median(theirs), "times faster": rate / median(theirs) } : {},
    });
    for (const decoder of [together, single, whole]) decoder.dispose();
    engine.dispose();
  }
  report(`decoding, 3.5 M parameters, ${given.length} tokens of prompt`, rows);
}

/** What --quick makes of the preset. */
const SMALL = { n_layer: 2, d_model: 64, d_ff: 128, d_qk: 64, n_ctx: 256 };

async function onGpu(): Promise<void> {
  const batch = Number(flag("batch") ?? 1), { model } = preset("enwik8");
  const config = checkConfig(QUICK ? { ...model, ...SMALL } : model), rows: Row[] = [], ops: Row[] = [];
  const streamMs = flag("stream-ms") === undefined ? undefined : Number(flag("stream-ms"));
  const engine = await WebGpuEngine.create({ ...GPU_OPTIONS, allowSoftware: QUICK, streamMs }), isInt8 = Deno.args.includes("--int8");
  const params = place(engine, config, isInt8 ? int8Of(config, weightsFor(config)) : weightsFor(config));
  const places = QUICK ? [20, 200] : [1000, 12000], costs: number[] = [];

  // The program by itself for GPU times: what the caches hold does not change them.
  const { program, state, logits, caches, constants } = decodingProgram(params, batch, await cachePlans(config));
  const tensors = [...Object.values(state), logits, ...caches.flatMap(Object.values), ...constants.keys()];
  const executable = await compileWith(engine, program, tensors, constants);
  const choice: ChoiceNumbers = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
  engine.write(state.choice, Float32Array.from(CHOICE, (name) => choice[name]));
  for (const at of places) {
    const totals: number[] = [], byOp = new Map<string, number[]>();
    for (let run = 0; run < (QUICK ? 1 : 12); run++) {
      engine.write(state.position, Uint32Array.of(at));
      const times = await profile(executable), sums = new Map<string, number>();
      for (const { kernel, ms } of times) sums.set(kernel, (sums.get(kernel) ?? 0) + ms);
      totals.push(times.reduce((sum, { ms }) => sum + ms, 0));
      for (const [op, ms] of sums) byOp.set(op, [...byOp.get(op) ?? [], ms]);
      if (run === 0) ops.push({ kernel: `dispatches at ${at}`, ms: times.length });
    }
    ops.push({ kernel: `all at ${at}, each alone`, ms: median(totals) });
    for (const [kernel, ms] of byOp) ops.push({ kernel: `  ${kernel}`, ms: median(ms) });
  }
  executable.dispose();
  engine.free(tensors);

  const decoder = await Decoder.create(engine, params, batch), tokens = QUICK ? 8 : 256, rounds = QUICK ? 2 : 4;
  for (const at of places) {
    const given = prompt(at * batch, config.vocab_size), rates: number[] = [], prefills: number[] = [], waits: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const { rate, prefill, between } = await streamed(decoder, given, tokens);
      rates.push(rate);
      prefills.push(prefill);
      waits.push(between);
    }
    const reads: number[] = [];
    for (let read = 0; read < 20; read++) {
      const asked = performance.now();
      await decoder.read(at, at + 1);
      reads.push(performance.now() - asked);
    }
    // The first round compiles.
    const rate = median(rates.slice(1));
    costs.push(batch / rate);
    // Without reading in between: what a token takes when nothing but the engine is waited for.
    await decoder.begin(given, { seed: 1 });
    await decoder.run(1);
    await decoder.read(at, at + 1);
    const begun = performance.now();
    for (let done = 1; done < tokens; done += 64) await decoder.run(Math.min(64, tokens - done));
    const encoded = performance.now() - begun;
    await decoder.read(at, at + tokens);
    rows.push({
      "position": at,
      "tokens/s": rate,
      "ms per token": 1000 * batch / rate,
      "between pieces, ms": median(waits.slice(1)),
      "a read, ms": median(reads),
      "encoding, ms per token": encoded / (tokens - 1),
      "unread, ms per token": (performance.now() - begun) / (tokens - 1),
      "prompt, ms": median(prefills.slice(1)),
      "over the first": costs.at(-1)! / costs[0],
    });
  }
  console.log(engine.description);
  report(`decoding, ${QUICK ? "a small model like " : ""}enwik8, batch ${batch}`, rows);
  report("GPU time of a token", ops);
  decoder.dispose();
  engine.dispose();
}

if (Deno.args.includes("--gpu")) await onGpu();
else await onCpu();
