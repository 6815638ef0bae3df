/**
 * The operations contract: everything a Sparse Transformer's forward, backward and update need, as data.
 *
 * A {@linkcode Program} is a flat list of operations over {@linkcode Tensor}s. An {@linkcode Engine} compiles it
 * once (pipelines, bindings and the arena for scratch tensors are made then) and replays it. Recomputation,
 * gradient accumulation and micro-batches are choices of whoever writes the list; engines only execute it.
 *
 * Three engines implement this page: `src/engines/reference` (float64, the oracle), `src/engines/wasm`, `src/engines/webgpu`.
 * All matrices are row-major. `rows` is batch · n, position fastest.
 *
 * @module
 */

import type { CachePlan } from "../pattern/cache.ts";
import { expect, MOST } from "../base/check.ts";
import { ConfigError, excerpt, ShapeError } from "../base/errors.ts";
import type { AttentionSet } from "../pattern/sets.ts";

/**
 * What a tensor's elements are. `f16` is storage only, for activations and their gradients: sums and statistics are f32
 * in every engine, and an engine may store more precisely than asked (reference and WASM do).
 */
export type DType = "f32" | "f16" | "u32";

/** A named, shaped place for numbers; identity is the object's. Where the numbers live is the engine's business. */
export interface Tensor {
  /** For messages and dumps; names of parameters are those on disk. */
  readonly name: string;
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** Element type. */
  readonly dtype: DType;
  /** Scratch tensors live inside one run of one program and share an arena; all others persist in the engine. */
  readonly scratch: boolean;
}

/** Numbers going into or coming out of a tensor. The reference engine answers with Float64Array. */
export type TensorData = Float32Array | Float64Array | Uint32Array;

/**
 * Makes a persistent tensor.
 *
 * @throws {ConfigError} where the name is no string, or a size is not a whole number
 */
export function tensor(name: string, shape: readonly number[], dtype: DType = "f32"): Tensor {
  expect("Cannot make a tensor", { name: [name, "a string"], shape: [shape, "a list"], dtype: [dtype, "a string"] });
  for (const length of shape) expect(`Cannot make tensor ${excerpt(name)}`, { "each size": [length, [0, MOST]] });
  return { name, shape, dtype, scratch: false };
}

/** Number of elements. */
export function size(t: Tensor): number {
  return t.shape.reduce((a, b) => a * b, 1);
}

/** Dropout inside an operation; the mask is {@linkcode ../base/random.ts!dropoutKeeps} of (seeds[0], site, seeds[1] + micro, element). */
export interface Dropout {
  /** Probability of dropping, in [0, 1). Kept elements are scaled by 1 / (1 − p). */
  readonly p: number;
  /** Which dropout of the network. */
  readonly site: number;
  /** Micro-batch number within a step. */
  readonly micro: number;
  /** u32 [2]: the run's seed, and the counter of the step's first micro-batch. */
  readonly seeds: Tensor;
}

/** y[r] = Σₜ tables[t][indices[t][r mod length]] (Eq. 15). */
export interface Embedding {
  /** Which operation. */
  readonly op: "embedding";
  /** u32, one a table; each as long as `rows` or a divisor of it, then repeated. Values are below the table's rows. */
  readonly indices: readonly Tensor[];
  /** f32 [sizeₜ, d] each. */
  readonly tables: readonly Tensor[];
  /** [rows, d] */
  readonly y: Tensor;
}

/**
 * The embedding of one decoded position i of every sequence: y[b] = tables[0][the token before it, or `start` at i = 0] +
 * Σₜ tables[t][rows[t − 1][i]] over the positional tables t ≥ 1.
 */
export interface EmbeddingDecode {
  /** Which operation. */
  readonly op: "embedding_decode";
  /** u32 [n, batch]: token of each position and sequence. */
  readonly tape: Tensor;
  /** u32 [1]: i. */
  readonly position: Tensor;
  /** The start token. */
  readonly start: number;
  /** u32 [n], one a positional table. */
  readonly rows: readonly Tensor[];
  /** f32 [sizeₜ, d] each, that of tokens first. */
  readonly tables: readonly Tensor[];
  /** [batch, d] */
  readonly y: Tensor;
}

/** dTable[i] (+)= Σ dy[r] over the rows r that read row i: rows `order[starts[i]]` … `order[starts[i + 1] − 1]`. */
export interface EmbeddingBackward {
  /** Which operation. */
  readonly op: "embedding_backward";
  /** [rows, d] */
  readonly dy: Tensor;
  /** u32 [rows]: row numbers sorted by the table row they read. */
  readonly order: Tensor;
  /** u32 [size + 1] */
  readonly starts: Tensor;
  /** f32 [size, d] */
  readonly dTable: Tensor;
  /** Add to dTable instead of overwriting it. */
  readonly accumulate: boolean;
}

