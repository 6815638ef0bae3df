/**
 * Attention maps: which keys the queries of a sequence weigh, at chosen layers and heads (the paper's Fig. 2), as numbers
 * and as pictures. The kernels keep no weights, so they are made again here from queries and keys, of the pairs of the
 * set alone.
 *
 * @module
 */

import { expect, expectTokens, MOST } from "../base/check.ts";
import { setsOf } from "../files/config.ts";
import type { Image, ImageShape } from "../data/image.ts";
import { ConfigError, ShapeError } from "../base/errors.ts";
import { checkComputed } from "../base/finite.ts";
import { buildLayout, type Layout } from "../pattern/layout.ts";
import { batchData, compileWith, type Parameters, queryKeyProgram } from "../model/model.ts";
import type { Engine, TensorData } from "../ops/mod.ts";
import { type AttentionSet, setKey } from "../pattern/sets.ts";
import { type Color, COLORS } from "../pictures/picture.ts";

/** What one query weighs. */
export interface AttentionRow {
  /** Its position. */
  readonly query: number;
  /** Positions of its keys, ascending: those of the set. */
  readonly keys: Uint32Array;
  /** Weight of each key; they sum to 1. */
  readonly weights: Float32Array;
}

/** What the queries of one head weigh. */
export interface AttentionMap {
  /** Which layer, from 0. */
  readonly layer: number;
  /** Which head, from 0. */
  readonly head: number;
  /** Positions of the sequence. */
  readonly n: number;
  /** Whether no query sees a later key. */
  readonly causal: boolean;
  /** One a query asked for, ascending. */
  readonly rows: readonly AttentionRow[];
}

/** Choices of {@linkcode attentionMaps}. */
export interface MapOptions {
  /** Layers, from 0; default all. */
  readonly layers?: readonly number[];
  /** Heads, from 0; default all. */
  readonly heads?: readonly number[];
  /** Positions of queries; default all of up to {@linkcode ROWS_LIMIT} positions, of more 1,024 evenly spread ones. */
  readonly queries?: readonly number[];
}

/** Most positions whose queries are all shown: 8 million pairs a head where attention is dense, a second or two. */
export const ROWS_LIMIT = 4096;

/** Queries shown of longer sequences, and cells a side of a picture. */
const CELLS = 1024;

function choice(what: string, chosen: readonly number[] | undefined, count: number): number[] {
  for (const one of chosen ?? []) {
    if (!Number.isInteger(one) || one < 0 || one >= count) {
      throw new ConfigError(`Cannot map attention: ${what} must be whole numbers from 0 to ${count - 1}, current value is ${one}`);
    }
  }
  const all = [...new Set(chosen ?? Array.from({ length: count }, (_, at) => at))].sort((a, b) => a - b);
  if (all.length === 0) throw new ConfigError(`Cannot map attention: ${what} must name at least one`);
  return all;
}

/**
 * Attention weights of one sequence, a head at a time, by layer.
 *
 * @param params on that engine
 * @param tokens at most n_ctx of them
 * @throws {ConfigError} where a layer, head or query is not there
 * @throws {ShapeError} where there is no token, more than n_ctx, fewer and the model is not causal, or one outside the vocabulary
 * @throws {DivergedError} where queries or keys are not finite
 *
 * @example
 * ```ts
 * import { encodeText, openModel } from "../../mod.ts";
 * import { encodePng } from "../../data.ts";
 * import { attentionImage, attentionMaps } from "../../pictures.ts";
 * const model = await openModel(new URL("../../test/golden/model-text-fixed-merged/", import.meta.url), { backend: "reference" });
 * for await (const map of attentionMaps(model.engine, model.params, encodeText("to be"), { layers: [0], heads: [1] })) {
 *   console.log(map.rows[4].keys, encodePng(attentionImage(map)).length > 0);
 * }
 * model.dispose();
 * ```
 */
