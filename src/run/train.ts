/**
 * Training: a {@linkcode Trainer} owns the tensors and the recorded step; {@linkcode train} drives it over data and
 * reports as it goes. No file and no console in here.
 *
 * @module
 */

import { expect, expectTokens, MOST } from "../base/check.ts";
import { checkConfig, type ModelConfig } from "../files/model_config.ts";
import { checkObjective, checkTrainable, inUnit, objectiveOf, scores } from "../files/objective.ts";
import { checkTrain, type TrainConfig } from "../files/train_config.ts";
import { type PhaseAt, phaseAt, phasesOf } from "../files/phases.ts";
import { TokenRange } from "../data/token_range.ts";
import { CheckpointError, ConfigError, DataError, DivergedError, KernelError, ShapeError } from "../base/errors.ts";
import { isInt8 } from "../files/weights.ts";
import { microBatches, type TrainingTokens } from "./batches.ts";
import type { Tokens } from "./evaluate.ts";
import { Cadence, type Every, everyOf } from "./every.ts";
import { checkRoom } from "./fitting.ts";
import { HeldOut } from "./held_out.ts";
import { batchOf, type Targets } from "./window_scorer.ts";
import { checkComputed, notFinite } from "../base/finite.ts";
import { targetsIn } from "../model/batch.ts";
import { loadLayers } from "../model/layers.ts";
import { compileWith } from "../model/compile.ts";
import { initialWeights } from "../model/initial_weights.ts";
import { Parameters } from "../model/parameters.ts";
import { type TrainingProgram, trainingProgram } from "../model/train.ts";
import type { DataParallel, Decisions, Exchange, Part } from "./data_parallel.ts";
import type { SharedMatrices } from "./shared_matrices.ts";
import { type Engine, type Executable, size, type Tensor } from "../ops/mod.ts";
import {
  AHEAD,
  type LearningRate,
  learningRate,
  LOSS_SCALE,
  optimizerState,
  type OptimizerTensors,
  optimizerTensors,
  scheduleRows,
} from "../model/optimizer.ts";

/** Everything that training continues from: weights and moments by parameter name, and where the run is. */
export interface Snapshot {
  /** Updates done, skipped ones included. */
  readonly step: number;
  /** Steps skipped for non-finite gradients, in all and in a row. */
  readonly skipped: readonly [number, number];
  /** Loss scale and the clean steps since it last changed; moves only where activations are f16. */
  readonly lossScale: readonly [number, number];
  /** The model. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** First moments of AdamW, momentum of Muon. */
  readonly m: ReadonlyMap<string, Float32Array>;
  /** Second moments, of the parameters that AdamW updates. */
  readonly v: ReadonlyMap<string, Float32Array>;
}

/** What the device knows about the steps since the last reading. */
export interface Measured {
  /** Mean training loss of those steps, in nats per token. */
  readonly loss: number;
  /** Global gradient norm of the last step, before clipping. */
  readonly gradNorm: number;
  /** Steps skipped, in all and in a row. */
  readonly skipped: readonly [number, number];
  /** What the loss is multiplied by where activations are f16. */
  readonly lossScale: number;
}

/** A phase, with the parameters as the model that it trains. */
export interface TrainedPhase extends PhaseAt {
  /** On the engine; `params.config` is the phase's. */
  readonly params: Parameters;
}

/** The recorded step of one phase, and what is made for it alone. */
interface Recorded extends PhaseAt {
  readonly step: TrainingProgram;
  /** What of the update this process does. */
  readonly part: Part;
  readonly executable: Executable;
  readonly tensors: readonly Tensor[];
}

/** A model in training on one engine. */
export class Trainer {
  readonly #engine: Engine;
  readonly #params: Parameters;
  readonly #phases: readonly TrainedPhase[];
  readonly #optimizer: OptimizerTensors;
  readonly #tensors: readonly Tensor[];
  readonly #rate: LearningRate;
  readonly #together: DataParallel | undefined;
  readonly #exchange: Exchange | undefined;
  readonly #shared: SharedMatrices | undefined;
  /** Undefined where making the next phase's failed. */
  #recorded: Recorded | undefined;
  #done: number;
  #sinceReading = 0;
  /** Steps skipped in all at the last reading of what was measured. */
  #skipped: number;
  /** Steps skipped in all when the device was last asked. */
  #known: number;
  #sinceKnown = 0;