/** y = (x − mean) · rstd · gain + bias by row, ε = 1e-5; keeps mean and rstd (1/√(variance + ε)) for the backward pass. */
export interface LayerNorm {
  /** Which operation. */
  readonly op: "layernorm";
  /** [rows, d] */
  readonly x: Tensor;
  /** f32 [d] */
  readonly gain: Tensor;
  /** f32 [d] */
  readonly bias: Tensor;
  /** [rows, d] */
  readonly y: Tensor;
  /** f32 [rows] */
  readonly mean: Tensor;
  /** f32 [rows] */
  readonly rstd: Tensor;
}

/** dx = residual + layer norm's input gradient; dGain, dBias (+)= column sums. */
export interface LayerNormBackward {
  /** Which operation. */
  readonly op: "layernorm_backward";
  /** [rows, d] */
  readonly x: Tensor;
  /** f32 [d] */
  readonly gain: Tensor;
  /** f32 [rows] */
  readonly mean: Tensor;
  /** f32 [rows] */
  readonly rstd: Tensor;
  /** [rows, d] */
  readonly dy: Tensor;
  /** [rows, d]: the gradient that by-passes the norm; absent means 0. */
  readonly residual?: Tensor;
  /** [rows, d]; another tensor than dy and residual. */
  readonly dx: Tensor;
  /** f32 [d] */
  readonly dGain: Tensor;
  /** f32 [d] */
  readonly dBias: Tensor;
  /** Add to dGain and dBias instead of overwriting them. */
  readonly accumulate: boolean;
}

/**
 * z = g(x)·wᵀ + b; y = residual + dropout(f(z)), f the identity or x·sigmoid(1.702x), g the identity or layer norm.
 *
 * The norm is for decoding, where an operation of its own for one row costs as much as the product: it keeps no statistics.
 */
export interface Linear {
  /** Which operation. */
  readonly op: "linear";
  /** [rows, in] */
  readonly x: Tensor;
  /** f32 [in] both: g is layer norm with this gain and bias. */
  readonly norm?: { readonly gain: Tensor; readonly bias: Tensor };
  /** [out, in] */
  readonly w: Tensor;
  /** f32 [out] */
  readonly b?: Tensor;
  /** [rows, out] */
  readonly y: Tensor;
  /** [rows, out]: receives z, for the backward pass of an activation. */
  readonly pre?: Tensor;
  /** f. */
  readonly activation?: "gelu";
  /** Applied after f, before the residual. */
  readonly dropout?: Dropout;
  /** [rows, out]; another tensor than y. */
  readonly residual?: Tensor;
}

/** dx = residual + (dy·w) ∘ f′(pre), f′ = 1 where `pre` is absent. */
export interface LinearInputGrad {
  /** Which operation. */
  readonly op: "linear_input_grad";
  /** [rows, out] */
  readonly dy: Tensor;
  /** [out, in] */
  readonly w: Tensor;
  /** [rows, in] */
  readonly dx: Tensor;
  /** [rows, in]: z of the layer that made this one's input by gelu. */
  readonly pre?: Tensor;
  /** [rows, in]; another tensor than dx. */
  readonly residual?: Tensor;
}

/** dw (+)= dyᵀ·x; db (+)= column sums of dy. */
export interface LinearWeightGrad {
  /** Which operation. */
  readonly op: "linear_weight_grad";
  /** [rows, out] */
  readonly dy: Tensor;
  /** [rows, in] */
  readonly x: Tensor;
  /** f32 [out, in] */
  readonly dw: Tensor;
  /** f32 [out] */
  readonly db?: Tensor;
  /** Add to dw and db instead of overwriting them. */
  readonly accumulate: boolean;
}

/** y = x masked and scaled: the backward pass of dropout. */
export interface DropoutOp {
  /** Which operation. */
  readonly op: "dropout";
  /** [rows, d] */
  readonly x: Tensor;
  /** [rows, d]; another tensor than x. */
  readonly y: Tensor;
  /** The mask. */
  readonly dropout: Dropout;
}

/**
 * o = softmax(q·kᵀ/√d_qk_head over the set)·v, by head. Head h owns columns h·d … (h + 1)·d of each matrix.
 * Only tiles that hold a pair of the set are visited.
 */
