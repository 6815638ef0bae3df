/**
 * Attention of which a device binds less than one head: by rows.
 *
 * Plan. `webgpu-split` against the CPU engine, which the oracle holds: windows on one side and on both, segments, residue classes, whose
 * number divides neither n nor what fits; both within larger windows; heads that share keys; biases; heads of odd widths; f16. What does not part is refused by name.
 */

import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { OutOfMemoryError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";
import { type Engine, Program, size, type Tensor, tensor } from "../src/ops/mod.ts";
import { type AttentionConfig, resolveSets } from "../src/pattern/sets.ts";
import { preset } from "../src/files/presets.ts";
import { type Measured, Trainer } from "../src/run/train.ts";
import { relativeError } from "../src/run/verify.ts";
import { disposeEngines, engine, gpuTest } from "./engines.ts";

interface Sizes {
  readonly n: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly batch?: number;
  readonly d: number;
  readonly dv: number;
  readonly slopes?: number[];
  readonly dtype?: "f32" | "f16";
}

/** What attention and its gradient give on an engine, by name. */
async function results(on: Engine, config: AttentionConfig, sizes: Sizes): Promise<Map<string, Float32Array>> {
  const { n, heads = 1, kvHeads = heads, batch = 1, d, dv, slopes, dtype = "f32" } = sizes, rows = batch * n, draw = new Random(4, 2);
  const given = (name: string, width: number) => tensor(name, [rows, width], dtype),
    numbers = (name: string) => tensor(name, [batch, heads, n]);
  const [q, k, v, dO] = [given("q", heads * d), given("k", kvHeads * d), given("v", kvHeads * dv), given("dO", heads * dv)];
  const made: Record<string, Tensor> = {
    ...{ o: given("o", heads * dv), lse: numbers("lse"), delta: numbers("delta") },
    ...{ dq: given("dq", heads * d), dk: given("dk", kvHeads * d), dv: given("dv", kvHeads * dv) },
  };
  const shared = { q, k, v, o: made.o, lse: made.lse, sets: resolveSets(config, { n, layer: 0, heads }), batch, n, kvHeads, slopes };
  const program = new Program("attention by rows"), all = [q, k, v, dO, ...Object.values(made)];
  program.add({ op: "attention", ...shared });
  program.add({ op: "attention_backward", ...shared, dO, delta: made.delta, dq: made.dq, dk: made.dk, dv: made.dv });
  on.allocate(all);
  try {
    for (const t of [q, k, v, dO]) on.write(t, Float32Array.from({ length: size(t) }, () => draw.normal()));
    // What was there before is written over, not added to.
    for (const name in made) on.write(made[name], new Float32Array(size(made[name])).fill(7));
    const executable = await on.compile(program);
    await executable.run();
    const read = new Map<string, Float32Array>();
    for (const name in made) read.set(name, new Float32Array(await on.read(made[name])));
    executable.dispose();
    return read;
  } finally {
    on.free(all);
  }
}

const strided: AttentionConfig = { pattern: "strided", stride: 33, integration: "multihead" };
const CASES: Readonly<Record<string, [AttentionConfig, Sizes]>> = {
  "a window and residue classes that share keys, with biases": [strided, {
    n: 2100,
    heads: 2,
    kvHeads: 1,
    d: 16,
    dv: 16,
    slopes: [0.5, 0.01],
  }],
  "the same of two sequences": [strided, { n: 2065, heads: 2, batch: 2, d: 16, dv: 16 }],
  "a window on both sides, odd widths": [{ pattern: "local", stride: 20, causal: false }, { n: 4300, d: 15, dv: 14 }],
  "segments": [{ pattern: "fixed", stride: 20, c: 6, integration: "interleaved" }, { n: 2100, d: 16, dv: 16 }],
  "residue classes up to a distance": [{ pattern: "column", stride: 33, within: 400 }, { n: 2100, d: 16, dv: 16 }],
  "segments within larger ones": [{ pattern: "segment", stride: 20, within: 90 }, { n: 2100, d: 16, dv: 16 }],
  "f16": [strided, { n: 2100, heads: 2, d: 16, dv: 16, dtype: "f16" }],
};
for (const [name, [config, sizes]] of Object.entries(CASES)) {
  gpuTest(`attention by rows: ${name}`, async () => {
    const want = await results(await engine("wasm"), config, sizes), got = await results(await engine("webgpu-split"), config, sizes);
    const most = sizes.dtype === "f16" ? 2e-3 : 5e-6;
    for (const [name, values] of want) {
      const error = relativeError(got.get(name)!, values);
      assert(error < most, `${name}: ${error}`);
    }
    assertEquals(got.size, 6);
  });
}

gpuTest("attention by rows: a step of a million samples' model, none of whose tensors is bound whole", async () => {
  const { model, train } = preset("audio-1m"), n_ctx = 2100, stride = 33, measured: Measured[] = [];
  const config = {
    ...model,
    n_ctx,
    n_layer: 2,
    n_head: 2,
    d_model: 32,
    d_qk: 32,
    d_ff: 128,
    position: { kind: "attention", stride },
  } as const;
  const attention = { ...[model.attention].flat()[0], stride }, tokens = Uint8Array.from({ length: n_ctx }, (_, i) => i * i % 251);
  for (const name of ["wasm", "webgpu-split"]) {
    const trainer = await Trainer.create(await engine(name), { ...config, attention, init: "default" }, {
      ...train,
      steps: 9,
      lr: 0.01,
      warmup: 0,
    });
    for (let step = 0; step < 2; step++) await trainer.step([tokens]);
    measured.push(await trainer.measure());
    trainer.dispose();
  }
  for (const field of ["loss", "gradNorm"] as const) assertAlmostEquals(measured[1][field], measured[0][field], 1e-4 * measured[0][field]);
});

gpuTest("attention by rows: what does not part is refused by name", async () => {
  const on = await engine("webgpu-split");
  for (const config of [{ pattern: "dense" }, { pattern: "strided", stride: 16 }] as const) {
    const error = await assertRejects(() => results(on, config, { n: 2100, d: 16, dv: 16 }), OutOfMemoryError, "k of one head [2100, 16]");
    assert(error.message.includes("128.0 KiB; use a shorter context, narrower heads, or local or strided attention"), error.message);
  }
});

Deno.test.afterAll(disposeEngines);
