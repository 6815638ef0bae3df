/**
 * Going on with a run as it was, or with other constants.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { CheckpointError, ConfigError } from "../base/errors.ts";
import type { ModelConfig } from "../files/model_config.ts";
import { parameterShapes } from "../files/parameter_shapes.ts";
import type { TrainConfig } from "../files/train_config.ts";
import { describeAttention } from "../pattern/describe.ts";
import type { ModelAttention } from "../pattern/sets.ts";

/** What a run trains, and how. */
export interface RunConfig {
  /** The model. */
  readonly config: ModelConfig;
  /** Training constants. */
  readonly train: TrainConfig;
}

const inText = (value: unknown, field?: string) =>
  field === "attention" ? describeAttention(value as ModelAttention) : typeof value === "object" ? JSON.stringify(value) : String(value);

/** A value in one form, whatever the order of its fields: words may leave out what differs. */
const inFull = (value: unknown): string =>
  JSON.stringify(
    value,
    (_, one) => one?.constructor === Object ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => a < b ? -1 : 1)) : one,
  ) ?? "";

/** What differs between two of a kind, each as "field before → after". */
function differing<T extends object>(before: T, after: T): string[] {
  return (Object.keys({ ...before, ...after }) as (keyof T & string)[]).filter((field) => inFull(after[field]) !== inFull(before[field]))
    .map((field) => {
      const [from, to] = [before, after].map((of) => inText(of[field], field));
      return from === to ? `${field} ${inFull(before[field])} → ${inFull(after[field])}` : `${field} ${from} → ${to}`;
    });
}

/**
 * Checks that a run can go on with other constants, or as another model that its weights fit.
 *
 * @param before what it was saved with, after so many steps
 * @param after what it is to go on with
 * @param name of the run, for messages
 * @returns what differs, each as "field before → after": where nothing does, the run goes on as if it had never stopped
 * @throws {CheckpointError} where its weights or moments do not fit
 * @throws {ConfigError} where it has no steps left to do
 */
export function checkResume(before: RunConfig & { readonly step: number }, after: RunConfig, name: string): string[] {
  expect("Cannot resume", { before: [before, "an object"], after: [after, "an object"], name: [name, "a string"] });
  for (const { config, train } of [before, after]) expect("Cannot resume", { config: [config, "an object"], train: [train, "an object"] });
  const shapes = parameterShapes(before.config), wanted = parameterShapes(after.config), changes = differing(before.config, after.config);
  const misfits = [...new Set([...shapes.keys(), ...wanted.keys()])].filter((name) =>
    inText(shapes.get(name)) !== inText(wanted.get(name))
  );
  if (misfits.length > 0) {
    const [first] = misfits, shapeOf = (of: ReadonlyMap<string, number[]>) => `[${of.get(first)?.join(", ") ?? "none"}]`;
    throw new CheckpointError(
      `Cannot resume ${name} with another model: ${changes.join(", ")} would change ${misfits.length} of its weights, ${first} from ${
        shapeOf(shapes)
      } to ${shapeOf(wanted)} first; leave the model as it was, or begin a new run`,
    );
  }
  if (after.train.optimizer !== before.train.optimizer) {
    throw new CheckpointError(
      `Cannot resume ${name} with the optimizer ${after.train.optimizer}: the run has the moments of ${before.train.optimizer}; ` +
        `leave the optimizer as it was, or begin a new run`,
    );
  }
  if (before.step >= after.train.steps) {
    const { steps } = after.train;
    throw new ConfigError(
      `Cannot resume ${name}: all ${steps.toLocaleString("en-US")} of its steps are done; give more steps, for example ${steps * 2}`,
    );
  }
  return [...changes, ...differing(before.train, after.train)];
}