export interface Attention {
  /** Which operation. */
  readonly op: "attention";
  /** [batch · n, heads · d_qk_head] */
  readonly q: Tensor;
  /** as q */
  readonly k: Tensor;
  /** [batch · n, heads · d_v_head] */
  readonly v: Tensor;
  /** as v */
  readonly o: Tensor;
  /** f32 [batch, heads, n]: natural log-sum-exp of each row's scaled scores. */
  readonly lse: Tensor;
  /** One set a head. */
  readonly sets: readonly AttentionSet[];
  /** Sequences. */
  readonly batch: number;
  /** Positions of a sequence. */
  readonly n: number;
}

/** dq, dk, dv of {@linkcode Attention}, probabilities recomputed from lse. */
export interface AttentionBackward extends Omit<Attention, "op"> {
  /** Which operation. */
  readonly op: "attention_backward";
  /** as o: the gradient that comes in. */
  readonly dO: Tensor;
  /** f32 [batch, heads, n]: receives rowsum(dO ∘ o). */
  readonly delta: Tensor;
  /** as q */
  readonly dq: Tensor;
  /** as k */
  readonly dk: Tensor;
  /** as v */
  readonly dv: Tensor;
}

/**
 * One decoded position i: k and v go into the caches, then q attends to the keys of its set, by head. `plan` says where a
 * position's key goes and which slots are read: a cache keeps only what the pattern reads again.
 */
export interface AttentionDecode {
  /** Which operation. */
  readonly op: "attention_decode";
  /** [batch, heads · d_qk_head] */
  readonly q: Tensor;
  /** as q */
  readonly k: Tensor;
  /** [batch, heads · d_v_head] */
  readonly v: Tensor;
  /** as v */
  readonly o: Tensor;
  /** [batch, heads, slots, d_qk_head], persistent */
  readonly keys: Tensor;
  /** [batch, heads, slots, d_v_head], persistent */
  readonly values: Tensor;
  /** u32 [1]: i. */
  readonly position: Tensor;
  /** The schedule of the heads. */
  readonly plan: CachePlan;
}

/** Fills caches from keys and values of many positions at once: slot s of head h gets position `rows[h, s]`. */
export interface CacheFill {
  /** Which operation. */
  readonly op: "cache_fill";
  /** [batch · n, heads · d_qk_head], or [n, …]: then every sequence gets the same. */
  readonly k: Tensor;
  /** [as k, heads · d_v_head] */
  readonly v: Tensor;
  /** [batch, heads, slots, d_qk_head], persistent */
  readonly keys: Tensor;
  /** [batch, heads, slots, d_v_head], persistent */
  readonly values: Tensor;
  /** u32 [heads, slots]: a position below n, or any other number to leave the slot as it is. */
  readonly rows: Tensor;
  /** Positions of a sequence in k and v. */
  readonly n: number;
}

/**
 * Chooses the token of one decoded position i of every sequence b, and goes on: where i ≥ given, tape[i, b] becomes a token
 * drawn from softmax(logits[b] / temperature), cut to the topK likeliest and of those to the likeliest that together reach
 * topP; then position becomes i + 1. Temperature 0 takes the likeliest, topK 0 means all; of equal logits the lower token
 * goes first. The draw is word 0 of Threefry with key (seeds[0], {@linkcode ../base/random.ts!STREAM}.tokens + b) and counter
 * (i, seeds[1]), so it does not depend on how many positions are run at a time.
 */
export interface Choose {
  /** Which operation. */
  readonly op: "choose";
  /** f32 [batch, vocabulary] */
  readonly logits: Tensor;
  /** u32 [n, batch], in and out */
  readonly tape: Tensor;
  /** u32 [1], in and out: i. */
  readonly position: Tensor;
  /** u32 [1]: the first so many positions of the tape are given, not chosen. */
  readonly given: Tensor;
  /** f32 [3]: temperature, topK, topP. */
  readonly choice: Tensor;
  /** u32 [2] */
  readonly seeds: Tensor;
}

/** losses[r] = −ln softmax(logits[r])[targets[r]]; dLogits = (softmax − onehot) · scale. */
export interface CrossEntropy {
  /** Which operation. */
  readonly op: "cross_entropy";
  /** [rows, vocabulary] */
  readonly logits: Tensor;
  /** u32 [rows] */
  readonly targets: Tensor;
  /** f32 [rows], nats */
  readonly losses: Tensor;
  /** [rows, vocabulary]; absent when only the loss is wanted. */
  readonly dLogits?: Tensor;
  /** 1 / (rows · micro-batches) when training. */
  readonly scale: number;
  /** f32 [2], see {@linkcode Clip}: dLogits is also multiplied by lossScale[0]. */
  readonly lossScale?: Tensor;
}

