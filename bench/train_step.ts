/**
 * A training step (2 layers, d 128, 2 heads, feed-forward 512, vocabulary 256, AdamW) on the WASM engine, with dense and with
 * fixed attention in turn, so that other work on the machine hinders both alike; and the small presets' steps by AdamW and by Muon.
 *
 *     deno run -A bench/train_step.ts [--json] [--peers DIR] [--quick]
 *
 * @module
 */

import { checkConfig, type ModelConfig } from "../src/files/model_config.ts";
import { checkTrain, type TrainConfig } from "../src/files/train_config.ts";
import { preset } from "../src/files/presets.ts";
import { batchData } from "../src/model/batch.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { Parameters } from "../src/model/parameters.ts";
import { trainingProgram } from "../src/model/train.ts";
import { optimizerState, optimizerTensors, scheduleRows } from "../src/model/optimizer.ts";
import type { AttentionConfig } from "../src/pattern/sets.ts";
import { Random } from "../src/base/random.ts";
import { WasmEngine } from "../src/engines/wasm/engine.ts";
import { peer, QUICK, report, type Row, timeInTurn } from "./lib.ts";

/** A step ready to run again and again. */
async function prepareStep(engine: WasmEngine, model: ModelConfig, constants: Partial<TrainConfig>): Promise<() => Promise<void>> {
  const config = checkConfig(model), train = checkTrain({ steps: 1000, warmup: 10, ...constants, phases: [] });
  const params = new Parameters(config), optimizer = optimizerTensors(params.all, train.optimizer), draw = new Random(1, 0);
  const { program, batches, constants: written } = trainingProgram(params, optimizer, train);
  const tokens = Uint32Array.from({ length: train.batch * config.n_ctx }, () => draw.below(256));
  const inputs = new Map([...written, ...batchData(batches[0], tokens, config.vocab_size, config.n_ctx)]);
  const { grads, m, v } = optimizer, tensors = [...params.all, ...grads, ...m, ...v, ...optimizerState(optimizer), ...inputs.keys()];
  engine.allocate(tensors);
  for (const [t, data] of inputs) engine.write(t, data);
  const weights = initialWeights(config, 0);
  for (const p of params.all) engine.write(p, weights.get(p.name)!);
  const executable = await engine.compile(program);
  let t = 0;
  return async () => {
    engine.write(optimizer.schedule, scheduleRows(train, t++));
    await executable.run();
  };
}

/** The peers' model: 2 layers, d 128, 2 heads. */
const small = (n: number, attention: AttentionConfig): ModelConfig => ({
  model_type: "sparse_transformer",
  n_ctx: n,
  n_layer: 2,
  n_head: 2,
  d_model: 128,
  d_ff: 512,
  d_qk: 128,
  vocab_size: 256,
  dropout: 0,
  attention,
  position: { kind: "attention", stride: 32 },
});

const rows: Row[] = [], one = await WasmEngine.create({ threads: 1 }), all = await WasmEngine.create();
for (const n of QUICK ? [64] : [256, 1024]) {
  const patterns: AttentionConfig[] = [{ pattern: "dense" }, { pattern: "fixed", stride: 32, c: 8 }];
  const jax = await peer("jax_train.mjs", ["--device=wasm", `--T=${n}`]),
    steps = (engine: WasmEngine) =>
      Promise.all(patterns.map((attention) => prepareStep(engine, small(n, attention), { optimizer: "adamw" })));
  const single = await timeInTurn(await steps(one)), several = await timeInTurn(await steps(all));
  patterns.forEach(({ pattern }, i) =>
    rows.push({
      "T": `${n}`,
      "attention": pattern,
      "CPU ms, 1 thread": single[i].cpu,
      "best": single[i].best,
      "best ÷ dense": single[i].best / single[0].best,
      [`wall ms, ${all.description.match(/\d+ threads?/)![0]}`]: several[i].wall,
      "÷ dense": several[i].wall / several[0].wall,
      ...jax ? { "jax-js, CPU ms": jax.cpuMs, "times faster": jax.cpuMs / single[i].cpu } : {},
    })
  );
}
report("training step, 2 layers, d 128, AdamW", rows);

const presets: Row[] = [];
for (const name of QUICK ? ["text"] : ["text", "image", "sound"]) {
  const { model: whole, train } = preset(name), optimizers = ["adamw", "muon"] as const, model = QUICK ? { ...whole, n_ctx: 64 } : whole;
  const [adamw, muon] = await timeInTurn(
    await Promise.all(optimizers.map((optimizer) => prepareStep(one, model, { ...train, optimizer }))),
  );
  presets.push({
    "preset": name,
    "tokens": `${train.batch! * model.n_ctx}`,
    "AdamW, CPU ms": adamw.best,
    "Muon, CPU ms": muon.best,
    "Muon's share of the step": (muon.best - adamw.best) / muon.best,
  });
}
one.dispose();
all.dispose();
report("training step of the small presets, 1 thread, best: what Muon costs", presets);