export async function* attentionMaps(
  engine: Engine,
  params: Parameters,
  tokens: ArrayLike<number>,
  options: MapOptions = {},
): AsyncGenerator<AttentionMap> {
  const cannot = "Cannot map attention";
  expect(cannot, {
    engine: [engine, "an engine"],
    parameters: [params, "an object"],
    config: [params?.config, "an object"],
    options: [options, "an object"],
  });
  for (const name of ["layers", "heads", "queries"] as const) {
    if (options[name] !== undefined) expect(cannot, { [name]: [options[name], "a list"] });
  }
  expectTokens(cannot, tokens);
  const { config } = params, { n_ctx, n_head, vocab_size } = config, n = tokens.length;
  if (n < 1 || n > n_ctx) throw new ShapeError(`Cannot map attention: the sequence must have 1 to ${n_ctx} tokens, got ${n}`);
  const layers = choice("layers", options.layers, config.n_layer), heads = choice("heads", options.heads, n_head);
  const spread = n > ROWS_LIMIT ? Array.from({ length: CELLS }, (_, at) => Math.floor(at * n / CELLS)) : undefined;
  const queries = choice("queries", options.queries ?? spread, n);
  if (n < n_ctx && layers.some((layer) => setsOf(config, layer).some(({ causal }) => !causal))) {
    throw new ShapeError(`Cannot map attention: the model is not causal, so the sequence must have all ${n_ctx} tokens, got ${n}`);
  }
  const { program, batch, layers: made, constants } = queryKeyProgram(params, layers);
  const tensors = [batch.tokens, ...constants.keys(), ...[...made.values()].flatMap(Object.values)];
  const executable = await compileWith(engine, program, tensors, constants);
  try {
    // What stands behind the sequence changes nothing before it.
    const padded = new Uint32Array(n_ctx);
    padded.set(tokens);
    engine.write(batch.tokens, batchData(batch, padded, vocab_size, n_ctx).get(batch.tokens)!);
    await executable.run();
    const layouts = new Map<string, Promise<Layout>>();
    for (const [layer, { q, k }] of made) {
      const [qs, ks] = await Promise.all([engine.read(q), engine.read(k)]), sets = setsOf(config, layer);
      checkComputed(qs, "Cannot map attention", `of layer ${layer} the queries`, engine);
      checkComputed(ks, "Cannot map attention", `of layer ${layer} the keys`, engine);
      for (const head of heads) {
        const set = sets[head], key = setKey(set);
        if (!layouts.has(key)) layouts.set(key, buildLayout(set, n, { q: 64, k: 64 }));
        const rows = weigh(await layouts.get(key)!, queries, { q: qs, k: ks, width: config.d_qk, head, d: config.d_qk / n_head });
        for (const { query, weights } of rows) {
          checkComputed(weights, "Cannot map attention", `of layer ${layer}, head ${head}, query ${query} the weights`, engine);
        }
        yield { layer, head, n, causal: (set as AttentionSet).causal, rows };
      }
    }
  } finally {
    executable.dispose();
    engine.free(tensors);
  }
}

/** softmax(q·kᵀ/√d) of some rows, over the keys that the layout names. */
function weigh(
  layout: Layout,
  queries: readonly number[],
  { q, k, width, head, d }: { q: TensorData; k: TensorData; width: number; head: number; d: number },
): AttentionRow[] {
  const places = layout.parts.map(({ queryRows }) => {
    const place = queryRows && new Uint32Array(layout.n);
    queryRows?.forEach((row, at) => place![row] = at);
    return place;
  });
  const scale = 1 / Math.sqrt(d);
  return queries.map((query) => {
    const found: number[] = [];
    layout.parts.forEach(({ keyRows, lo, hi }, part) => {
      const at = places[part]?.[query] ?? query;
      for (let key = lo[at]; key < hi[at]; key++) found.push(keyRows ? keyRows[key] : key);
    });
    const keys = Uint32Array.from(found).sort(), weights = new Float32Array(keys.length), from = query * width + head * d;
    let most = -Infinity, sum = 0;
    for (let at = 0; at < keys.length; at++) {
      const other = keys[at] * width + head * d;
      let dot = 0;
      for (let i = 0; i < d; i++) dot += q[from + i] * k[other + i];
      most = Math.max(most, weights[at] = dot * scale);
    }
    for (let at = 0; at < keys.length; at++) sum += weights[at] = Math.exp(weights[at] - most);
    return { query, keys, weights: weights.map((weight) => weight / sum) };
  });
}

/** Colours of a map: a pair of the set from light to dark by its weight. */
const LIGHT: Color = [205, 218, 240], DARK: Color = [6, 16, 64];

/** The colour of a share of the row's largest weight. Raised by a square root, so that small weights show. */
function weightColor(share: number): Color {
  const [low, high, at] = share < 0.25 ? [LIGHT, COLORS.near, Math.sqrt(share) * 2] : [COLORS.near, DARK, Math.sqrt(share) * 2 - 1];
  return [0, 1, 2].map((channel) => Math.round(low[channel] + (high[channel] - low[channel]) * at)) as unknown as Color;
}