/** y[0] (+)= scale · Σ x. */
export interface Sum {
  /** Which operation. */
  readonly op: "sum";
  /** f32, any shape */
  readonly x: Tensor;
  /** f32 [1] */
  readonly y: Tensor;
  /** Multiplies the sum. */
  readonly scale: number;
  /** Add to y instead of overwriting it. */
  readonly accumulate: boolean;
}

/** y[0] = Σ over all tensors of x²: the squared global norm. */
export interface SquareNorm {
  /** Which operation. */
  readonly op: "square_norm";
  /** f32 */
  readonly xs: readonly Tensor[];
  /** f32 [1] */
  readonly y: Tensor;
}

/**
 * What the update multiplies gradients by, and the constants of this step: factor = min(1, maxNorm / (norm + 1e-6)) / S, or 1 / S where maxNorm is 0, or
 * 0 where squareNorm is not finite: then `skipped[0]` and `skipped[1]` go up by one; otherwise skipped[1] becomes 0.
 * norm = √squareNorm / S with S the loss scale, 1 where there is none.
 *
 * `lossScale` holds S and the clean steps since it last changed (spec §3): S ← S/2 after a step that is not finite,
 * S ← 2·S after 1,000 clean ones, the count going back to 0 either way.
 *
 * `hyper` becomes row skipped[0] − known[0] of `schedule` (its last row beyond that), skipped[0] from before this step: a step that is
 * skipped must advance neither the schedule nor a bias correction, and the host learns of it later than the next step begins.
 */
export interface Clip {
  /** Which operation. */
  readonly op: "clip";
  /** f32 [1] */
  readonly squareNorm: Tensor;
  /** f32 [1], out */
  readonly factor: Tensor;
  /** u32 [2], in and out: steps skipped in all, and in a row. */
  readonly skipped: Tensor;
  /** Largest norm; 0 turns clipping off. */
  readonly maxNorm: number;
  /** f32 [2], in and out. */
  readonly lossScale?: Tensor;
  /** f32 [rows, {@linkcode HYPER}]: this step's constants, by the steps skipped since the host last looked. */
  readonly schedule: Tensor;
  /** u32 [1]: steps skipped in all when the host last looked. */
  readonly known: Tensor;
  /** f32 [{@linkcode HYPER}], out. */
  readonly hyper: Tensor;
}

/** Numbers of an update's constants: learning rate, 1/(1 − β₁ᵗ), 1/(1 − β₂ᵗ) with t the update's number from 1, and Muon's rate. */
export const HYPER = 4;

/** Adam with decoupled decay; does nothing where factor is 0. Lists are parallel. */
export interface Adam {
  /** Which operation. */
  readonly op: "adam";
  /** f32, updated in place */
  readonly params: readonly Tensor[];
  /** f32, multiplied by factor when read */
  readonly grads: readonly Tensor[];
  /** f32 first moments */
  readonly m: readonly Tensor[];
  /** f32 second moments */
  readonly v: readonly Tensor[];
  /** Which parameters decay (rank 2). */
  readonly decay: readonly boolean[];
  /** f32 [1] from {@linkcode Clip}. */
  readonly factor: Tensor;
  /** f32 [{@linkcode HYPER}] from {@linkcode Clip}. */
  readonly hyper: Tensor;
  /** Decay of the first moment. */
  readonly beta1: number;
  /** Decay of the second moment. */
  readonly beta2: number;
  /** Added to the root of the second moment. */
  readonly eps: number;
  /** Decoupled decay, times the learning rate. */
  readonly weightDecay: number;
}

/**
 * Muon for matrices [out, in] of any shapes; does nothing where factor is 0. With g = grad · factor:
 * m ← μ·m + g; u = g + μ·m; X = u/(‖u‖_F + 1e-7), transposed where it has more rows than columns; five times A = X·Xᵀ,
 * X ← a·X + (b·A + c·A·A)·X with {@linkcode NEWTON_SCHULZ}; transposed back; p ← p − η·(√max(1, out/in)·X + wd·p), η = hyper[3].
 * Lists are parallel.
 */
export interface Muon {
  /** Which operation. */
  readonly op: "muon";
  /** f32 [out, in], updated in place */
  readonly params: readonly Tensor[];
  /** f32, multiplied by factor when read */
  readonly grads: readonly Tensor[];
  /** f32 momentum */
  readonly m: readonly Tensor[];
  /** f32 [1] from {@linkcode Clip}. */
  readonly factor: Tensor;
  /** f32 [{@linkcode HYPER}] from {@linkcode Clip}. */
  readonly hyper: Tensor;
  /** μ. */
  readonly momentum: number;
  /** Decoupled decay, times the rate. */
  readonly weightDecay: number;
}

