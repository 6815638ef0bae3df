/**
 * Training with activations in f16, on every engine.
 *
 * Plan. It follows f32; the loss scale falls when gradients overflow, and a snapshot keeps it.
 */

import { assert, assertEquals } from "@std/assert";
import { preset, type TrainConfig } from "../mod.ts";
import { Program, tensor, Trainer } from "../ops.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";

const model = {
  ...preset("text").model,
  n_ctx: 48,
  n_layer: 2,
  n_head: 2,
  d_model: 32,
  d_ff: 64,
  d_qk: 32,
  attention: { pattern: "fixed" as const, stride: 8, c: 2 },
  position: { kind: "attention" as const, stride: 8 },
};
const train: Partial<TrainConfig> = { steps: 30, batch: 2, lr: 0.003, warmup: 5 };
const text = new TextEncoder().encode("she sells sea shells by the sea shore; ".repeat(30));

for (const name of ["reference", ...ENGINES]) {
  engineTest(name, `precision: ${name}: f16 follows f32`, async () => {
    const on = await engine(name), losses: number[][] = [];
    for (const precision of ["f32", "f16"] as const) {
      const trainer = await Trainer.create(on, model, { ...train, precision }), seen: number[] = [];
      for (let step = 0; step < 8; step++) {
        await trainer.step([text.subarray(step * 20, step * 20 + 96)]);
        const { loss, gradNorm, skipped } = await trainer.measure();
        assertEquals(skipped, [0, 0]);
        assert(gradNorm > 0.01 && gradNorm < 100, `gradient norm ${gradNorm}`);
        seen.push(loss);
      }
      assertEquals((await trainer.snapshot()).lossScale, precision === "f16" ? [65536, 8] : [65536, 0]);
      trainer.dispose();
      losses.push(seen);
    }
    losses[0].forEach((loss, step) => {
      const difference = Math.abs(losses[1][step] - loss) / loss;
      assert(difference < 2e-3, `step ${step}: ${losses[1][step]} in f16, ${loss} in f32`);
    });
    assert(losses[0][7] < losses[0][0], losses[0].join());
  });
}

// The oracle's float64 has room for it, so it does not overflow.
for (const name of ENGINES) {
  engineTest(name, `precision: ${name}: an overflow skips the step and halves the scale, which a snapshot keeps`, async () => {
    const on = await engine(name), batch = [text.subarray(0, 96)];
    const first = await Trainer.create(on, model, { ...train, precision: "f16" });
    await first.step(batch);
    // A scale past every finite number: the gradients of this step cannot be finite on any engine.
    const begun = { ...await first.snapshot(), lossScale: [2 ** 127, 3] as const, skipped: [0, 0] as const };
    first.dispose();
    const again = await Trainer.create(on, model, { ...train, precision: "f16" }, begun);
    await again.step(batch);
    const after = await again.snapshot();
    assertEquals([after.skipped, after.lossScale], [[1, 1], [2 ** 126, 0]]);
    for (const [parameter, values] of begun.weights) assertEquals(after.weights.get(parameter), values);
    again.dispose();
  });
}

// What f16 does not hold is an infinity in it, whatever a device's packing makes of such numbers: 65,504 is the largest, and what would be
// rounded down to it counts as beyond.
for (const name of ENGINES.filter((name) => name.startsWith("webgpu"))) {
  engineTest(name, `precision: ${name}: numbers beyond f16 are stored as infinities`, async () => {
    const on = await engine(name), x = tensor("x", [4, 4], "f16"), w = tensor("w", [8, 4]), y = tensor("y", [4, 8], "f16");
    const program = new Program("overflow");
    program.add({ op: "linear", x, w, y });
    on.allocate([x, w, y]);
    // Each output is one factor: rows of x choose a column of w.
    const factors = [65504, -65504, 65505, -65519, 65536, -1e30, 1, 3e38];
    on.write(x, Float32Array.from({ length: 16 }, (_, i) => i % 5 === 0 ? 1 : 0));
    on.write(w, Float32Array.from({ length: 32 }, (_, i) => factors[i >> 2]));
    const made = await on.compile(program);
    await made.run();
    const want = [65504, -65504, Infinity, -Infinity, Infinity, -Infinity, 1, Infinity];
    assertEquals([...await on.read(y)], [0, 1, 2, 3].flatMap(() => want));
    made.dispose();
    on.free([x, w, y]);
  });
}

Deno.test.afterAll(disposeEngines);
