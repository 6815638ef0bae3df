/**
 * Attention maps: which keys the queries of a sequence weigh, at chosen layers and heads (the paper's Fig. 2), as numbers. The kernels keep no
 * weights, so they are made again here from queries and keys, of the pairs of the set alone.
 *
 * @module
 */

import { expect, expectTokens, whole } from "../base/check.ts";
import { ConfigError, ShapeError } from "../base/errors.ts";
import { checkComputed } from "../base/finite.ts";
import { setsOf } from "../files/model_config.ts";
import { objectiveOf } from "../files/objective.ts";
import { loadLayers } from "../model/layers.ts";
import { batchData } from "../model/batch.ts";
import { compileWith } from "../model/compile.ts";
import type { Parameters } from "../model/parameters.ts";
import { queryKeyProgram } from "../model/queries.ts";
import { withMemory } from "../model/token_rows.ts";
import type { Engine, TensorData } from "../ops/mod.ts";
import { buildLayout, type Layout } from "../pattern/layout.ts";
import { memoryOf, placesOf, rowOfToken, rowsOf } from "../pattern/memory.ts";
import { type AttentionSet, setKey } from "../pattern/sets.ts";

/** What one query weighs. */
export interface AttentionRow {
  /** Its position. */
  readonly query: number;
  /**
   * Positions of its keys, ascending: those of the set. Memory tokens count with the token before them. Of routed attention those of all
   * branches, each with its share of the gates, and the mean of a block with every position that it is the mean of.
   */
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

/** Most positions whose queries are all shown: 8 million pairs per head where attention is dense. */
export const ROWS_LIMIT = 4096;

/** Queries shown of longer sequences: as many as a picture has cells on a side. */
export const QUERIES_SHOWN = 1024;

function choice(what: string, chosen: readonly number[] | undefined, count: number): number[] {
  if (chosen) expect("Cannot map attention", { [what]: [chosen, { each: whole(0, count - 1) }] });
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
  const { config } = params, { n_ctx, n_head, vocab_size } = config, n = tokens.length, memory = memoryOf(config.attention);
  if (n < 1 || n > n_ctx) throw new ShapeError(`Cannot map attention: the sequence must have 1 to ${n_ctx} tokens, got ${n}`);
  const layers = choice("layers", options.layers, config.n_layer), heads = choice("heads", options.heads, n_head);
  const spread = n > ROWS_LIMIT ? Array.from({ length: QUERIES_SHOWN }, (_, at) => Math.floor(at * n / QUERIES_SHOWN)) : undefined;
  const queries = choice("queries", options.queries ?? spread, n);
  if (n < n_ctx && layers.some((layer) => setsOf(config, layer).some(({ causal }) => !causal))) {
    throw new ShapeError(`Cannot map attention: the model is not causal, so the sequence must have all ${n_ctx} tokens, got ${n}`);
  }
  await loadLayers(config);
  const { program, batch, layers: made, constants } = queryKeyProgram(params, layers);
  const tensors = [batch.tokens, ...constants.keys(), ...[...made.values()].flatMap(Object.values)];
  const executable = await compileWith(engine, program, tensors, constants);
  try {
    // What stands behind the sequence changes nothing before it.
    const padded = new Uint32Array(n_ctx);
    padded.set(tokens);
    engine.write(
      batch.tokens,
      objectiveOf(config) === "next"
        ? batchData(batch, padded, vocab_size, n_ctx, memory).get(batch.tokens)!
        : withMemory(padded, config, n_ctx),
    );
    await executable.run();
    const layouts = new Map<string, Promise<Layout>>(), tokenOf = Array.from(placesOf(n, memory), ([token]) => token);
    for (const [layer, { q, k, gate }] of made) {
      const [qs, ks] = await Promise.all([engine.read(q), engine.read(k)]), sets = setsOf(config, layer);
      const gates = gate && checkComputed(await engine.read(gate), "Cannot map attention", `of layer ${layer} the gates`, engine);
      checkComputed(qs, "Cannot map attention", `of layer ${layer} the queries`, engine);
      checkComputed(ks, "Cannot map attention", `of layer ${layer} the keys`, engine);
      for (const head of heads) {
        const set = sets[head], key = setKey(set);
        if (!gates && !layouts.has(key)) layouts.set(key, buildLayout(set, rowsOf(n, memory), { q: 64, k: 64 }));
        const of = queries.map((query) => rowOfToken(query, memory));
        const from = { q: qs, k: ks, width: config.d_qk, head, d: config.d_qk / n_head };
        const weighed = gates && set.kind === "routed"
          ? (await import("./routed_maps.ts")).weighRouted(set, n, of, { ...from, gates, heads: n_head })
          : weigh(await layouts.get(key)!, of, from);
        const rows = memory ? weighed.map((row, at) => ({ ...ofTokens(row, tokenOf), query: queries[at] })) : weighed;
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

/** The same by tokens: what memory tokens weigh is added to the token before them. */
function ofTokens({ query, keys, weights }: AttentionRow, tokenOf: readonly number[]): AttentionRow {
  const sums = new Map<number, number>();
  keys.forEach((row, at) => sums.set(tokenOf[row], (sums.get(tokenOf[row]) ?? 0) + weights[at]));
  return { query, keys: Uint32Array.from(sums.keys()), weights: Float32Array.from(sums.values()) };
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