/**
 * Draws a map: a line a query, first on top, keys from left to right. Each line is relative to its largest weight: that is
 * darkest, other pairs of the set are lighter, pairs outside it grey, later ones white. Where positions are more than
 * pixels, the largest weight of a pixel's pairs counts.
 *
 * @param side pixels a side at most
 */
export function attentionImage(map: AttentionMap, side = CELLS): Image {
  expect("Cannot draw attention", { map: [map, "an object"] });
  const { n, rows, causal } = map;
  expect("Cannot draw attention", {
    n: [n, [1, MOST]],
    rows: [rows, "a list"],
    "number of rows": [rows?.length, [1, MOST]],
    side: [side, [1, 2 ** 14]],
  });
  const across = Math.ceil(n / side), down = Math.ceil(rows.length / side);
  const columns = Math.ceil(n / across), lines = Math.ceil(rows.length / down);
  // Small maps are drawn larger; a few chosen queries as bands.
  const scale = Math.max(1, Math.floor(side / 2 / columns)),
    height = rows.length < n ? Math.max(scale, Math.min(16, Math.floor(side / lines))) : scale;
  const width = columns * scale, rgb = new Uint8Array(width * lines * height * 3), cells = new Float32Array(columns);
  for (let line = 0; line < lines; line++) {
    const group = rows.slice(line * down, (line + 1) * down), last = causal ? group.at(-1)!.query : n - 1;
    cells.fill(-1);
    for (const { keys, weights } of group) {
      const most = weights.reduce((a, b) => Math.max(a, b), 0);
      keys.forEach((key, at) => {
        const cell = Math.floor(key / across);
        cells[cell] = Math.max(cells[cell], weights[at] / most);
      });
    }
    const top = line * height * width * 3;
    cells.forEach((share, cell) => {
      const color = share >= 0 ? weightColor(share) : cell * across > last ? COLORS.forbidden : COLORS.empty;
      for (let x = 0; x < scale; x++) rgb.set(color, top + (cell * scale + x) * 3);
    });
    for (let y = 1; y < height; y++) rgb.copyWithin(top + y * width * 3, top, top + width * 3);
  }
  return { width, height: lines * height, rgb };
}

/** What a pixel keeps of its colour below the weights. */
const DIMMED = 0.55;

/**
 * Draws what one query weighs over an image, as the paper's Fig. 2: the image darkened, white the more a pixel weighs
 * (its channels together, relative to the largest), the query's pixel orange, what comes later black.
 *
 * @param tokens of the image, row-major
 * @param scale screen pixels a pixel; default as many as make the longer side about 256
 * @throws {ShapeError} where the tokens are not one image of that shape
 */
export function attentionOverImage(row: AttentionRow, tokens: ArrayLike<number>, shape: ImageShape, scale?: number): Image {
  const cannot = "Cannot draw attention over an image", size = [1, 65536] as const;
  expect(cannot, { row: [row, "an object"], shape: [shape, "a list"], scale: [scale === undefined ? 1 : scale, [1, 64]] });
  for (const at of [0, 1, 2]) expect(cannot, { [`shape[${at}]`]: [shape[at], size] });
  expectTokens(cannot, tokens);
  const [high, wide, channels] = shape, pixels = high * wide;
  if (tokens.length !== pixels * channels || row.query >= tokens.length) {
    throw new ShapeError(`Cannot draw attention over an image of ${shape.join(" × ")}: got ${tokens.length} tokens, query ${row.query}`);
  }
  const heat = new Float32Array(pixels), times = scale ?? Math.max(1, Math.floor(256 / Math.max(high, wide)));
  row.keys.forEach((key, at) => heat[Math.floor(key / channels)] += row.weights[at]);
  const most = heat.reduce((a, b) => Math.max(a, b), 0), own = Math.floor(row.query / channels);
  const width = wide * times, rgb = new Uint8Array(width * high * times * 3);
  for (let pixel = 0; pixel < pixels; pixel++) {
    // A key is the place that is weighed; without causality there is none later.
    const seen = heat[pixel] > 0 || pixel < own, glow = Math.sqrt(heat[pixel] / most);
    const color = [0, 1, 2].map((channel) => {
      if (pixel === own) return COLORS.far[channel];
      const ground = seen ? tokens[pixel * channels + (channels === 3 ? channel : 0)] * DIMMED : 0;
      return Math.round(ground + (255 - ground) * glow);
    });
    const left = (pixel % wide) * times, top = Math.floor(pixel / wide) * times;
    for (let y = top; y < top + times; y++) for (let x = left; x < left + times; x++) rgb.set(color, (y * width + x) * 3);
  }
  return { width, height: high * times, rgb };
}