  private constructor(
    engine: Engine,
    readonly config: ModelConfig,
    readonly train: TrainConfig,
    made: {
      params: Parameters;
      phases: readonly TrainedPhase[];
      optimizer: OptimizerTensors;
      tensors: readonly Tensor[];
      from?: Snapshot;
      rate?: LearningRate;
      together?: DataParallel;
      exchange?: Exchange;
      shared?: SharedMatrices;
    },
  ) {
    this.#engine = engine;
    this.#params = made.params;
    this.#phases = made.phases;
    this.#optimizer = made.optimizer;
    this.#tensors = made.tensors;
    this.#rate = made.rate ?? learningRate;
    this.#together = made.together;
    this.#exchange = made.exchange;
    this.#shared = made.shared;
    this.#done = made.from?.step ?? 0;
    this.#skipped = this.#known = made.from?.skipped[0] ?? 0;
  }

  /**
   * Allocates and records. Without `from`, weights are drawn from `train.seed`.
   *
   * @param rate the learning rate, where it is not the schedule that `train` names
   * @param together the processes that take a share of each update; by default this one does it all
   * @throws {ConfigError} where a field is out of range, or attention does not go with the objective, or several processes are to train a
   * model that does not say next tokens
   * @throws {CheckpointError} where the snapshot's tensors are not the model's, or not finite
   * @throws {OutOfMemoryError} where the engine has not the memory
   */
  static async create(
    engine: Engine,
    config: ModelConfig,
    train: Partial<TrainConfig>,
    from?: Snapshot,
    rate?: LearningRate,
    together?: DataParallel,
  ): Promise<Trainer> {
    expect("Cannot train", { engine: [engine, "an engine"] });
    config = checkConfig(config);
    await loadLayers(config);
    const checked = checkTrain(train), params = new Parameters(config), optimizer = optimizerTensors(params.all, checked.optimizer);
    // One that does not fit is refused before any memory is taken.
    const phases = phasesOf(config, checked).map((phase) => ({ ...phase, params: new Parameters(phase.config, params) }));
    // What a masked token or a target weighs follows from all of an update's, and a share does not see the others.
    if (together) checkObjective(config, "train in several processes", "next");
    for (const phase of phases) {
      checkTrainable(phase.config);
      together?.share(phase.batch, checked.accumulate);
    }
    if (!together) checkRoom(engine, config, checked);
    const tensors: Tensor[] = [];
    const fill = (tensors: readonly Tensor[], prefix: string, values: ReadonlyMap<string, Float32Array>) => {
      for (const t of tensors) {
        const data = values.get(t.name.slice(prefix.length));
        if (isInt8(data)) {
          throw new CheckpointError(`Cannot start from the snapshot: ${t.name} is int8; start from the f32 model that it was made of`);
        }
        if (data?.length !== size(t)) {
          throw new CheckpointError(
            `Cannot start from the snapshot: ${t.name} must have ${size(t)} numbers, got ${data?.length ?? "none"}`,
          );
        }
        const found = notFinite(data);
        if (found) throw new CheckpointError(`Cannot start from the snapshot: ${t.name} ${found}; use an earlier one`);
        engine.write(t, data);
      }
    };
    let trainer: Trainer | undefined, exchange: Exchange | undefined;
    try {
      // Of all phases the gradients are ready in the same order.
      const [{ params: first }] = phases, { grads } = optimizer;
      exchange = await together?.exchange(
        engine,
        trainingProgram(first, optimizer, { ...checked, batch: 1, accumulate: 1 }).program,
        grads,
      );
      for (const group of [params.all, exchange ? [] : grads, optimizer.m, optimizer.v, optimizerState(optimizer)]) {
        engine.allocate(group);
        tensors.push(...group);
      }
      fill(params.all, "", from?.weights ?? initialWeights(config, checked.seed));
      engine.write(optimizer.lossScale, Float32Array.from(from?.lossScale ?? LOSS_SCALE));
      if (from) {
        fill(optimizer.m, "m.", from.m);
        fill(optimizer.v, "v.", from.v);
        engine.write(optimizer.skipped, Uint32Array.from(from.skipped));
      }
      const shared = together?.matrices(params.all, checked.optimizer);
      trainer = new Trainer(engine, config, checked, { params, phases, optimizer, tensors, from, rate, together, exchange, shared });
      await trainer.#record();
      return trainer;
    } catch (error) {
      engine.free(tensors);
      exchange?.dispose();
      throw error;
    }
  }

