/**
 * Attention maps: the weights that the model's own attention uses, and pictures of them.
 *
 * Plan. Weights against the oracle's attention, read through values that are the identity; queries and keys of the first
 * layer by hand; deeper layers through a model whose layers below pass on their input. A token changes no row before it.
 * Pictures by their pixels.
 */

import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { checkConfig, type ModelConfig, positionRows, setsOf } from "../src/files/model_config.ts";
import { ConfigError, ShapeError } from "../src/base/errors.ts";
import { attentionImage, attentionOverImage } from "../src/pictures/maps.ts";
import { type AttentionMap, attentionMaps, type MapOptions } from "../src/run/maps.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { Parameters } from "../src/model/parameters.ts";
import { type Engine, Program, tensor } from "../src/ops/mod.ts";
import { attends } from "../src/pattern/attends.ts";
import { type AttentionConfig } from "../src/pattern/sets.ts";
import { COLORS } from "../src/pictures/colors.ts";
import { Random } from "../src/base/random.ts";
import { disposeEngines, engine, ENGINES, engineTest } from "./engines.ts";

const N = 24, V = 9;
const configOf = (attention: AttentionConfig | AttentionConfig[]): ModelConfig =>
  checkConfig({
    model_type: "sparse_transformer",
    n_ctx: N,
    n_layer: 2,
    n_head: 2,
    d_model: 12,
    d_ff: 16,
    d_qk: 8,
    vocab_size: V,
    dropout: 0,
    attention,
    position: { kind: "data", shape: [4, 2, 3] },
  });
const random = new Random(2, 1), tokens = Uint8Array.from({ length: N }, () => random.below(V));

function weightsOf(config: ModelConfig): Map<string, Float32Array> {
  const weights = initialWeights(config, 3), draw = new Random(3, 9);
  for (const values of weights.values()) values.forEach((x, i) => values[i] = x * 3 + draw.normal() * 0.2);
  return weights;
}

function place(on: Engine, config: ModelConfig, weights: ReadonlyMap<string, Float32Array>): Parameters {
  const params = new Parameters(config);
  on.allocate(params.all);
  for (const p of params.all) on.write(p, weights.get(p.name)!);
  return params;
}

async function maps(on: Engine, params: Parameters, options?: MapOptions, sequence: Uint8Array = tokens): Promise<AttentionMap[]> {
  const found = [];
  for await (const map of attentionMaps(on, params, sequence, options)) found.push(map);
  return found;
}

/** Queries and keys of a layer whose input is the embedding, [N, d_qk]. */
function byHand(config: ModelConfig, weights: ReadonlyMap<string, Float32Array>, layer: number): Record<"q" | "k", Float64Array> {
  const { d_model: d, d_qk } = config, at = `layers.${layer}.attn`, made = { q: new Float64Array(N * d_qk), k: new Float64Array(N * d_qk) };
  for (let i = 0; i < N; i++) {
    const token = i === 0 ? V : tokens[i - 1], x = Array.from({ length: d }, (_, f) => weights.get("embed.token.weight")![token * d + f]);
    positionRows(config, i).forEach((row, t) => x.forEach((_, f) => x[f] += weights.get(`embed.position.${t}.weight`)![row * d + f]));
    const mean = x.reduce((a, b) => a + b) / d, rstd = 1 / Math.sqrt(x.reduce((a, b) => a + (b - mean) ** 2, 0) / d + 1e-5);
    const norm = x.map((v, f) => (v - mean) * rstd * weights.get(`${at}.norm.weight`)![f] + weights.get(`${at}.norm.bias`)![f]);
    for (const name of ["q", "k"] as const) {
      const w = weights.get(`${at}.${name}.weight`)!, b = weights.get(`${at}.${name}.bias`)!;
      for (let o = 0; o < d_qk; o++) made[name][i * d_qk + o] = norm.reduce((sum, v, f) => sum + v * w[o * d + f], b[o]);
    }
  }
  return made;
}