/** a, b, c of {@linkcode Muon}'s iteration, chosen by Jordan et al. (2024) so that five of them bring singular values near 1. */
export const NEWTON_SCHULZ = { a: 3.4445, b: -4.775, c: 2.0315, times: 5 } as const;

/** Any operation. */
export type Op =
  | Embedding
  | EmbeddingDecode
  | EmbeddingBackward
  | LayerNorm
  | LayerNormBackward
  | Linear
  | LinearInputGrad
  | LinearWeightGrad
  | DropoutOp
  | Attention
  | AttentionBackward
  | AttentionDecode
  | CacheFill
  | Choose
  | CrossEntropy
  | Sum
  | SquareNorm
  | Clip
  | Adam
  | Muon;

/**
 * Which fields of an operation are read and which are written (a field in both is updated in place), and which hold
 * activations or their gradients: those may be f16, all of one operation or none.
 */
const OPERANDS: { readonly [K in Op["op"]]: { reads: readonly string[]; writes: readonly string[]; activations: readonly string[] } } = {
  embedding: { reads: ["indices", "tables"], writes: ["y"], activations: ["y"] },
  embedding_decode: { reads: ["tape", "position", "rows", "tables"], writes: ["y"], activations: [] },
  embedding_backward: { reads: ["dy", "order", "starts"], writes: ["dTable"], activations: ["dy"] },
  layernorm: { reads: ["x", "gain", "bias"], writes: ["y", "mean", "rstd"], activations: ["x", "y"] },
  layernorm_backward: {
    reads: ["x", "gain", "mean", "rstd", "dy", "residual"],
    writes: ["dx", "dGain", "dBias"],
    activations: ["x", "dy", "residual", "dx"],
  },
  linear: { reads: ["x", "w", "b", "residual"], writes: ["y", "pre"], activations: ["x", "y", "pre", "residual"] },
  linear_input_grad: { reads: ["dy", "w", "pre", "residual"], writes: ["dx"], activations: ["dy", "dx", "pre", "residual"] },
  linear_weight_grad: { reads: ["dy", "x"], writes: ["dw", "db"], activations: ["dy", "x"] },
  dropout: { reads: ["x"], writes: ["y"], activations: ["x", "y"] },
  attention: { reads: ["q", "k", "v"], writes: ["o", "lse"], activations: ["q", "k", "v", "o"] },
  attention_backward: {
    reads: ["q", "k", "v", "o", "lse", "dO"],
    writes: ["delta", "dq", "dk", "dv"],
    activations: ["q", "k", "v", "o", "dO", "dq", "dk", "dv"],
  },
  attention_decode: { reads: ["q", "k", "v", "position"], writes: ["keys", "values", "o"], activations: [] },
  cache_fill: { reads: ["k", "v", "rows"], writes: ["keys", "values"], activations: [] },
  choose: { reads: ["logits", "position", "given", "choice", "seeds"], writes: ["tape", "position"], activations: [] },
  cross_entropy: { reads: ["logits", "targets", "lossScale"], writes: ["losses", "dLogits"], activations: ["logits", "dLogits"] },
  sum: { reads: ["x"], writes: ["y"], activations: [] },
  square_norm: { reads: ["xs"], writes: ["y"], activations: [] },
  clip: {
    reads: ["squareNorm", "skipped", "lossScale", "schedule", "known"],
    writes: ["factor", "skipped", "lossScale", "hyper"],
    activations: [],
  },
  adam: { reads: ["grads", "factor", "hyper"], writes: ["params", "m", "v"], activations: [] },
  muon: { reads: ["grads", "factor", "hyper"], writes: ["params", "m"], activations: [] },
};

function pick(op: Op, names: readonly string[]): Tensor[] {
  const fields = op as unknown as Record<string, Tensor | readonly Tensor[] | undefined>;
  return names.flatMap((name) => fields[name] ?? []);
}

/** The tensors an operation reads and writes, dropout's seeds and a norm's gain and bias among the reads. */
export function operands(op: Op): { reads: Tensor[]; writes: Tensor[] } {
  const { reads, writes } = OPERANDS[op.op];
  const seeds = "dropout" in op && op.dropout ? [op.dropout.seeds] : [];
  const norm = "norm" in op && op.norm ? [op.norm.gain, op.norm.bias] : [];
  return { reads: [...pick(op, reads), ...seeds, ...norm], writes: pick(op, writes) };
}

/** The tensors of an operation that hold activations or their gradients: all f32, or all f16. */
export function activations(op: Op): Tensor[] {
  return pick(op, OPERANDS[op.op].activations);
}

