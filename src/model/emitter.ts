/**
 * The Sparse Transformer (section 5), written once against the operations contract: what every program of a model has in common.
 *
 * Shapes in comments: B sequences, T positions, R = B·T rows, d = d_model, F = d_ff, V = vocabulary.
 *
 * @module
 */

import { type Dropout, type DType, type Linear, type Program, type Tensor, tensor } from "../ops/mod.ts";
import { memoryOf, placesOf, rowsOf } from "../pattern/memory.ts";
import { type ModelConfig, positionSizes, positionTables, setsOf } from "../files/model_config.ts";
import type { Constants } from "./compile.ts";
import { LATE } from "./late.ts";
import type { Parameters } from "./parameters.ts";

/** What a dropout site does: 2·layer at the end of attention, 2·layer + 1 at that of the feed-forward layer. */
export type DropoutAt = (site: number) => Dropout | undefined;

/** Nowhere: what all programs but a training step have. */
export const NO_DROPOUT: DropoutAt = () => undefined;

/** A layer norm's output and what its backward pass reads. */
export type Normed = ReturnType<Emitter["norm"]>;

/** What a block made and its backward pass reads. */
export type Block = ReturnType<Emitter["block"]>;

/** Emits operations of one model into one program. */
export class Emitter {
  readonly constants: Constants = new Map();
  /** Rows of a sequence: its positions and, where the model has memory tokens, those. */
  readonly length: number;
  readonly rows: number;
  #positionRows: readonly Tensor[] | undefined;

  constructor(
    readonly program: Program,
    readonly params: Parameters,
    readonly batch: number,
    readonly n: number,
    readonly precision: DType = "f32",
    /** Names of matrices that outlive a run, for reading: see {@linkcode Emitter.matrix}. */
    readonly kept: ReadonlySet<string> = new Set(),
  ) {
    this.length = rowsOf(n, memoryOf(params.config.attention));
    this.rows = batch * this.length;
  }

  get config(): ModelConfig {
    return this.params.config;
  }

  /** Scratch of the activations' precision, [R, width]; persistent where the name is of those that are kept. */
  matrix(name: string, width: number, rows = this.rows): Tensor {
    const shape = [rows, width];
    return this.kept.has(name) ? tensor(name, shape, this.precision) : this.program.scratch(name, shape, this.precision);
  }