/** Weights of each head as the oracle's attention gives them to values that are the identity: [heads][N, N]. */
async function oracle(config: ModelConfig, layer: number, { q, k }: Record<"q" | "k", Float64Array>): Promise<Float64Array[]> {
  const on = await engine("reference"), heads = config.n_head, program = new Program("oracle");
  const t = {
    q: tensor("q", [N, config.d_qk]),
    k: tensor("k", [N, config.d_qk]),
    v: tensor("v", [N, heads * N]),
    o: tensor("o", [N, heads * N]),
    lse: tensor("lse", [1, heads, N]),
  };
  program.add({ op: "attention", ...t, sets: setsOf(config, layer), batch: 1, n: N });
  on.allocate(Object.values(t));
  on.write(t.q, q);
  on.write(t.k, k);
  on.write(t.v, Float64Array.from({ length: N * heads * N }, (_, at) => Math.floor(at / (heads * N)) === at % N ? 1 : 0));
  const executable = await on.compile(program);
  await executable.run();
  const o = await on.read(t.o);
  executable.dispose();
  on.free(Object.values(t));
  return Array.from(
    { length: heads },
    (_, h) => Float64Array.from({ length: N * N }, (_, at) => o[Math.floor(at / N) * heads * N + h * N + at % N]),
  );
}

const patterns: AttentionConfig[] = [
  { pattern: "dense" },
  { pattern: "strided", stride: 6, integration: "multihead" },
  { pattern: "strided", stride: 5, integration: "interleaved" },
  { pattern: "fixed", stride: 6, c: 2 },
  { pattern: "longformer", stride: 3, globals: 2 },
  { pattern: "fixed", stride: 6, c: 2, causal: false },
];
for (const name of new Set(["reference", ...ENGINES])) {
  engineTest(name, `maps: ${name}: weights are the model's, of every pattern, layer and head`, async () => {
    const on = await engine(name);
    for (const attention of patterns) {
      const config = configOf(attention), weights = weightsOf(config);
      // Layer 0 passes on its input, so layer 1's is the embedding too.
      for (const part of ["attn.p", "ff.w2"]) for (const kind of ["weight", "bias"]) weights.get(`layers.0.${part}.${kind}`)!.fill(0);
      const params = place(on, config, weights), found = await maps(on, params);
      assertEquals(found.map(({ layer, head }) => [layer, head]), [[0, 0], [0, 1], [1, 0], [1, 1]]);
      for (const { layer, head, rows, n, causal } of found) {
        assertEquals([n, causal, rows.length], [N, attention.causal ?? true, N]);
        const want = (await oracle(config, layer, byHand(config, weights, layer)))[head], set = setsOf(config, layer)[head];
        rows.forEach(({ query, keys, weights }, i) => {
          assertEquals(query, i);
          assertEquals([...keys], Array.from({ length: N }, (_, j) => j).filter((j) => attends(set, i, j)));
          assertAlmostEquals(weights.reduce((a, b) => a + b), 1, 1e-5);
          keys.forEach((key, at) => assertAlmostEquals(weights[at], want[i * N + key], 2e-5));
        });
      }
      on.free(params.all);
    }
  });
}

Deno.test("maps: chosen layers, heads and queries; shorter sequences; what comes later changes nothing", async () => {
  const on = await engine("reference"), config = configOf({ pattern: "strided", stride: 5 }), params = place(on, config, weightsOf(config));
  const all = await maps(on, params), some = await maps(on, params, { layers: [1, 1], heads: [1], queries: [20, 3, 3] });
  assertEquals(some.length, 1);
  assertEquals(some[0].rows, [all[3].rows[3], all[3].rows[20]]);
  const short = await maps(on, params, {}, tokens.subarray(0, 13));
  assertEquals(short[3].n, 13);
  assertEquals(short[3].rows, all[3].rows.slice(0, 13));
  const other = tokens.slice();
  other[12] = (other[12] + 1) % V;
  const changed = await maps(on, params, {}, other);
  // The token at 12 is the input of position 13.
  assertEquals(changed[3].rows.slice(0, 13), all[3].rows.slice(0, 13));
  assert(changed[3].rows[13].weights.some((x, at) => x !== all[3].rows[13].weights[at]));
  on.free(params.all);
});