/** A flat list of operations, in order, checked as it grows. */
export class Program {
  /** The operations so far. */
  readonly ops: Op[] = [];

  /** An empty list. */
  constructor(
    /** For messages and profiles. */
    readonly name: string,
  ) {}

  /** A tensor that lives within one run of this program. */
  scratch(name: string, shape: readonly number[], dtype: DType = "f32"): Tensor {
    return { name, shape, dtype, scratch: true };
  }

  /**
   * Appends one operation.
   *
   * @throws {ConfigError} where there is no such operation
   * @throws {ShapeError} where operand shapes or types do not fit each other, naming operation and tensors
   */
  add(op: Op): void {
    expect("Cannot add an operation", { op: [op, "an object"] });
    if (!Object.hasOwn(OPERANDS, op.op)) {
      throw new ConfigError(`Cannot add an operation: there is none of the name ${excerpt(String(op.op))}`);
    }
    checkShapes(op);
    this.ops.push(op);
  }
}

/** First and last operation that touches each scratch tensor: [first, last] indices into `program.ops`. */
export function lifetimes(program: Program): Map<Tensor, [number, number]> {
  const lives = new Map<Tensor, [number, number]>();
  program.ops.forEach((op, at) => {
    const { reads, writes } = operands(op);
    for (const t of reads) {
      if (t.scratch && !lives.has(t)) {
        throw new ShapeError(`Cannot plan ${program.name}: ${op.op} reads scratch tensor ${t.name} before any operation wrote it`);
      }
    }
    for (const t of [...reads, ...writes]) {
      if (!t.scratch) continue;
      const life = lives.get(t);
      if (life) life[1] = at;
      else lives.set(t, [at, at]);
    }
  });
  return lives;
}

/** A program made ready to run on one engine. */
export interface Executable {
  /**
   * Runs the whole list, `times` times over. On WebGPU it resolves when the work is submitted, not when it is done.
   *
   * @param times default 1
   * @throws {KernelError} naming the kernel, when this or an earlier run failed on the device
   */
  run(times?: number): Promise<void>;
  /**
   * Makes ready what can be made ready of a run of so many times, while another is under way: the next run of as many begins at
   * once. A run of another number drops it. Absent where nothing can be.
   */
  prepare?(times: number): void;
  /** Bytes of arena for scratch tensors, after sharing by lifetime. */
  readonly scratchBytes: number;
  /** Frees what compile made. */
  dispose(): void;
}

/** An implementation of this page. */
export interface Engine {
  /** Which. */
  readonly name: "reference" | "wasm" | "webgpu";
  /** For people: device or cores, and what limits it. */
  readonly description: string;
  /** Runs go on after `run` resolved, and a read waits for them: read seldom, with the next run already under way. */
  readonly deferred: boolean;
  /**
   * Makes persistent tensors, zeroed. Tensors of one call are laid out together in the order given.
   *
   * @throws {OutOfMemoryError} saying how much was asked for
   * @throws {ShapeError} where one is allocated already
   */
  allocate(tensors: readonly Tensor[]): void;
  /** Frees persistent tensors. */
  free(tensors: readonly Tensor[]): void;
  /**
   * Copies numbers into a tensor, in order with the runs around it.
   *
   * @throws {ShapeError} where the length differs from the tensor's size
   */
  write(t: Tensor, data: TensorData): void;
  /**
   * Waits for the runs so far and copies a tensor out, or the part of it that `range` gives: [from, to) of its outermost
   * dimension. Runs that follow the call do not change what it reads.
   *
   * @throws {ShapeError} where there is no such range
   * @throws {KernelError} naming the kernel, when an earlier run failed on the device
   */
  read(t: Tensor, range?: readonly [number, number]): Promise<TensorData>;
  /**
   * Plans and prepares a program.
   *
   * @throws {KernelError} where a kernel does not compile
   * @throws {OutOfMemoryError} where the arena does not fit
   */
  compile(program: Program): Promise<Executable>;
  /** Frees everything. */
  dispose(): void;
}

/**
 * First element of a range of a tensor's outermost dimension, and the number of elements; the whole tensor by default.
 *
 * @throws {ShapeError} where there is no such range
 */
export function extent(t: Tensor, range?: readonly [number, number]): { first: number; count: number } {
  if (!range) return { first: 0, count: size(t) };
  const [from, to] = range, [rows] = t.shape, row = size(t) / rows;
  if (!(Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= rows)) {
    throw new ShapeError(`Cannot read ${t.name} [${t.shape.join(", ")}] from ${from} to ${to}: its outermost dimension has ${rows}`);
  }
  return { first: from * row, count: (to - from) * row };
}

