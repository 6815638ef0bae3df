/**
 * The Sparse Transformer (section 5), written once against the operations contract: its parameters, and the programs
 * that train, score and decode with it.
 *
 * Shapes in comments: B sequences, T positions, R = B·T rows, d = d_model, F = d_ff, V = vocabulary.
 *
 * @module
 */

import { expect, expectTokens } from "../base/check.ts";
import type { CachePlan } from "../pattern/cache.ts";
import { parameterShapes } from "../files/checkpoint.ts";
import { type Initialisation, type ModelConfig, positionRows, positionSizes, setsOf, type TrainConfig } from "../files/config.ts";
import { ShapeError } from "../base/errors.ts";
import {
  type Dropout,
  type DType,
  type Engine,
  type Executable,
  type Linear,
  Program,
  type Tensor,
  tensor,
  type TensorData,
} from "../ops/mod.ts";
import { emitUpdate, type OptimizerTensors } from "./optimizer.ts";
import { Random, STREAM } from "../base/random.ts";

/** Parameter tensors, in the order of {@linkcode parameterShapes}: rank 2 first. */
export class Parameters {
  readonly #byName: ReadonlyMap<string, Tensor>;

  /**
   * Tensors of that model, not yet on any engine.
   *
   * @param of parameters to share: of the same model but for what has no weights, and with position tables at least as long
   */
  constructor(
    /** The model. */
    readonly config: ModelConfig,
    of?: Parameters,
  ) {
    this.#byName = of ? of.#byName : new Map([...parameterShapes(config)].map(([name, shape]) => [name, tensor(name, shape)]));
  }

  /** All of them, in order. */
  get all(): Tensor[] {
    return [...this.#byName.values()];
  }

  /**
   * The parameter of that name.
   *
   * @throws {ShapeError} where there is none
   */
  get(name: string): Tensor {
    expect("Cannot find the parameter", { name: [name, "a string"] });
    const found = this.#byName.get(name);
    if (!found) throw new ShapeError(`Cannot find parameter ${name}: the model has none of that name`);
    return found;
  }
}

/** Deviations of the first weights (spec §2): where W₂ and W_p, the ends of the branches, get 1/√(2·n_layer) of theirs. */
const DEVIATIONS: Readonly<Record<Initialisation, { token(d: number): number; hidden: number; out: number }>> = {
  // Layer norm of tiny numbers keeps small models from forming attention for most of a short run: 1.86 bits/byte for 2.22 after 1.6 MB.
  default: { token: () => 0.35, hidden: 1, out: 0.354 },
  paper: { token: (d) => 0.125 / Math.sqrt(d), hidden: 0.125, out: 0 },
};

/**
 * Weights before training (section 5.3 and spec §2), by `config.init`: each tensor draws from its own stream, so a weight depends only
 * on the seed, its name's place and its index.
 *
 * @returns f32 arrays by parameter name
 */
export function initialWeights(config: ModelConfig, seed: number): Map<string, Float32Array> {
  const spread = DEVIATIONS[config.init ?? "default"], token = spread.token(config.d_model), tables = positionSizes(config).length;
  const deviation = (name: string, shape: readonly number[]): number => {
    if (name === "out.weight") return spread.out / Math.sqrt(config.d_model);
    if (name === "embed.token.weight") return token;
    if (name.startsWith("embed.position")) return token / Math.sqrt(tables);
    const branch = /\.(ff\.w2|attn\.p)\.weight$/.test(name) ? 1 / Math.sqrt(2 * config.n_layer) : 1;
    return spread.hidden / Math.sqrt(shape[1]) * branch;
  };
  return new Map([...parameterShapes(config)].map(([name, shape], at) => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (shape.length === 1) return [name, name.endsWith("norm.weight") ? values.fill(1) : values];
    const draw = new Random(seed, STREAM.weights, at), scale = deviation(name, shape);
    if (scale > 0) draw.normals(values, scale);
    return [name, values];
  }));
}

/** Inputs of one batch, written by {@linkcode writeBatch}. */
export interface BatchTensors {
  /** u32 [R]: x[i − 1], or the start token at position 0. */
  readonly tokens: Tensor;
  /** u32 [R]: x[i]. */
  readonly targets: Tensor;
  /** u32 [R]: rows sorted by token, for the embedding's gradient. */
  readonly order: Tensor;
  /** u32 [V + 2]: where each token's rows start in `order`. */
  readonly starts: Tensor;
}

