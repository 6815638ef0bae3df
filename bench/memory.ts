/**
 * Memory of a training step of each preset, with and without recomputation: `deno run -A bench/memory.ts [--batch N] [--json] [--quick]`.
 *
 * Planned, not measured: nothing is allocated. `needed` is what lives at the worst moment of a step; `arena` is what the WebGPU
 * engine asks the device for, its slots shared by lifetime (without the small temporaries of its own that each kernel adds).
 */

import { parseArgs } from "npm:deno-std@1.4.0/cli/parse_args.js";
import { checkConfig } from "../src/files/model_config.ts";
import { checkTrain } from "../src/files/train_config.ts";
import { PRESETS } from "../src/files/presets.ts";
import { memoryPlan } from "../src/run/memory.ts";
import { Parameters } from "../src/model/parameters.ts";
import { trainingProgram } from "../src/model/train.ts";
import { lifetimes } from "../src/ops/mod.ts";
import { optimizerTensors } from "../src/model/optimizer.ts";
import { planSlots } from "../src/engines/webgpu/memory.ts";

const flags = parseArgs(Deno.args, { string: ["batch"], boolean: ["json", "quick"] }), batch = Number(flags.batch ?? 1);
const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20).toLocaleString("en-US");
const columns = (["f32", "f16"] as const).flatMap((precision) => [false, true].map((recompute) => ({ precision, recompute })));
if (!flags.json) {
  const names = columns.map(({ precision, recompute }) => `${precision}${recompute ? ", recomputed" : ""}: needed / arena`);
  console.log(`| preset, batch ${batch} (MiB) | layers | n_ctx | weights, gradients, moments | ${names.join(" | ")} |`);
  console.log(`|${" --- |".repeat(4 + columns.length)}`);
}
for (const [name, preset] of Object.entries(PRESETS).slice(0, flags.quick ? 1 : undefined)) {
  const model = checkConfig(preset.model), params = new Parameters(model);
  const rows = columns.map(({ precision, recompute }) => {
    const train = checkTrain({ ...preset.train, batch, precision, recompute });
    const { program } = trainingProgram(params, optimizerTensors(params.all, train.optimizer), train),
      { state, activations } = memoryPlan(model, train);
    return { precision, recompute, state, needed: activations, arena: planSlots(lifetimes(program)).bytes.reduce((a, b) => a + b, 0) };
  });
  if (flags.json) console.log(JSON.stringify({ preset: name, batch, layers: model.n_layer, n_ctx: model.n_ctx, rows }));
  else {
    const cells = rows.map(({ needed, arena }) => `${mebibytes(needed)} / ${mebibytes(arena)}`);
    console.log(
      `| ${name} | ${model.n_layer} | ${model.n_ctx.toLocaleString("en-US")} | ${mebibytes(rows[0].state)} | ${cells.join(" | ")} |`,
    );
  }
}
