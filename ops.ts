/**
 * What models are made of, for those who build, measure or change one: sparse attention by itself; its sets with their layouts and reach;
 * programs of operations over tensors, which every engine compiles; a model's parameters, and what trains and samples them one step at a time.
 *
 * @example A program of one operation, on the exact engine
 * ```ts
 * import { pickBackend } from "./mod.ts";
 * import { Program, tensor } from "./ops.ts";
 *
 * const { engine } = await pickBackend("reference"), x = tensor("x", [3]), y = tensor("y", [1]);
 * const program = new Program("a sum");
 * program.add({ op: "sum", x, y, scale: 1, accumulate: false });
 * engine.allocate([x, y]);
 * engine.write(x, Float32Array.of(1, 2, 3));
 * await (await engine.compile(program)).run();
 * console.log(await engine.read(y));
 * engine.dispose();
 * ```
 *
 * @module
 */

// Every operation can be added by who writes programs.
import "./src/ops/late.gen.ts";
import "./src/ops/apart.gen.ts";

export {
  type AttentionArrays,
  type AttentionBuffers,
  type AttentionCall,
  type AttentionGradients,
  type AttentionOutput,
  type GradientArrays,
  type GradientBuffers,
  type PassOptions,
  SparseAttention,
  sparseAttention,
} from "./src/run/sparse_attention.ts";
export type { AttentionOptions, AttentionPattern } from "./src/model/attention.ts";
export type { FloatArray, HalfArray } from "./src/base/floats.ts";
export type { BufferRange } from "./src/base/buffers.ts";
export { attends } from "./src/pattern/attends.ts";
export { type AttentionSet, type BlockLists, type IntervalLists, resolveSets } from "./src/pattern/sets.ts";
export { factorsOf, layersIn, mapPatterns, patternsIn, rowsIn } from "./src/pattern/patterns_in.ts";
export { alibiSlopes } from "./src/pattern/alibi.ts";
export { documentSpans, lengthSpans } from "./src/pattern/spans.ts";
export { describeAttention } from "./src/pattern/describe.ts";
export { CachePlan } from "./src/pattern/cache.ts";
export { buildLayout, type Layout, type LayoutPart, type TileList } from "./src/pattern/layout.ts";
export { checkReach, type Reach, type ReachFrom, type Schedule, scheduleOf } from "./src/pattern/reach.ts";
export { type DType, type Tensor, tensor, type TensorData } from "./src/ops/tensor.ts";
export type * from "./src/ops/index.gen.ts";
export { NO_KEYS } from "./src/ops/attention.ts";
export { NO_ROW } from "./src/ops/gather.ts";
export { NO_BLOCK } from "./src/pattern/routed.ts";
export { NO_TARGET } from "./src/ops/cross_entropy.ts";
export { Program } from "./src/ops/program.ts";
export type { Engine, Executable, Streamed, StreamOptions, TensorPart } from "./src/ops/engine.ts";
export type { Descriptor, Named, Operand, OptionField, TensorField } from "./src/ops/operation.ts";
export { Parameters } from "./src/model/parameters.ts";
export type { LearningRate } from "./src/model/optimizer.ts";
export { type Measured, Trainer } from "./src/run/train.ts";
export { type Communicator, type Wire, WIRES } from "./src/run/communicator.ts";
export { HalvesSum } from "./src/run/halves_sum.ts";
export {
  DataParallel,
  type DataParallelOptions,
  type Decisions,
  type Exchange,
  type ExchangeTimes,
  MUON_SHARES,
  type MuonShares,
  type Part,
} from "./src/run/data_parallel.ts";
export type { Group, SharedMatrices } from "./src/run/shared_matrices.ts";
export type { Share } from "./src/model/train.ts";
export type { Tokens } from "./src/run/evaluate.ts";
export type { TrainingTokens } from "./src/run/batches.ts";
export { type Choice, Decoder, sample, SAMPLE_FIELDS, samples, type Stoppable } from "./src/run/sample.ts";