/** Rows by the entry of a positional table that they read, for its gradient; written once. One of each a table. */
interface PositionOrder {
  /** u32 [R] */
  readonly order: readonly Tensor[];
  /** u32 [size + 1] */
  readonly starts: readonly Tensor[];
}

/** Rows sorted by index (a stable counting sort), and where each index starts. */
function sortByIndex(index: Uint32Array, entries: number): { order: Uint32Array; starts: Uint32Array } {
  const starts = new Uint32Array(entries + 1), order = new Uint32Array(index.length);
  for (const i of index) starts[i + 1]++;
  for (let i = 0; i < entries; i++) starts[i + 1] += starts[i];
  const next = starts.slice();
  index.forEach((i, row) => order[next[i]++] = row);
  return { order, starts };
}

/** Numbers to write into tensors before a program's first run. */
export type Constants = Map<Tensor, TensorData>;

/**
 * Makes a program's own tensors on an engine, writes its constants and compiles it. Where that fails it leaves nothing behind.
 *
 * @throws {OutOfMemoryError} where the engine has not the memory
 */
export async function compileWith(engine: Engine, program: Program, tensors: readonly Tensor[], constants: Constants): Promise<Executable> {
  engine.allocate(tensors);
  try {
    for (const [t, data] of constants) engine.write(t, data);
    return await engine.compile(program);
  } catch (error) {
    engine.free(tensors);
    throw error;
  }
}

/** Emits operations of one model into one program. */
class Emitter {
  readonly constants: Constants = new Map();
  readonly rows: number;
  #positionRows: readonly Tensor[] | undefined;
  #positionOrder: PositionOrder | undefined;

  constructor(
    readonly program: Program,
    readonly params: Parameters,
    readonly batch: number,
    readonly n: number,
    readonly precision: DType = "f32",
  ) {
    this.rows = batch * n;
  }

  get config(): ModelConfig {
    return this.params.config;
  }

  matrix(name: string, width: number): Tensor {
    return this.program.scratch(name, [this.rows, width], this.precision);
  }