const show = (t: Tensor | undefined) => t ? `${t.name} ${t.dtype} [${t.shape.join(", ")}]` : "nothing";

function fail(op: Op, what: string, ...tensors: (Tensor | undefined)[]): never {
  throw new ShapeError(`Cannot add ${op.op}: ${what}, got ${tensors.map(show).join("; ")}`);
}

/** `t` is absent, or a matrix of that many rows and columns. */
function matrix(op: Op, t: Tensor | undefined, rows: number, columns: number): void {
  if (t && (t.dtype === "u32" || t.shape.length !== 2 || t.shape[0] !== rows || t.shape[1] !== columns)) {
    fail(op, `needs a matrix of [${rows}, ${columns}]`, t);
  }
}

/** `t` is absent, or holds that many elements of that type. */
function holds(op: Op, t: Tensor | undefined, count: number, dtype: DType = "f32"): void {
  if (t && (t.dtype !== dtype || size(t) !== count)) fail(op, `needs ${count} elements of ${dtype}`, t);
}

function distinct(op: Op, out: Tensor, ...ins: (Tensor | undefined)[]): void {
  if (ins.includes(out)) fail(op, "needs its output apart from its inputs", out);
}

function checkTypes(op: Op): void {
  const held = activations(op), { reads, writes } = operands(op);
  if (held.some((t) => t.dtype !== held[0].dtype)) fail(op, "needs all its activations f32 or all f16", ...held);
  for (const t of [...reads, ...writes]) {
    if (t.dtype === "f16" && !held.includes(t)) fail(op, "stores only activations and their gradients in f16", t);
  }
}

/** Caches are [batch, heads, slots, width of a head]. */
function checkCaches(op: AttentionDecode | CacheFill, batch: number, dq: number, dv: number): void {
  for (const [cache, width] of [[op.keys, dq], [op.values, dv]] as const) {
    const [b, heads, slots, own] = cache.shape;
    if (cache.shape.length !== 4 || b !== batch || heads !== op.keys.shape[1] || slots !== op.keys.shape[2] || own * heads !== width) {
      fail(op, `needs caches of ${batch} sequences, heads ${width} wide together`, cache);
    }
    holds(op, cache, size(cache));
  }
}

