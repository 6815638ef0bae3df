/**
 * A training step (2 layers, d 128, 2 heads, feed-forward 512, vocabulary 256, Adam) on the WASM engine, with dense and with
 * fixed attention in turn, so that other work on the machine hinders both alike.
 *
 *     deno run -A bench/train_step.ts [--json] [--peers DIR]
 *
 * @module
 */

import { checkConfig, checkTrain } from "../src/config.ts";
import { batchData, initialWeights, Parameters, trainingProgram } from "../src/model.ts";
import { optimizerState, optimizerTensors, scheduleRows } from "../src/optimizer.ts";
import type { AttentionConfig } from "../src/pattern.ts";
import { Random } from "../src/random.ts";
import { WasmEngine } from "../src/wasm/engine.ts";
import { peer, report, type Row, timeInTurn } from "./lib.ts";

/** A step ready to run again and again. */
async function prepareStep(engine: WasmEngine, n: number, attention: AttentionConfig): Promise<() => Promise<void>> {
  const config = checkConfig({
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
  const train = checkTrain({ steps: 1000, warmup: 10 }),
    params = new Parameters(config),
    optimizer = optimizerTensors(params.all, train.optimizer);
  const { program, batches, constants } = trainingProgram(params, optimizer, train), draw = new Random(1, 0);
  const tokens = Uint32Array.from({ length: n }, () => draw.below(256));
  const inputs = new Map([...constants, ...batchData(batches[0], tokens, 256, n)]);
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

const rows: Row[] = [], one = await WasmEngine.create({ threads: 1 }), all = await WasmEngine.create();
for (const n of [256, 1024]) {
  const patterns: AttentionConfig[] = [{ pattern: "dense" }, { pattern: "fixed", stride: 32, c: 8 }];
  const jax = await peer("jax_train.mjs", ["--device=wasm", `--T=${n}`]);
  const single = await timeInTurn(await Promise.all(patterns.map((attention) => prepareStep(one, n, attention))));
  const several = await timeInTurn(await Promise.all(patterns.map((attention) => prepareStep(all, n, attention))));
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
one.dispose();
all.dispose();
report("training step, 2 layers, d 128", rows);