  #parameter(layer: number, name: string): Tensor {
    return this.params.get(`layers.${layer}.${name}`);
  }

  batchTensors(micro: number): BatchTensors {
    const u32 = (name: string, length: number) => tensor(`${name}.${micro}`, [length], "u32");
    return {
      tokens: u32("tokens", this.rows),
      targets: u32("targets", this.rows),
      order: u32("token_order", this.rows),
      starts: u32("token_starts", this.config.vocab_size + 2),
    };
  }

  #constant(name: string, data: Uint32Array): Tensor {
    const t = tensor(name, [data.length], "u32");
    this.constants.set(t, data);
    return t;
  }

  /** The entries of each positional table that positions read, table by table. */
  #positionData(n: number): Uint32Array[] {
    return positionSizes(this.config).map((_, table) => Uint32Array.from({ length: n }, (_, i) => positionRows(this.config, i)[table]));
  }

  /** u32 [n], one a positional table: the entry that each position reads. Positions of a sequence unless said otherwise. */
  positionRows(n = this.n): readonly Tensor[] {
    return this.#positionRows ??= this.#positionData(n).map((index, table) => this.#constant(`position_rows.${table}`, index));
  }

  get positionOrder(): PositionOrder {
    if (this.#positionOrder) return this.#positionOrder;
    const tables = this.tables().slice(1);
    const sorted = this.#positionData(this.n).map((index, table) =>
      sortByIndex(Uint32Array.from({ length: this.rows }, (_, r) => index[r % this.n]), tables[table].shape[0])
    );
    return this.#positionOrder = {
      order: sorted.map(({ order }, table) => this.#constant(`position_order.${table}`, order)),
      starts: sorted.map(({ starts }, table) => this.#constant(`position_starts.${table}`, starts)),
    };
  }

  tables(): Tensor[] {
    return [
      this.params.get("embed.token.weight"),
      ...positionSizes(this.config).map((_, t) => this.params.get(`embed.position.${t}.weight`)),
    ];
  }

  embed(tokens: Tensor): Tensor {
    const y = this.matrix("embedded", this.config.d_model);
    this.program.add({ op: "embedding", indices: [tokens, ...this.positionRows()], tables: this.tables(), y });
    return y;
  }

  norm(name: string, x: Tensor): { y: Tensor; mean: Tensor; rstd: Tensor } {
    const stat = (what: string) => this.program.scratch(`${name}.${what}`, [this.rows]);
    const out = { y: this.matrix(name, this.config.d_model), mean: stat("mean"), rstd: stat("rstd") };
    this.program.add({ op: "layernorm", x, ...this.normOf(name), ...out });
    return out;
  }

  linear(
    layer: number,
    name: string,
    x: Tensor,
    more: Partial<Pick<Linear, "norm" | "pre" | "activation" | "dropout" | "residual">> = {},
  ): Tensor {
    const w = this.#parameter(layer, `${name}.weight`), y = this.matrix(`layers.${layer}.${name}`, w.shape[0]);
    this.program.add({ op: "linear", x, w, b: this.#parameter(layer, `${name}.bias`), y, ...more });
    return y;
  }

  /** Gain and bias of a layer norm. */
  normOf(name: string): { gain: Tensor; bias: Tensor } {
    return { gain: this.params.get(`${name}.weight`), bias: this.params.get(`${name}.bias`) };
  }

  qkv(layer: number, x: Tensor, norm?: Linear["norm"]): { q: Tensor; k: Tensor; v: Tensor } {
    const project = (name: string) => this.linear(layer, `attn.${name}`, x, { norm });
    return { q: project("q"), k: project("k"), v: project("v") };
  }

  /**
   * Everything of a residual block (Eqs. 9–14) up to the input of W₂. Its backward pass reads all of it again, `pre`
   * among it, which is written only where `keepPre` says that this is the making the backward pass will read.
   */
  block(layer: number, h: Tensor, dropout: (site: number) => Dropout | undefined, keepPre: boolean) {
    const { config, program } = this, norm1 = this.norm(`layers.${layer}.attn.norm`, h);
    const qkv = this.qkv(layer, norm1.y), sets = setsOf(config, layer);
    const attended = {
      ...qkv,
      o: this.matrix(`layers.${layer}.attn.o`, config.d_model), // (R, d)
      lse: program.scratch(`layers.${layer}.attn.lse`, [this.batch, config.n_head, this.n]),
      sets,
      batch: this.batch,
      n: this.n,
    };
    program.add({ op: "attention", ...attended });
    const h1 = this.linear(layer, "attn.p", attended.o, { dropout: dropout(2 * layer), residual: h });
    const norm2 = this.norm(`layers.${layer}.ff.norm`, h1), pre = this.matrix(`layers.${layer}.ff.pre`, config.d_ff); // (R, F)
    const active = this.linear(layer, "ff.w1", norm2.y, { pre: keepPre ? pre : undefined, activation: "gelu" });
    return { h, norm1, attended, h1, norm2, pre, active };
  }

  /** The block's output: h1 + dropout(W₂·active + b₂). */
  blockOutput(layer: number, { active, h1 }: ReturnType<Emitter["block"]>, dropout: (site: number) => Dropout | undefined): Tensor {
    return this.linear(layer, "ff.w2", active, { dropout: dropout(2 * layer + 1), residual: h1 });
  }

  logits(h: Tensor): { final: ReturnType<Emitter["norm"]>; logits: Tensor } {
    const final = this.norm("norm", h), logits = this.matrix("logits", this.config.vocab_size); // (R, V)
    this.program.add({ op: "linear", x: final.y, w: this.params.get("out.weight"), y: logits });
    return { final, logits };
  }
}

/** A step: forward, backward and update of `accumulate` micro-batches in one program. */
export interface TrainingProgram {
  readonly program: Program;
  /** One a micro-batch. */
  readonly batches: readonly BatchTensors[];
  /** f32 [R, V]: logits of the last micro-batch, before the update. Only with `keepLogits`. */
  readonly logits?: Tensor;
  readonly constants: Constants;
}

/**
 * Writes the step's program.
 *
 * @param params tensors of the model
 * @param optimizer tensors of the update
 * @param train batch, accumulation, recomputation and the update's constants
 * @param keepLogits keep the logits for reading, for tests
 */
export function trainingProgram(params: Parameters, optimizer: OptimizerTensors, train: TrainConfig, keepLogits = false): TrainingProgram {
  const { config } = params, program = new Program("train");
  const e = new Emitter(program, params, train.batch, config.n_ctx, train.precision), { rows } = e;
  const grads = new Map(params.all.map((p, i) => [p, optimizer.grads[i]]));
  const grad = (name: string) => grads.get(params.get(name))!;
  const { seeds, loss } = optimizer;
  const kept = keepLogits ? tensor("logits", [rows, config.vocab_size], train.precision) : undefined;

  const batches = Array.from({ length: train.accumulate }, (_, micro) => {
    const batch = e.batchTensors(micro), accumulate = micro > 0;
    const dropout = (site: number) => config.dropout > 0 ? { p: config.dropout, site, micro, seeds } : undefined;
    const normBackward = (
      name: string,
      x: Tensor,
      { mean, rstd }: { mean: Tensor; rstd: Tensor },
      dy: Tensor,
      residual?: Tensor,
    ): Tensor => {
      const dx = e.matrix(`${name}.dx`, config.d_model), gain = params.get(`${name}.weight`);
      program.add({
        op: "layernorm_backward",
        x,
        gain,
        mean,
        rstd,
        dy,
        residual,
        dx,
        dGain: grad(`${name}.weight`),
        dBias: grad(`${name}.bias`),
        accumulate,
      });
      return dx;
    };
    const linearBackward = (name: string, dy: Tensor, x: Tensor, more: { pre?: Tensor; residual?: Tensor } = {}): Tensor => {
      const w = params.get(`${name}.weight`), dx = e.matrix(`${name}.dx`, w.shape[1]);
      program.add({
        op: "linear_weight_grad",
        dy,
        x,
        dw: grad(`${name}.weight`),
        db: name === "out" ? undefined : grad(`${name}.bias`),
        accumulate,
      });
      program.add({ op: "linear_input_grad", dy, w, dx, ...more });
      return dx;
    };
    const dropoutBackward = (site: number, dy: Tensor): Tensor => {
      const mask = dropout(site);
      if (!mask) return dy;
      const y = e.matrix(`dropout.${site}.dx`, config.d_model);
      program.add({ op: "dropout", x: dy, y, dropout: mask });
      return y;
    };

    // Forward. With recomputation a block keeps only its input; what `block` made is dropped and made again below.
    let h = e.embed(batch.tokens); // (R, d)
    const blocks = Array.from({ length: config.n_layer }, (_, layer) => {
      const made = e.block(layer, h, dropout, !train.recompute);
      h = e.blockOutput(layer, made, dropout);
      return made;
    });
    const { final, logits } = e.logits(h);
    if (kept) program.add({ op: "linear", x: final.y, w: params.get("out.weight"), y: kept });
    const losses = program.scratch("losses", [rows]), dLogits = e.matrix("logits.dx", config.vocab_size);
    const scale = 1 / (rows * train.accumulate), lossScale = train.precision === "f16" ? optimizer.lossScale : undefined;
    program.add({ op: "cross_entropy", logits, targets: batch.targets, losses, dLogits, scale, lossScale });
    program.add({ op: "sum", x: losses, y: loss, scale, accumulate: true });

    // Backward.
    let dh = normBackward("norm", h, final, linearBackward("out", dLogits, final.y)); // (R, d)
    for (let layer = config.n_layer - 1; layer >= 0; layer--) {
      const at = (name: string) => `layers.${layer}.${name}`;
      const { h: input, norm1, attended, h1, norm2, pre, active } = train.recompute
        ? e.block(layer, blocks[layer].h, dropout, true)
        : blocks[layer];
      const dPre = linearBackward(at("ff.w2"), dropoutBackward(2 * layer + 1, dh), active, { pre }); // (R, F)
      const dh1 = normBackward(at("ff.norm"), h1, norm2, linearBackward(at("ff.w1"), dPre, norm2.y), dh);
      const dO = linearBackward(at("attn.p"), dropoutBackward(2 * layer, dh1), attended.o);
      const dq = e.matrix(at("attn.dq"), config.d_qk),
        dk = e.matrix(at("attn.dk"), config.d_qk),
        dv = e.matrix(at("attn.dv"), config.d_model);
      const delta = program.scratch(at("attn.delta"), [train.batch, config.n_head, config.n_ctx]);
      program.add({ ...attended, op: "attention_backward", dO, delta, dq, dk, dv });
      let dNorm = linearBackward(at("attn.q"), dq, norm1.y);
      dNorm = linearBackward(at("attn.k"), dk, norm1.y, { residual: dNorm });
      dNorm = linearBackward(at("attn.v"), dv, norm1.y, { residual: dNorm });
      dh = normBackward(at("attn.norm"), input, norm1, dNorm, dh1);
    }
    const tables = e.tables(), orders = [batch.order, ...e.positionOrder.order], starts = [batch.starts, ...e.positionOrder.starts];
    tables.forEach((t, i) => {
      program.add({ op: "embedding_backward", dy: dh, order: orders[i], starts: starts[i], dTable: grads.get(t)!, accumulate });
    });
    return batch;
  });
  emitUpdate(program, params.all, optimizer, train);
  return { program, batches, logits: kept, constants: e.constants };
}

/** Forward only: the loss of every position. */
export interface ScoringProgram {
  readonly program: Program;
  readonly batch: BatchTensors;
  /** f32 [R]: nats. */
  readonly losses: Tensor;
  readonly constants: Constants;
}

/** Writes the program that scores `batch` sequences of n_ctx tokens. */
export function scoringProgram(params: Parameters, batch: number): ScoringProgram {
  expect("Cannot score", { parameters: [params, "an object"], config: [params?.config, "an object"], batch: [batch, [1, 65536]] });
  const { config } = params, program = new Program("score"), e = new Emitter(program, params, batch, config.n_ctx);
  const inputs = e.batchTensors(0), losses = tensor("losses", [e.rows]), none = () => undefined;
  let h = e.embed(inputs.tokens);
  for (let layer = 0; layer < config.n_layer; layer++) h = e.blockOutput(layer, e.block(layer, h, none, false), none);
  program.add({ op: "cross_entropy", logits: e.logits(h).logits, targets: inputs.targets, losses, scale: 1 });
  return { program, batch: inputs, losses, constants: e.constants };
}

/** Caches of one layer: the keys and values that will be read again. */
export interface CacheTensors {
  /** f32 [batch, heads, slots, d_qk_head] */
  readonly keys: Tensor;
  /** f32 [batch, heads, slots, d_v_head] */
  readonly values: Tensor;
}

/** Where decoding stands. The program reads and advances it, so that positions follow each other without the host. */
export interface DecodingState {
  /** u32 [n_ctx, batch]: the tokens so far, and of later positions whatever. */
  readonly tape: Tensor;
  /** u32 [1]: the next position. */
  readonly position: Tensor;
  /** u32 [1]: positions of the tape that are not chosen. */
  readonly given: Tensor;
  /** f32 [3]: temperature, topK, topP. */
  readonly choice: Tensor;
  /** u32 [2]: the seed, and how often the tape was begun with it. */
  readonly seeds: Tensor;
}

/** One decoded position of every sequence. */
export interface DecodingProgram {
  readonly program: Program;
  readonly state: DecodingState;
  /** f32 [batch, V] */
  readonly logits: Tensor;
  /** One a layer. */
  readonly caches: readonly CacheTensors[];
  readonly constants: Constants;
}

/**
 * Writes the program that decodes one position.
 *
 * @param plans the cache schedule of each layer
 */
export function decodingProgram(params: Parameters, batch: number, plans: readonly CachePlan[]): DecodingProgram {
  const { config } = params, program = new Program("decode"), e = new Emitter(program, params, batch, 1);
  const heads = config.n_head, u32 = (name: string, ...shape: number[]) => tensor(name, shape, "u32");
  const tape = u32("tape", config.n_ctx, batch), position = u32("position", 1), given = u32("given", 1);
  const choice = tensor("choice", [3]), seeds = u32("token_seeds", 2), logits = tensor("logits", [batch, config.vocab_size]);
  let h = e.matrix("embedded", config.d_model);
  program.add({
    op: "embedding_decode",
    tape,
    position,
    start: config.vocab_size,
    rows: e.positionRows(config.n_ctx),
    tables: e.tables(),
    y: h,
  });
  const caches = plans.map((plan, layer) => {
    const cache = (name: string, width: number) => tensor(`layers.${layer}.cache.${name}`, [batch, heads, plan.slots, width / heads]);
    const kept = { keys: cache("keys", config.d_qk), values: cache("values", config.d_model) };
    const qkv = e.qkv(layer, h, e.normOf(`layers.${layer}.attn.norm`)), o = e.matrix(`layers.${layer}.attn.o`, config.d_model);
    program.add({ op: "attention_decode", ...qkv, o, ...kept, position, plan });
    const h1 = e.linear(layer, "attn.p", o, { residual: h });
    const active = e.linear(layer, "ff.w1", h1, { norm: e.normOf(`layers.${layer}.ff.norm`), activation: "gelu" });
    h = e.linear(layer, "ff.w2", active, { residual: h1 });
    return kept;
  });
  program.add({ op: "linear", x: h, norm: e.normOf("norm"), w: params.get("out.weight"), y: logits });
  program.add({ op: "choose", logits, tape, position, given, choice, seeds });
  return { program, state: { tape, position, given, choice, seeds }, logits, caches, constants: e.constants };
}

/** Many given positions at once: what decoding them one by one would leave in the caches. */
export interface PrefillProgram {
  readonly program: Program;
  /** u32 [sequences · n]: the token before each position. */
  readonly tokens: Tensor;
  /** u32 [heads, slots], one a layer: see {@linkcode ../pattern/cache.ts!CachePlan.held}. */
  readonly rows: readonly Tensor[];
  readonly constants: Constants;
}

/**
 * Writes the program that fills caches with the keys and values of the first n positions.
 *
 * @param sequences as many as the caches have, or 1: then all get the same
 */
export function prefillProgram(
  params: Parameters,
  sequences: number,
  n: number,
  plans: readonly CachePlan[],
  caches: readonly CacheTensors[],
): PrefillProgram {
  const { config } = params, program = new Program("prefill"), e = new Emitter(program, params, sequences, n), none = () => undefined;
  const tokens = tensor("prefill_tokens", [e.rows], "u32"), made = new Map<CachePlan, Tensor>();
  const rows = plans.map((plan, at) => {
    const known = made.get(plan) ?? tensor(`prefill_rows.${at}`, [plan.heads, plan.slots], "u32");
    made.set(plan, known);
    return known;
  });
  let h = e.embed(tokens);
  caches.forEach((cache, layer) => {
    const fill = (k: Tensor, v: Tensor) => program.add({ op: "cache_fill", k, v, ...cache, rows: rows[layer], n });
    if (layer < config.n_layer - 1) {
      const block = e.block(layer, h, none, false);
      fill(block.attended.k, block.attended.v);
      h = e.blockOutput(layer, block, none);
    } else {
      // Of the last layer nothing but the keys and values is read again.
      const { y } = e.norm(`layers.${layer}.attn.norm`, h);
      fill(e.linear(layer, "attn.k", y), e.linear(layer, "attn.v", y));
    }
  });
  return { program, tokens, rows, constants: e.constants };
}

/**
 * The numbers of a batch's tensors.
 *
 * @param tokens u32 or u8 [R], every sequence in turn
 * @param start the start token: vocab_size
 * @param n positions of a sequence
 * @throws {ShapeError} where a token is outside the vocabulary
 */
export function batchData(batch: BatchTensors, tokens: ArrayLike<number>, start: number, n: number): Constants {
  expectTokens("Cannot use the batch", tokens);
  const targets = Uint32Array.from(tokens), shifted = new Uint32Array(targets.length);
  targets.forEach((token, at) => {
    if (token >= start) throw new ShapeError(`Cannot use token ${token} at place ${at}: the vocabulary has ${start} values, from 0`);
    shifted[at] = at % n === 0 ? start : targets[at - 1];
  });
  const { order, starts } = sortByIndex(shifted, start + 1);
  return new Map([[batch.tokens, shifted], [batch.targets, targets], [batch.order, order], [batch.starts, starts]]);
}

/** Forward only as far as needed: queries and keys of chosen layers, kept for reading. */
export interface QueryKeyProgram {
  readonly program: Program;
  readonly batch: BatchTensors;
  /** f32 [n_ctx, d_qk] each, by layer. */
  readonly layers: ReadonlyMap<number, { readonly q: Tensor; readonly k: Tensor }>;
  readonly constants: Constants;
}

/** Writes the program that gives queries and keys of one sequence at those layers; kernels of attention keep no weights. */
export function queryKeyProgram(params: Parameters, layers: readonly number[]): QueryKeyProgram {
  const { config } = params, program = new Program("queries and keys"), e = new Emitter(program, params, 1, config.n_ctx);
  const inputs = e.batchTensors(0), kept = new Map<number, { q: Tensor; k: Tensor }>(), none = () => undefined, last = Math.max(...layers);
  let h = e.embed(inputs.tokens);
  for (let layer = 0; layer <= last; layer++) {
    if (layers.includes(layer)) {
      const at = `layers.${layer}.attn`, x = e.norm(`${at}.norm`, h).y;
      const project = (name: string) => {
        const y = tensor(`${at}.${name}`, [e.rows, config.d_qk]);
        program.add({ op: "linear", x, w: params.get(`${at}.${name}.weight`), b: params.get(`${at}.${name}.bias`), y });
        return y;
      };
      kept.set(layer, { q: project("q"), k: project("k") });
    }
    if (layer < last) h = e.blockOutput(layer, e.block(layer, h, none, false), none);
  }
  return { program, batch: inputs, layers: kept, constants: e.constants };
}
