/** Saves runs whose numbers all tell the step, for the tests to kill: `files_saver.ts FOLDER`. @module */

import { openRunFolder, saveRun } from "../cli/run_folder.ts";
import type { Checkpoint } from "../src/files/run_state.ts";
import { parameterShapes } from "../src/files/parameter_shapes.ts";
import type { ModelConfig } from "../src/files/model_config.ts";
import { TRAIN_DEFAULTS } from "../src/files/train_config.ts";

/** 25,536 parameters: a save writes 306 kB. */
export const MODEL: ModelConfig = {
  model_type: "sparse_transformer",
  n_ctx: 64,
  n_layer: 1,
  n_head: 2,
  d_model: 32,
  d_ff: 64,
  d_qk: 32,
  vocab_size: 256,
  dropout: 0,
  attention: { pattern: "fixed", stride: 8, c: 2 },
  position: { kind: "attention", stride: 8 },
};

/** Weights are `step`, first moments step + ¼, second moments step + ½. */
export function checkpointAt(step: number): Checkpoint {
  const fill = (value: number) =>
    new Map([...parameterShapes(MODEL)].map(([name, shape]) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value)]));
  return {
    config: MODEL,
    step,
    skipped: [0, 0],
    lossScale: [65536, 0],
    engine: "reference",
    train: { ...TRAIN_DEFAULTS, optimizer: "adamw" },
    data: { name: "none", bytes: 0, sha256: "00".repeat(32), heldOut: 0 },
    history: [{ step, loss: 1 }],
    weights: fill(step),
    m: fill(step + 0.25),
    v: fill(step + 0.5),
  };
}

/** The step of a checkpoint, all of whose parts must tell the same one. */
export function stepOf(checkpoint: Checkpoint): number {
  const { step, weights, m, v, history } = checkpoint;
  for (const [values, offset, what] of [[weights, 0, "weights"], [m, 0.25, "m"], [v, 0.5, "v"]] as const) {
    for (const [name, numbers] of values) {
      const at = numbers.findIndex((x) => x !== step + offset);
      if (at >= 0) throw new Error(`${what} ${name}[${at}] is ${numbers[at]} at step ${step}`);
    }
  }
  if (history.at(-1)?.step !== step) throw new Error(`history ends elsewhere than at step ${step}`);
  return step;
}

if (import.meta.main) {
  const [path, from] = Deno.args, folder = openRunFolder(path, from !== "0");
  for (let step = Number(from) + 1;; step++) {
    saveRun(folder, checkpointAt(step));
    console.log(step);
    // Gives the pipe to the parent its turn.
    await new Promise((resume) => setTimeout(resume, 0));
  }
}