  #parameter(layer: number, name: string): Tensor {
    return this.params.get(`layers.${layer}.${name}`);
  }

  /** A tensor of those numbers, which are written once. */
  constant(name: string, data: Uint32Array): Tensor {
    const t = tensor(name, [data.length], "u32");
    this.constants.set(t, data);
    return t;
  }

  /** The entries of each positional table that those positions read, table by table. */
  positionData(positions: Uint32Array): Uint32Array[] {
    // Of a million positions, a loop takes a tenth of what a call per position does.
    return positionTables(this.config).map(({ divisor, size }) => {
      const rows = new Uint32Array(positions.length);
      for (let i = 0; i < rows.length; i++) rows[i] = Math.floor(positions[i] / divisor) % size;
      return rows;
    });
  }

  /** The position that each row of a sequence has: a memory token that of the last token before it. */
  get positions(): Uint32Array {
    const memory = memoryOf(this.config.attention), made = new Uint32Array(rowsOf(this.n, memory));
    let row = 0;
    if (memory) { for (const [token] of placesOf(this.n, memory)) made[row++] = token; }
    else for (; row < made.length; row++) made[row] = row;
    return made;
  }

  /** u32 [n], one per positional table: the entry that each row reads. Rows of a sequence unless said otherwise. */
  positionRows(positions: Uint32Array = this.positions): readonly Tensor[] {
    return this.#positionRows ??= this.positionData(positions).map((index, table) => this.constant(`position_rows.${table}`, index));
  }

  /** The token table, then the positional ones, with their scales where they are int8. */
  tables(): { tables: Tensor[]; scales?: Tensor[] } {
    const names = ["embed.token.weight", ...positionSizes(this.config).map((_, t) => `embed.position.${t}.weight`)];
    const matrices = names.map((name) => this.params.matrix(name)), scales = matrices.flatMap(({ scale }) => scale ?? []);
    return { tables: matrices.map(({ w }) => w), ...scales.length > 0 ? { scales } : {} };
  }

  /** Eq. 15: (R, d) of u32 [R]. */
  embed(tokens: Tensor): Tensor {
    const y = this.matrix("embedded", this.config.d_model);
    this.program.add({ op: "embedding", indices: [tokens, ...this.positionRows()], ...this.tables(), y });
    return y;
  }

  /** A layer norm of (R, d), with the statistics of each row. */
  norm(name: string, x: Tensor): { y: Tensor; mean: Tensor; rstd: Tensor } {
    const stat = (what: string) => this.program.scratch(`${name}.${what}`, [this.rows]);
    const out = { y: this.matrix(name, this.config.d_model), mean: stat("mean"), rstd: stat("rstd") };
    this.program.add({ op: "layernorm", x, ...this.normOf(name), ...out });
    return out;
  }

  /** x·Wᵀ + b of a layer's weights, with what is fused into it. */
  linear(
    layer: number,
    name: string,
    x: Tensor,
    more: Partial<Pick<Linear, "norm" | "pre" | "activation" | "dropout" | "residual">> = {},
  ): Tensor {
    const of = this.params.matrix(`layers.${layer}.${name}.weight`), y = this.matrix(`layers.${layer}.${name}`, of.w.shape[0]);
    this.program.add({ op: "linear", x, ...of, b: this.#parameter(layer, `${name}.bias`), y, ...more });
    return y;
  }

  /** Gain and bias of a layer norm. */
  normOf(name: string): { gain: Tensor; bias: Tensor } {
    return { gain: this.params.get(`${name}.weight`), bias: this.params.get(`${name}.bias`) };
  }

  /** Queries and keys (R, d_qk), values (R, d), of x or of its norm. */
  qkv(layer: number, x: Tensor, norm?: Linear["norm"]): { q: Tensor; k: Tensor; v: Tensor } {
    const project = (name: string) => this.linear(layer, `attn.${name}`, x, { norm });
    return { q: project("q"), k: project("k"), v: project("v") };
  }

  /**
   * Everything of a residual block (Eqs. 9–14) up to the input of W₂. Its backward pass reads all of it again, `pre`
   * among it, which is written only where `keepPre` says that this is the making the backward pass will read.
   */
  block(layer: number, h: Tensor, dropout: DropoutAt, keepPre: boolean) {
    const { config, program } = this, norm1 = this.norm(`layers.${layer}.attn.norm`, h);
    const qkv = this.qkv(layer, norm1.y), sets = setsOf(config, layer);
    const attended = {
      ...qkv,
      o: this.matrix(`layers.${layer}.attn.o`, config.d_model), // (R, d)
      lse: program.scratch(`layers.${layer}.attn.lse`, [this.batch, config.n_head, this.length]),
      sets,
      batch: this.batch,
      n: this.length,
    };
    const routed = sets[0].kind === "routed"
      ? LATE.routed!.attend(this, layer, norm1.y, attended)
      : void program.add({ op: "attention", ...attended });
    const h1 = this.linear(layer, "attn.p", attended.o, { dropout: dropout(2 * layer), residual: h });
    const norm2 = this.norm(`layers.${layer}.ff.norm`, h1), pre = this.matrix(`layers.${layer}.ff.pre`, config.d_ff); // (R, F)
    const active = this.linear(layer, "ff.w1", norm2.y, { pre: keepPre ? pre : undefined, activation: "gelu" });
    return { h, norm1, attended, routed, h1, norm2, pre, active };
  }

  /** The block's output: h1 + dropout(W₂·active + b₂). */
  blockOutput(layer: number, { active, h1 }: Block, dropout: DropoutAt): Tensor {
    return this.linear(layer, "ff.w2", active, { dropout: dropout(2 * layer + 1), residual: h1 });
  }

  /** A whole block of which nothing is kept for a backward pass. */
  forward(layer: number, h: Tensor): Tensor {
    return this.blockOutput(layer, this.block(layer, h, NO_DROPOUT, false), NO_DROPOUT);
  }
}
