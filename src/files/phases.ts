/**
 * The phases of a run: beginnings in which the model sees less.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { ConfigError } from "../base/errors.ts";
import { memoryOf } from "../pattern/memory.ts";
import { routedAt } from "../pattern/sets.ts";
import { checkConfig, type ModelConfig } from "./model_config.ts";
import { checkTrain, type Phase, type TrainConfig } from "./train_config.ts";

/** Where in a run a step is: what the model is there, and how many sequences it sees at once. */
export interface PhaseAt {
  /** The model, smaller where the phase says so. */
  readonly config: ModelConfig;
  /** Sequences of a micro-batch. */
  readonly batch: number;
  /** Which, from 0, of `of`. */
  readonly index: number;
  /** Phases in all, the last one, in which the model is as configured, among them. */
  readonly of: number;
  /** First step that is in it. */
  readonly begin: number;
  /** First step that is no longer in it. */
  readonly end: number;
}

/** What is wrong within a phase is said of it. */
function inPhase<T>(index: number, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(`Cannot train: phases[${index}]: ${error.message}`) : error;
  }
}

/** Branches that each layer has gates for, of routed attention. */
const gatesOf = ({ attention, n_layer }: ModelConfig): string =>
  String(Array.from({ length: n_layer }, (_, layer) => {
    const routed = routedAt(attention, layer);
    return routed && (routed.compressed ? 3 : 2);
  }));

/**
 * The phases of a run in order, the last of them the model as configured.
 *
 * @throws {ConfigError} where a field of either is out of range, a phase's context is larger than the model's, or its attention does not fit the model
 */
export function phasesOf(config: ModelConfig, train: Partial<TrainConfig>): PhaseAt[] {
  config = checkConfig(config);
  const { phases, steps, batch } = checkTrain(train), of = phases.length + 1;
  let begin = 0;
  return [...phases, { until: 1 }].map((phase: Phase, index) => {
    const { until, n_ctx = config.n_ctx, attention = config.attention } = phase, last = index === of - 1;
    if (n_ctx > config.n_ctx) {
      throw new ConfigError(`Cannot train: phases[${index}].n_ctx must be at most the model's ${config.n_ctx}, found ${n_ctx}`);
    }
    if (JSON.stringify(memoryOf(attention)) !== JSON.stringify(memoryOf(config.attention))) {
      throw new ConfigError(`Cannot train: phases[${index}].attention must have the memory of the model's, or its weights would be others`);
    }
    const model = last ? config : inPhase(index, () => checkConfig({ ...config, n_ctx, attention }));
    if (gatesOf(model) !== gatesOf(config)) {
      throw new ConfigError(
        `Cannot train: phases[${index}].attention must be routed in the layers in which the model's is, or its weights would be others`,
      );
    }
    // A short run ends as the model itself too.
    const end = last ? steps : Math.min(steps - 1, Math.round(until * steps));
    const made = { config: model, batch: phase.batch ?? batch, index, of, begin, end };
    begin = end;
    return made;
  });
}

/** The phase of update t, t from 0; of updates after the run, its last. */
export function phaseAt<P extends PhaseAt>(phases: readonly P[], t: number): P {
  expect("Cannot find the phase", {
    phases: [phases, "a list"],
    t: [t, [0, MOST]],
    "the last phase": [phases?.[phases.length - 1], "an object"],
  });
  return phases.find(({ end }) => t < end) ?? phases[phases.length - 1];
}