Deno.test("maps: bad input is an error of its own", async () => {
  const on = await engine("reference"), config = configOf({ pattern: "dense" }), params = place(on, config, weightsOf(config));
  const fails = (options: MapOptions, includes: string) => assertRejects(() => maps(on, params, options), ConfigError, includes);
  await fails({ layers: [2] }, "layers[0] must be a whole number from 0 to 1, found 2");
  await fails({ heads: [-1] }, "heads[0] must be a whole number from 0 to 1");
  await fails({ queries: [N] }, `queries[0] must be a whole number from 0 to ${N - 1}`);
  await fails({ heads: [] }, "heads must name at least one");
  await assertRejects(() => maps(on, params, {}, new Uint8Array()), ShapeError, "must have 1 to 24 tokens, got 0");
  await assertRejects(() => maps(on, params, {}, new Uint8Array(N + 1)), ShapeError, "got 25");
  await assertRejects(() => maps(on, params, {}, Uint8Array.of(V)), ShapeError, `Cannot use token ${V}`);
  on.free(params.all);
  const both = configOf({ pattern: "dense", causal: false }), free = place(on, both, weightsOf(both));
  await assertRejects(() => maps(on, free, {}, tokens.subarray(1)), ShapeError, "not causal, so the sequence must have all 24 tokens");
  on.free(free.all);
});

const rowOf = (query: number, weights: Record<number, number>) => ({
  query,
  keys: Uint32Array.from(Object.keys(weights), Number),
  weights: Float32Array.from(Object.values(weights)),
});
const pixel = (
  { width, rgb }: { width: number; rgb: Uint8Array },
  x: number,
  y: number,
) => [...rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];

Deno.test("maps: the picture of a map, pair by pair and pooled", () => {
  const map = { layer: 0, head: 0, n: 3, causal: true, rows: [rowOf(0, { 0: 1 }), rowOf(1, { 1: 1 }), rowOf(2, { 0: 0.2, 1: 0.8 })] };
  const drawn = attentionImage(map, 12);
  assertEquals([drawn.width, drawn.height], [6, 6]);
  const dark = pixel(drawn, 0, 0);
  assert(dark.every((x) => x < 80), "the largest weight of a row is dark");
  assertEquals(pixel(drawn, 2, 0), [...COLORS.forbidden]);
  assertEquals(pixel(drawn, 0, 2), [...COLORS.empty]);
  assertEquals(pixel(drawn, 3, 5), dark);
  const quarter = pixel(drawn, 1, 4);
  assert(quarter[0] > dark[0] && quarter[0] < COLORS.empty[0], "a quarter of the largest is between");
  // 3 × 3 pairs in 2 × 2 cells: the largest weight of a cell's pairs.
  const pooled = attentionImage(map, 2);
  assertEquals([pooled.width, pooled.height], [2, 2]);
  assertEquals([pixel(pooled, 0, 0), pixel(pooled, 1, 0)], [dark, [...COLORS.forbidden]]);
  assertEquals([pixel(pooled, 0, 1), pixel(pooled, 1, 1)], [dark, [...COLORS.empty]]);
});

Deno.test("maps: one query over its image", () => {
  const shape = [2, 2, 3] as const, image = Uint8Array.from({ length: 12 }, (_, i) => 10 * i);
  // Pixel 2, its second channel: looks at pixel 0 (0.8 in two channels) and pixel 1 (0.2).
  const drawn = attentionOverImage(rowOf(7, { 0: 0.5, 2: 0.3, 4: 0.2 }), image, shape, 1);
  assertEquals([drawn.width, drawn.height], [2, 2]);
  assertEquals(pixel(drawn, 0, 0), [255, 255, 255]);
  assertEquals(pixel(drawn, 1, 0), [3, 4, 5].map((i) => Math.round(5.5 * i + (255 - 5.5 * i) * 0.5)));
  assertEquals(pixel(drawn, 0, 1), [...COLORS.far]);
  assertEquals(pixel(drawn, 1, 1), [0, 0, 0]);
  assertEquals(attentionOverImage(rowOf(7, { 0: 1 }), image, shape).width, 256);
  assertThrows(() => attentionOverImage(rowOf(12, { 0: 1 }), image, shape), ShapeError, "2 × 2 × 3: got 12 tokens, query 12");
  assertThrows(() => attentionOverImage(rowOf(0, { 0: 1 }), image.subarray(1), shape), ShapeError, "got 11 tokens");
});

Deno.test.afterAll(disposeEngines);
