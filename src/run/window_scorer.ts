/**
 * The mean loss of models that do not say next tokens, in windows of data.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { ConfigError, DataError, ShapeError } from "../base/errors.ts";
import { checkComputed } from "../base/finite.ts";
import type { ModelConfig } from "../files/model_config.ts";
import { checkObjective, inUnit, objectiveOf, scores } from "../files/objective.ts";
import { loadLayers } from "../model/layers.ts";
import { batchData, type BatchTensors, checkedTargets, checkedTokens, inputData, scoredData, targetsIn } from "../model/batch.ts";
import { compileWith } from "../model/compile.ts";
import { maskedCount, maskTokens } from "../model/masks.ts";
import type { Parameters } from "../model/parameters.ts";
import { type ScoringProgram, scoringProgram } from "../model/score.ts";
import type { Engine, Executable, Tensor, TensorData } from "../ops/mod.ts";
import { memoryOf } from "../pattern/memory.ts";
import type { Tokens } from "./evaluate.ts";

/** Numbers per token, NaN where there is none, of which parts can be taken. */
export type Targets = Tokens;

/**
 * The numbers of a batch, whatever the model is to say.
 *
 * @param n positions of a sequence
 * @param draws what masks are drawn by
 * @param targets of models that say a number per position
 * @param mean how many of them a micro-batch of the update has on average
 */
export function batchOf(
  batch: BatchTensors,
  config: ModelConfig,
  n: number,
  tokens: ArrayLike<number>,
  draws: { seed: number; step: number; micro: number },
  targets?: ArrayLike<number>,
  mean?: number,
): Map<Tensor, TensorData> {
  const { vocab_size } = config, objective = objectiveOf(config), memory = memoryOf(config.attention);
  if (objective === "next") return batchData(batch, tokens, vocab_size, n, memory);
  if (objective !== "masked") return scoredData(batch, tokens, checkedTargets(targets!, objective), vocab_size, n, memory, mean);
  const masked = maskTokens(checkedTokens(tokens, vocab_size), n, vocab_size, draws);
  return inputData(batch, masked.inputs, vocab_size, n, memory).set(batch.targets, masked.targets);
}

/** What masks of an evaluation are drawn by: the same for every model. */
const SEED = 0;

/** What {@linkcode WindowScorer.windows} reports. */
export interface WindowLoss {
  /** Windows scored so far. */
  readonly done: number;
  /** Windows in all. */
  readonly of: number;
  /** Mean loss so far, in the objective's unit. */
  readonly loss: number;
  /** Positions that count so far. */
  readonly targets: number;
}

/** Scores windows with parameters that are on an engine. */
export class WindowScorer {
  private constructor(
    readonly engine: Engine,
    readonly params: Parameters,
    /** Windows scored at once. */
    readonly batch: number,
    private readonly scoring: ScoringProgram,
    private readonly executable: Executable,
    private readonly tensors: readonly Tensor[],
  ) {}

  /**
   * Records the program for parameters already on the engine.
   *
   * @throws {ConfigError} where the model says next tokens: {@linkcode ./evaluate.ts!Scorer} is for those
   * @throws {OutOfMemoryError} where the engine has not the memory
   */
  static async create(engine: Engine, params: Parameters, batch: number): Promise<WindowScorer> {
    expect("Cannot evaluate", { engine: [engine, "an engine"] });
    checkObjective(params?.config, "evaluate windows", "masked", "squared", "logistic");
    await loadLayers(params.config);
    const scoring = scoringProgram(params, batch), tensors = [...Object.values(scoring.batch), scoring.losses, ...scoring.constants.keys()];
    return new WindowScorer(
      engine,
      params,
      batch,
      scoring,
      await compileWith(engine, scoring.program, tensors, scoring.constants),
      tensors,
    );
  }