function checkShapes(op: Op): void {
  checkTypes(op);
  switch (op.op) {
    case "embedding": {
      const [rows, d] = op.y.shape;
      if (op.indices.length !== op.tables.length) fail(op, "needs one index list a table", ...op.indices);
      for (const index of op.indices) {
        if (index.dtype !== "u32" || rows % size(index) !== 0) fail(op, `needs u32 indices whose length divides ${rows}`, index);
      }
      for (const table of op.tables) matrix(op, table, table.shape[0], d);
      return;
    }
    case "embedding_decode": {
      const [batch, d] = op.y.shape, [n] = op.tape.shape;
      holds(op, op.tape, n * batch, "u32");
      holds(op, op.position, 1, "u32");
      if (op.tables.length !== op.rows.length + 1) fail(op, "needs a token table and one more a list of rows", ...op.tables);
      for (const rows of op.rows) holds(op, rows, n, "u32");
      for (const table of op.tables) matrix(op, table, table.shape[0], d);
      return;
    }
    case "embedding_backward": {
      const [rows, d] = op.dy.shape;
      matrix(op, op.dTable, op.dTable.shape[0], d);
      holds(op, op.order, rows, "u32");
      return holds(op, op.starts, op.dTable.shape[0] + 1, "u32");
    }
    case "layernorm": {
      const [rows, d] = op.x.shape;
      matrix(op, op.y, rows, d);
      for (const t of [op.gain, op.bias]) holds(op, t, d);
      for (const t of [op.mean, op.rstd]) holds(op, t, rows);
      return distinct(op, op.y, op.x);
    }
    case "layernorm_backward": {
      const [rows, d] = op.x.shape;
      for (const t of [op.dy, op.dx, op.residual]) matrix(op, t, rows, d);
      for (const t of [op.gain, op.dGain, op.dBias]) holds(op, t, d);
      for (const t of [op.mean, op.rstd]) holds(op, t, rows);
      return distinct(op, op.dx, op.x, op.dy, op.residual);
    }
    case "linear": {
      const rows = op.x.shape[0], [out, inner] = op.w.shape;
      matrix(op, op.x, rows, inner);
      for (const t of [op.y, op.pre, op.residual]) matrix(op, t, rows, out);
      for (const t of [op.norm?.gain, op.norm?.bias]) holds(op, t, inner);
      holds(op, op.b, out);
      return distinct(op, op.y, op.x, op.residual, op.pre);
    }
    case "linear_input_grad": {
      const rows = op.dy.shape[0], [out, inner] = op.w.shape;
      matrix(op, op.dy, rows, out);
      for (const t of [op.dx, op.pre, op.residual]) matrix(op, t, rows, inner);
      return distinct(op, op.dx, op.dy, op.residual, op.pre);
    }
    case "linear_weight_grad": {
      const [rows, out] = op.dy.shape, inner = op.x.shape[1];
      matrix(op, op.x, rows, inner);
      matrix(op, op.dw, out, inner);
      return holds(op, op.db, out);
    }
    case "dropout":
      matrix(op, op.y, op.x.shape[0], op.x.shape[1]);
      return distinct(op, op.y, op.x);
    case "attention":
    case "attention_backward": {
      const rows = op.batch * op.n, heads = op.sets.length, [, dq] = op.q.shape, [, dv] = op.v.shape;
      for (const t of [op.q, op.k]) matrix(op, t, rows, dq);
      for (const t of [op.v, op.o]) matrix(op, t, rows, dv);
      if (heads === 0 || dq % heads !== 0 || dv % heads !== 0) fail(op, `needs widths divisible by ${heads} heads`, op.q, op.v);
      holds(op, op.lse, op.batch * heads * op.n);
      if (op.op === "attention") return;
      for (const t of [op.dq, op.dk]) matrix(op, t, rows, dq);
      for (const t of [op.dO, op.dv]) matrix(op, t, rows, dv);
      return holds(op, op.delta, op.batch * heads * op.n);
    }
    case "attention_decode": {
      const [batch, dq] = op.q.shape, [, dv] = op.v.shape, [, heads, slots] = op.keys.shape;
      matrix(op, op.k, batch, dq);
      for (const t of [op.v, op.o]) matrix(op, t, batch, dv);
      if (op.plan.heads !== heads || op.plan.slots !== slots) {
        fail(op, `needs the plan's ${op.plan.heads} heads of ${op.plan.slots} slots`, op.keys);
      }
      holds(op, op.position, 1, "u32");
      return checkCaches(op, batch, dq, dv);
    }
    case "cache_fill": {
      const [rows, dq] = op.k.shape, [, dv] = op.v.shape, [batch, heads, slots] = op.keys.shape;
      matrix(op, op.v, rows, dv);
      if (rows !== op.n && rows !== batch * op.n) fail(op, `needs ${op.n} rows, or that many a sequence`, op.k);
      holds(op, op.rows, heads * slots, "u32");
      return checkCaches(op, batch, dq, dv);
    }
    case "choose": {
      const [batch, vocabulary] = op.logits.shape;
      matrix(op, op.logits, batch, vocabulary);
      if (op.tape.shape.length !== 2 || op.tape.shape[1] !== batch) fail(op, `needs a tape of ${batch} sequences`, op.tape);
      for (const [t, count] of [[op.tape, size(op.tape)], [op.position, 1], [op.given, 1], [op.seeds, 2]] as const) {
        holds(op, t, count, "u32");
      }
      return holds(op, op.choice, 3);
    }
    case "cross_entropy": {
      const [rows, vocabulary] = op.logits.shape;
      holds(op, op.targets, rows, "u32");
      holds(op, op.losses, rows);
      holds(op, op.lossScale, 2);
      return matrix(op, op.dLogits, rows, vocabulary);
    }
    case "sum":
      return holds(op, op.y, 1);
    case "square_norm":
      return holds(op, op.y, 1);
    case "clip":
      holds(op, op.squareNorm, 1);
      holds(op, op.factor, 1);
      holds(op, op.lossScale, 2);
      matrix(op, op.schedule, op.schedule.shape[0], HYPER);
      holds(op, op.known, 1, "u32");
      holds(op, op.hyper, HYPER);
      return holds(op, op.skipped, 2, "u32");
    case "muon": {
      holds(op, op.hyper, HYPER);
      holds(op, op.factor, 1);
      return op.params.forEach((p, i) => {
        for (const t of [p, op.grads[i], op.m[i]]) matrix(op, t ?? p, t && p.shape.length === 2 ? p.shape[0] : -1, p.shape[1]);
      });
    }
    case "adam": {
      holds(op, op.hyper, HYPER);
      holds(op, op.factor, 1);
      op.params.forEach((p, i) => {
        for (const t of [op.grads[i], op.m[i], op.v[i]]) holds(op, t ?? p, t ? size(p) : -1);
      });
    }
  }
}