  /** The phase of update t, t from 0. */
  phase(t: number): TrainedPhase {
    return phaseAt(this.#phases, t);
  }

  /** What of the updates of a phase this process does: all, or its share. */
  part({ batch }: Pick<PhaseAt, "batch">): Part {
    const { accumulate } = this.train;
    return this.#together?.share(batch, accumulate) ?? { batch, accumulate, share: { micro: 0, row: 0, of: batch * accumulate } };
  }

  /** The recorded step of the phase that the next update is in, made anew where another phase begins. */
  async #record(): Promise<Recorded> {
    const { params, ...phase } = this.phase(this.#done), engine = this.#engine;
    if (this.#recorded?.index === phase.index) return this.#recorded;
    this.#release();
    const part = this.part(phase), { batch, accumulate, share } = part;
    const shared = this.#shared, has = shared && ((at: number) => shared.has(at));
    const step = trainingProgram(params, this.#optimizer, { ...this.train, batch, accumulate }, false, { ...share, has });
    const tensors = [...step.constants.keys(), ...step.batches.flatMap(Object.values)];
    return this.#recorded = { ...phase, step, part, tensors, executable: await compileWith(engine, step.program, tensors, step.constants) };
  }

  #release(): void {
    this.#recorded?.executable.dispose();
    if (this.#recorded) this.#engine.free(this.#recorded.tensors);
    this.#recorded = undefined;
  }

  /** Parameter tensors on the engine. */
  get params(): Parameters {
    return this.#params;
  }

  /** Updates done. */
  get done(): number {
    return this.#done;
  }

  /** Whether the loss is scaled, so that what is f16 loses less of its gradient. */
  get isScaled(): boolean {
    return this.train.precision === "f16" || this.#together?.wire === "f16";
  }

  /** Bytes of the arena for activations. */
  get scratchBytes(): number {
    return this.#recorded?.executable.scratchBytes ?? 0;
  }

  /**
   * One update.
   *
   * @param microBatches `accumulate` arrays of batch · n_ctx tokens each, as many as {@linkcode Trainer.part} of the
   * {@linkcode Trainer.phase} has
   * @param targets as many arrays of as many numbers, NaN where a position has none, where the model says a number per position
   * @throws {ShapeError} where a token is outside the vocabulary or a length is wrong
   * @throws {ConfigError} where targets are missing, or are given and mean nothing
   * @throws {DataError} where a target is not finite, or of objective `logistic` no probability
   */
  async step(microBatches: readonly ArrayLike<number>[], targets?: readonly ArrayLike<number>[]): Promise<void> {
    expect("Cannot take a step", { "micro-batches": [microBatches, "a list"] });
    checkTargets("Cannot take a step", this.config, targets);
    for (const tokens of microBatches) expectTokens("Cannot take a step", tokens);
    const { train } = this,
      engine = this.#engine,
      { part, config, step, executable } = await this.#record(),
      rows = part.batch * config.n_ctx;
    if ([microBatches, targets].some((of) => of && (of.length !== part.accumulate || of.some((one) => one.length !== rows)))) {
      throw new ShapeError(
        `Cannot take a step: it needs ${part.accumulate} micro-batches of ${rows} tokens${targets ? " and targets" : ""}, got ${
          [...microBatches, ...targets ?? []].map((t) => t.length).join(", ")
        }`,
      );
    }
    const mean = targets && targets.reduce((sum, one) => sum + targetsIn(one), 0) / targets.length;
    microBatches.forEach((tokens, micro) => {
      const draws = { seed: train.seed, step: this.#done, micro }, batch = step.batches[micro];
      for (const [t, data] of batchOf(batch, config, config.n_ctx, tokens, draws, targets?.[micro], mean)) engine.write(t, data);
    });
    if (this.#sinceKnown === AHEAD) await this.settle();
    engine.write(this.#optimizer.schedule, scheduleRows(train, this.#done - this.#known, this.#rate));
    engine.write(this.#optimizer.known, Uint32Array.of(this.#known));
    engine.write(this.#optimizer.seeds, Uint32Array.of(train.seed, this.#done * train.accumulate));
    await (this.#exchange ? this.#exchange.run(executable, step.program) : executable.run());
    await this.#shared?.gather(engine, this.#params.all);
    this.#done++;
    this.#sinceReading++;
    this.#sinceKnown++;
  }

  /** The learning rate of the last update, as far as is known how many steps were skipped. */
  get lr(): number {
    return this.#rate(Math.max(0, this.#done - this.#known - 1), this.train);
  }

  /**
   * Waits for the steps so far and reads what they measured. Where processes share Muon's matrices out, all then have all momenta.
   *
   * @throws {DivergedError} where the loss is not finite though the gradients are
   * @throws {KernelError} where the device answers what cannot be
   */
  async measure(): Promise<Measured> {
    const { loss, squareNorm, skipped, lossScale } = this.#optimizer, steps = Math.max(1, this.#sinceReading);
    const reads = [loss, squareNorm, skipped, lossScale].map((t) => this.#engine.read(t));
    const [[own], square, counts, [next, clean]] = await Promise.all(reads), total = await this.#together?.loss(own, square[0]) ?? own;
    if (!(next > 0 && counts[1] <= counts[0] && counts[0] <= this.#done)) {
      throw new KernelError(
        `Cannot go on training: ${this.#engine.description} answered a loss scale of ${next} and ${counts[0]} steps skipped, ` +
          `${counts[1]} in a row, of ${this.#done}; it computes wrongly, verify tells how`,
      );
    }
    // Steps with gradients that are not finite are skipped and counted, and those gradients explain a loss.
    // Read again without a step in between, the norm is still that of a step that was counted.
    if (counts[0] === this.#skipped && this.#sinceReading > 0) {
      checkComputed([total, square[0]], "Cannot go on", "the pair of loss and squared norm", this.#engine);
    }
    this.#skipped = counts[0];
    if (this.#sinceReading > 0) await this.#shared?.gather(this.#engine, this.#optimizer.m);
    this.#engine.write(loss, Float32Array.of(0));
    this.#sinceReading = 0;
    this.#known = counts[0];
    this.#sinceKnown = 0;
    // With no clean step since it changed, the scale has just doubled: the norm was taken under the one before.
    const scale = !this.isScaled ? 1 : clean === 0 ? next / 2 : next;
    return { loss: total / steps, gradNorm: Math.sqrt(square[0]) / scale, skipped: [counts[0], counts[1]], lossScale: next };
  }

  /** Waits for the steps so far and learns how many were skipped; `step` does so too, now and then. */
  async settle(): Promise<void> {
    [this.#known] = await this.#engine.read(this.#optimizer.skipped);
    this.#sinceKnown = 0;
  }

  /**
   * Copies out everything that training continues from.
   *
   * @throws {DivergedError} where weights or moments are not finite
   * @throws {KernelError} where processes share Muon's matrices out, and there was a step since {@linkcode Trainer.measure}: momenta are then
   * elsewhere
   */
  async snapshot(): Promise<Snapshot> {
    if (this.#shared && this.#sinceReading > 0) {
      throw new KernelError(
        `Cannot save step ${this.#done}: its momenta are shared out among processes; call measure() on all of them first`,
      );
    }
    const read = async (tensors: readonly Tensor[], prefix = "") => {
      const values = new Map<string, Float32Array>();
      for (let first = 0, end = 0; first < tensors.length; first = end) {
        for (let bytes = 0; end < tensors.length && (end === first || bytes < READING); end++) bytes += 4 * size(tensors[end]);
        const some = await Promise.all(tensors.slice(first, end).map((t) => this.#engine.read(t)));
        some.forEach((data, at) => {
          const { name } = tensors[first + at];
          checkComputed(data, `Cannot save step ${this.#done}`, name, this.#engine);
          values.set(name.slice(prefix.length), new Float32Array(data));
        });
      }
      return values;
    };
    const { m, v, skipped, lossScale } = this.#optimizer, counts = await this.#engine.read(skipped);
    const [scale, clean] = await this.#engine.read(lossScale);
    return {
      step: this.#done,
      skipped: [counts[0], counts[1]],
      lossScale: [scale, clean],
      weights: await read(this.#params.all),
      m: await read(m, "m."),
      v: await read(v, "v."),
    };
  }

  /** Frees everything on the engine. */
  dispose(): void {
    this.#release();
    this.#engine.free(this.#tensors);
    this.#exchange?.dispose();
  }
}

/**
 * What {@linkcode train} reports. Losses are in bits per token: bits/byte where tokens are bytes, `inBytes` converts them where not. Of models
 * that do not say next tokens they are bits per masked token, mean squares, or bits per target: never to be held beside others.
 */
export interface Progress {
  /** Updates done. */
  readonly step: number;
  /** Updates in all. */
  readonly steps: number;
  /** Mean training loss since the last report. */
  readonly loss: number;
  /** Loss on the held-out tokens in windows of the phase's n_ctx, where this report has one. */
  readonly heldOut?: number;
  /** Learning rate of the last update. */
  readonly lr: number;
  /** Gradient norm of the last update, before clipping. */
  readonly gradNorm: number;
  /** Steps skipped for non-finite gradients. */
  readonly skipped: number;
  /** What the loss is multiplied by where activations are f16. */
  readonly lossScale: number;
  /** Training tokens per second since the last report, evaluation not counted. */
  readonly tokensPerSecond: number;
  /** Seconds until the last step at the mean rate so far, evaluation included. */
  readonly secondsLeft: number;
  /**
   * The part of what is held out that was scored, from 0 to 1, once all steps are done and before the last report: the first of these reports,
   * of 0, is the time to save.
   */
  readonly scored?: number;
  /** Whether this is the run's last report: `ended` says why. */
  readonly last: boolean;
  /** Of the last report: all steps are done, `patience` is, or `signal` was raised. */
  readonly ended?: "steps" | "patience" | "signal";
  /** Bytes that activations, and what kernels keep beside them, take on the engine. */
  readonly scratchBytes: number;
  /** Where the last update was, with the parameters as the model it trained: to sample from before asking for the next report. */
  readonly phase: TrainedPhase;
  /** Everything to save. Take it before asking for the next report. */
  snapshot(): Promise<Snapshot>;
}

/** A run: model, constants, data and how often to look. */
export interface TrainOptions {
  /** Where to train. */
  readonly engine: Engine;
  /** What to train. */
  readonly config: ModelConfig;
  /** Training constants; defaults for those left out. */
  readonly train: Partial<TrainConfig>;
  /** Tokens to train on. */
  readonly data: TrainingTokens;
  /** Sequences begin at multiples of this many tokens: an image's; default 1, anywhere. */
  readonly unit?: number;
  /** What each token of `data` is to get, where the model says a number per position, of `logistic` 0 to 1: NaN where there is none. */
  readonly targets?: Targets;
  /** Tokens to evaluate on, not among `data`. */
  readonly heldOut?: Tokens;
  /** Their targets, where `data` has some. */
  readonly heldOutTargets?: Targets;
  /** Where to go on from. */
  readonly from?: Snapshot;
  /** Seconds between reports, default 1. */
  readonly reportSeconds?: number;
  /** Reports with a held-out loss, spread evenly over the run and at its end, at most 1,000 steps apart; default 10. */
  readonly evaluations?: number;
  /** How often there is such a report, where it is not `evaluations` that say so. */
  readonly evaluateEvery?: Every;
  /** Held-out losses of the run before, which `patience` counts on from; in the unit of those reported. */
  readonly heldOutBefore?: readonly number[];
  /** Held-out tokens looked at each time but the last, spread evenly over all of them; default 32,768. */
  readonly evaluationTokens?: number;
  /** The learning rate, where it is not the schedule that `train` names; a resumed run needs the same again. */
  readonly learningRate?: LearningRate;
  /** Stops after the step under way. */
  readonly signal?: AbortSignal;
  /** The processes that train together, of which this is one: each is given the same of everything else. */
  readonly together?: DataParallel;
}

/** Steps in a row with non-finite gradients after which training stops; where the loss is scaled each of them halves the scale, from 2¹⁶. */
const PATIENCE = { unscaled: 10, scaled: 26 };
/** Bytes of reads under way together in a snapshot: waiting for each of a hundred tensors in turn cost 11 ms each in Deno. */
const READING = 64 * 2 ** 20;

/** Refuses what cannot be trained on, before anything is made. */
function checkOptions(options: TrainOptions): void {
  expect("Cannot train", { options: [options, "an object"], engine: [options?.engine, "an engine"] });
  const { data, heldOut, reportSeconds = 1, evaluations = 0, evaluationTokens = 0, unit = 1 } = options, many = [0, MOST] as const;
  expect("Cannot train", {
    unit: [unit, [1, MOST]],
    reportSeconds: [reportSeconds, "a finite number"],
    evaluations: [evaluations, many],
    evaluationTokens: [evaluationTokens, many],
  });
  const config = checkConfig(options.config), { n_ctx } = config;
  checkTargets("Cannot train", config, options.targets);
  if (heldOut) checkTargets("Cannot train", config, options.heldOutTargets);
  for (const [name, of, targets] of [["training", data, options.targets], ["held-out", heldOut, options.heldOutTargets]] as const) {
    if (targets === undefined) continue;
    expect("Cannot train", { [`the ${name} targets`]: [targets, "a typed array"] });
    if (targetsIn(targets) === 0) throw new DataError(`Cannot train: none of the ${name} targets is a number; give some`);
    if (targets.length === of?.length) continue;
    throw new ShapeError(
      `Cannot train: the ${name} data has ${of?.length} tokens and ${targets.length} targets; give each token one, or NaN`,
    );
  }
  for (const [name, tokens] of [["training", data], ["held-out", heldOut]] as const) {
    // Callers without types.
    if ((name === "training" || tokens) && typeof tokens?.subarray !== "function" || name === "held-out" && tokens instanceof TokenRange) {
      throw new ConfigError(`Cannot train: the ${name} data must be a typed array of tokens; encodeText() makes one of a string`);
    }
    if (tokens && tokens.length < n_ctx) {
      throw new DataError(
        `Cannot train: the ${name} data has ${tokens.length} tokens, one context is ${n_ctx}; give more data or a smaller n_ctx`,
      );
    }
  }
}

/** Refuses targets that are missing, and those that mean nothing. */
function checkTargets(cannot: string, config: ModelConfig, targets: unknown): void {
  const objective = objectiveOf(config);
  if (scores(objective) === (targets !== undefined)) return;
  throw new ConfigError(
    targets === undefined
      ? `${cannot}: objective ${objective} needs targets, a number per token, or NaN where there is none`
      : `${cannot}: targets are for objectives squared and logistic, and the model's is ${objective}`,
  );
}

/** Training tokens seen and to come, for rates and the time left. */
class Pace {
  readonly #begun = performance.now();
  #seen = 0;
  #seenBefore = 0;
  #rate = 0;
  /** When the time of the next report's rate begins. */
  since = this.#begun;

  constructor(private readonly trainer: Trainer) {}

  #tokens({ batch, config: { n_ctx } }: PhaseAt): number {
    return this.trainer.train.accumulate * batch * n_ctx;
  }

  /** Whether the last report is so many seconds ago. */
  isOver(seconds: number): boolean {
    return performance.now() - this.since >= seconds * 1000;
  }

  step(phase: PhaseAt): void {
    this.#seen += this.#tokens(phase);
  }

  /** Tokens per second since the last report; where none were trained on since, that of the report before. */
  rate(): number {
    const seen = this.#seen - this.#seenBefore;
    if (seen > 0) this.#rate = seen / Math.max(1e-9, (performance.now() - this.since) / 1000);
    this.#seenBefore = this.#seen;
    return this.#rate;
  }

  /** Seconds until the last step. */
  left(): number {
    const { trainer } = this, { steps } = trainer.train;
    let left = 0;
    for (let t = trainer.done; t < steps; t = trainer.phase(t).end) left += (trainer.phase(t).end - t) * this.#tokens(trainer.phase(t));
    return this.perToken() * left;
  }

  /** Seconds per token so far, evaluation included. */
  perToken(): number {
    return (this.since - this.#begun) / 1000 / Math.max(1, this.#seen);
  }
}

/** Counts evaluations since the best one. */
class Patience {
  #best = Infinity;
  #since = 0;

  /** @param most in a row without a better one; 0 for any number */
  constructor(private readonly most: number, before: readonly number[]) {
    for (const one of before) this.add(one);
  }

  /** Whether it is over with this evaluation. */
  add(heldOut: number): boolean {
    this.#since = heldOut < this.#best ? 0 : this.#since + 1;
    this.#best = Math.min(this.#best, heldOut);
    return this.most > 0 && this.#since >= this.most;
  }
}

/** @throws {DivergedError} after too many steps in a row with non-finite gradients */
function checkGradients({ skipped }: Measured, { train: { lr, muon_lr, optimizer }, isScaled }: Trainer): void {
  if (skipped[1] < PATIENCE[isScaled ? "scaled" : "unscaled"]) return;
  throw new DivergedError(
    `Cannot go on: the gradients of the last ${
      skipped[1]
    } steps were not finite and none was applied; resume from the last checkpoint with ` +
      `a lower lr than ${lr}${optimizer === "muon" ? ` and a lower muon_lr than ${muon_lr}` : ""}`,
  );
}

/** The next step, by the data of its phase. */
async function takeStep(trainer: Trainer, phase: TrainedPhase, { data, targets, unit }: TrainOptions): Promise<void> {
  const { train, done } = trainer, part = trainer.part(phase);
  const wanted = targets && await microBatches(train, done, phase, targets, Float32Array, unit, part);
  await trainer.step(await microBatches(train, done, phase, data, Uint32Array, unit, part), wanted);
}

/** What scores the data held out, where there is any. */
function heldOutOf({ engine, heldOut, heldOutTargets, evaluationTokens = 32768, unit = 1, together, signal }: TrainOptions) {
  return heldOut && new HeldOut(engine, heldOut, unit, evaluationTokens, together ?? signal, heldOutTargets);
}

/**
 * Trains, reporting about once per second. The order of data depends on the seed and the step alone, so a run that goes
 * on from a snapshot sees what the uninterrupted one would have seen.
 *
 * Once all steps are done, what is held out is scored as a whole. That may take long: before it there is a report to save at, and others tell
 * how far it is.
 *
 * @throws {ConfigError} where a field is out of range or unknown, or the data is no typed array
 * @throws {DataError} where the data is shorter than one context, or cannot be read any more, or targets mean nothing
 * @throws {DivergedError} after 10 steps in a row (26 in f16) with non-finite gradients; none of them was applied
 */
export async function* train(options: TrainOptions): AsyncGenerator<Progress> {
  checkOptions(options);
  const { engine, signal, reportSeconds = 1, evaluations = 10, together } = options;
  const trainer = await Trainer.create(engine, options.config, options.train, options.from, options.learningRate, together);
  const heldOut = heldOutOf(options);
  try {
    const { train } = trainer, { steps } = train, evaluate = new Cadence(options.evaluateEvery ?? everyOf(steps, evaluations));
    const pace = new Pace(trainer), patience = new Patience(train.patience, options.heldOutBefore ?? []);
    let reportedStep = trainer.done, loss = NaN, isOver = trainer.done >= steps, ended: Progress["ended"];
    /** What the device measured since the report before, with what else is to be said. */
    const report = async (more: Partial<Progress>): Promise<Progress> => {
      const measured = await trainer.measure(), phase = trainer.phase(Math.max(0, trainer.done - 1));
      checkGradients(measured, trainer);
      // Without steps since none was measured: the loss is that of the report before.
      if (trainer.done > reportedStep) loss = inUnit(objectiveOf(trainer.config), measured.loss);
      reportedStep = trainer.done;
      const { skipped: [skipped], gradNorm, lossScale } = measured, tokensPerSecond = pace.rate();
      pace.since = performance.now();
      const final = heldOut && !heldOut.isAll(phase) ? heldOut.secondsForAll(pace.perToken()) * (1 - (more.scored ?? 0)) : 0;
      return {
        ...{ step: trainer.done, steps, loss, lr: trainer.lr, gradNorm, skipped, lossScale, tokensPerSecond },
        scratchBytes: trainer.scratchBytes,
        ...{ secondsLeft: (isOver ? 0 : pace.left()) + final, last: false, phase, snapshot: () => trainer.snapshot() },
        ...more,
      };
    };
    // What one process decides all do.
    let agreed: Decisions | undefined;
    const stops = () => agreed?.stops ?? signal?.aborted ?? false;
    const decide = async () => {
      const stops = signal?.aborted ?? false, reports = pace.isOver(reportSeconds), evaluates = evaluate.isDue(trainer.done + 1);
      agreed = await together?.agree({ stops, reports, evaluates });
      return !isOver && !(agreed?.stops ?? stops);
    };
    while (await decide()) {
      const phase = trainer.phase(trainer.done);
      await takeStep(trainer, phase, options);
      pace.step(phase);
      // Lets signals, timers and a page's frames run between steps.
      await new Promise((resume) => setTimeout(resume, 0));
      const isDone = trainer.done >= steps,
        evaluates = heldOut !== undefined && (isDone || (agreed?.evaluates ?? evaluate.isDue(trainer.done)));
      if (!evaluates && !isDone && !stops() && !(agreed?.reports ?? pace.isOver(reportSeconds))) continue;
      if (stops() && !isDone) break;
      isOver = isDone;
      if (isDone && (!heldOut || heldOut.isAll(phase))) break;
      const reported = await report({});
      const held = evaluates ? await heldOut!.glance(phase) : undefined;
      if (held !== undefined) {
        evaluate.done();
        isOver ||= patience.add(held);
        if (!isDone && isOver) ended = "patience";
      }
      // Evaluating is not training time.
      pace.since = performance.now();
      yield { ...reported, heldOut: held };
      // Saving between reports is not either.
      pace.since = performance.now();
    }
    if (isOver) ended ??= "steps";
    // The model is as it stays: whoever saves does it before all that is held out is scored, which may take long.
    let held: number | undefined;
    if (isOver && heldOut && !stops()) {
      const phase = trainer.phase(Math.max(0, trainer.done - 1));
      yield await report({ scored: 0 });
      let told = performance.now();
      for await (const look of heldOut.look(phase, true)) {
        held = look.loss;
        // What a report measures all processes measure.
        if (together || held !== undefined || performance.now() - told < reportSeconds * 1000) continue;
        told = performance.now();
        yield await report({ scored: look.scored / look.of });
      }
      if (held === undefined) ended = "signal";
    } else if (stops() && (heldOut || !isOver)) ended = "signal";
    yield await report({ ...held === undefined ? {} : { heldOut: held }, last: true, ended, secondsLeft: 0 });
  } finally {
    heldOut?.dispose();
    trainer.dispose();
  }
}