  /**
   * Scores windows of n_ctx tokens one after another; where the last is shorter, the last n_ctx tokens are one. Of masked tokens those of window w
   * are drawn with w: the same for every model. Each target counts once.
   *
   * @param targets a number per token, NaN where there is none
   * @throws {DataError} where there is less than a window, or no target that means something
   * @throws {ShapeError} where there are not as many targets as tokens, or a token is outside the vocabulary
   * @throws {DivergedError} where the loss is not finite
   */
  async *windows(tokens: Tokens, targets?: Targets): AsyncGenerator<WindowLoss> {
    const cannot = "Cannot evaluate",
      { config } = this.params,
      { n_ctx } = config,
      { batch, engine } = this,
      objective = objectiveOf(config);
    expect(cannot, { tokens: [tokens, "a typed array"] });
    if (scores(objective) !== (targets !== undefined)) {
      throw new ConfigError(`${cannot}: targets are for objectives squared and logistic, which need them; the model's is ${objective}`);
    }
    if (targets !== undefined) expect(cannot, { targets: [targets, "a typed array"] });
    if (targets && targets.length !== tokens.length) {
      throw new ShapeError(`${cannot}: there are ${tokens.length} tokens and ${targets.length} targets; give each token one, or NaN`);
    }
    if (targets && targetsIn(targets) === 0) throw new DataError(`${cannot}: none of the ${targets.length} targets is a number`);
    if (tokens.length < n_ctx) throw new DataError(`${cannot}: there are ${tokens.length} tokens, one window is ${n_ctx}`);
    const of = Math.ceil(tokens.length / n_ctx), from = (window: number) => Math.min(window * n_ctx, tokens.length - n_ctx);
    let sum = 0, count = 0;
    for (let done = 0; done < of;) {
      const first = done;
      done = Math.min(of, done + batch);
      const rows = new Uint32Array(batch * n_ctx), wanted = targets && new Float32Array(batch * n_ctx).fill(NaN);
      for (let window = first; window < done; window++) {
        rows.set(tokens.subarray(from(window), from(window) + n_ctx), (window - first) * n_ctx);
        const fresh = window * n_ctx;
        wanted?.set(targets!.subarray(fresh, from(window) + n_ctx), (window - first) * n_ctx + fresh - from(window));
      }
      for (const [t, data] of this.#batch(rows, wanted, first)) engine.write(t, data);
      await this.executable.run();
      const losses = checkComputed(await engine.read(this.scoring.losses), cannot, "the loss by position", engine);
      const some = (done - first) * n_ctx;
      for (let at = 0; at < some; at++) sum += losses[at];
      if (objective === "masked") count += (done - first) * maskedCount(n_ctx);
      else for (let at = 0; at < some; at++) count += wanted![at] === wanted![at] ? 1 : 0;
      yield { done, of, loss: count > 0 ? inUnit(objective, sum / count) : 0, targets: count };
      // Lets signals, timers and a page's frames run between batches.
      await new Promise((resume) => setTimeout(resume, 0));
    }
  }

  /** The numbers of some windows: masks do not depend on how many go together, and each target weighs 1. */
  #batch(rows: Uint32Array, wanted: Float32Array | undefined, first: number): Map<Tensor, TensorData> {
    const { batch: tensors } = this.scoring, { config } = this.params, { n_ctx, vocab_size } = config, memory = memoryOf(config.attention);
    if (wanted) {
      const targets = checkedTargets(wanted, objectiveOf(config));
      return scoredData(tensors, rows, targets, vocab_size, n_ctx, memory).set(tensors.weights!, wanted.map((t) => t === t ? 1 : 0));
    }
    const inputs = new Uint32Array(rows.length), targets = new Uint32Array(rows.length);
    for (let row = 0; row < this.batch; row++) {
      const window = checkedTokens(rows.subarray(row * n_ctx, (row + 1) * n_ctx), vocab_size);
      const masked = maskTokens(window, n_ctx, vocab_size, { seed: SEED, step: first + row, micro: 0 });
      inputs.set(masked.inputs, row * n_ctx);
      targets.set(masked.targets, row * n_ctx);
    }
    return inputData(tensors, inputs, vocab_size, n_ctx, memory).set(tensors.targets, targets);
  }

  /** {@linkcode WindowScorer.windows} to its end: the mean loss. */
  async loss(tokens: Tokens, targets?: Targets): Promise<number> {
    let loss = NaN;
    for await (const report of this.windows(tokens, targets)) loss = report.loss;
    return loss;
  }

  /** Frees what this made; the parameters stay. */
  dispose(): void {
    this.executable.dispose();
    this.engine.free(this.tensors);
  }
}
