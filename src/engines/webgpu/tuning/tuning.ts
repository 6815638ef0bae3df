/**
 * What was measured on a device, as a file: the best variant of each kernel and problem.
 *
 * @module
 */

import { type Allowed, expect, MOST, mustBe, type ObjectOf, shown, whole, wrongOf } from "../../../base/check.ts";
import { ConfigError } from "../../../base/errors.ts";
import { jsonOf, parseJson } from "../../../base/json.ts";
import type { Problem } from "./problems.ts";
import { MATRIX_SIZES } from "./matrix_variants.ts";
import { ATTENTION_VARIANTS, LINEAR_VARIANTS, matrixTrials } from "./trials.ts";
import { ATTENTION_DEFAULTS, ATTENTION_KERNELS, LINEAR_KERNELS } from "./variants.ts";

/** A variant chosen for a kernel and problem. */
export interface TunedVariant extends Problem {
  /** Kernel file. */
  readonly kernel: string;
  /** Its constants. */
  readonly variant: Readonly<Record<string, number>>;
  /** GPU milliseconds measured. */
  readonly ms: number;
}

/** Changes when variants or kinds of problems change their meaning: what was measured before is then measured again. */
export const TUNING_VERSION = 7;

/** What was measured on one device, as JSON. */
export interface Tuning {
  /** {@linkcode TUNING_VERSION} of who measured. */
  readonly version: number;
  /** The engine's description of the device. */
  readonly device: string;
  /**
   * The best of each kernel and problem. `attention_backward_dkv` is here only where it was faster than dk and dv apart. With KEEP its
   * `ms` has dq in it, and it is here only where that is less than dq and the best of the others.
   */
  readonly choices: readonly TunedVariant[];
}

/** A tuning as a file: one choice per line. */
export function formatTuning(tuning: Tuning): string {
  expect("Cannot write the tuning", { tuning: [tuning, "an object"] });
  const { version, device, choices } = tuning;
  expect("Cannot write the tuning", { version: [version, [1, MOST]], device: [device, "a string"], choices: [choices, "a list"] });
  const lines = choices.map((choice) => "    " + JSON.stringify(choice)).join(",\n");
  return `{\n  "version": ${version},\n  "device": ${JSON.stringify(device)},\n  "choices": [${lines && `\n${lines}\n  `}]\n}\n`;
}

/** Canonical text of a variant's constants. */
const constants = (variant: Readonly<Record<string, number>>) => JSON.stringify(Object.entries(variant).sort(([a], [b]) => a < b ? -1 : 1));

/** By kernel, the variants that this version has. */
function knownVariants(): ReadonlyMap<string, ReadonlySet<string>> {
  const of = (kernels: readonly string[], ...variants: object[]) =>
    kernels.map((kernel) => [kernel, new Set(variants.map((variant) => constants({ ...variant })))] as const);
  const byMatrices = MATRIX_SIZES.map(matrixTrials);
  return new Map([
    ...of(ATTENTION_KERNELS, ...ATTENTION_VARIANTS, ...ATTENTION_DEFAULTS, ...byMatrices.flatMap(({ attention }) => attention)),
    ...of(LINEAR_KERNELS, ...LINEAR_VARIANTS, ...byMatrices.flatMap(({ linear }) => linear)),
  ]);
}

/** Choices that a file may hold; one preset makes about 60. */
const MOST_CHOICES = 10_000;

/** A text that a device or this program wrote: no more is meant. */
const TEXT: Allowed = { form: /^[^]{0,500}$/, words: "a string of at most 500 characters" };

const FILE = {
  fields: {
    version: whole(TUNING_VERSION, TUNING_VERSION),
    device: TEXT,
    choices: {
      each: { fields: { kernel: TEXT, kind: TEXT, sizes: { each: whole(1) }, variant: "an object", ms: { from: 0 } } },
    },
  },
} satisfies ObjectOf;

/**
 * Reads a tuning file.
 *
 * @param name of the file, for messages
 * @throws {ConfigError} where it is not one, is of another version, or names a kernel or variant that this version has not
 */
export function parseTuning(text: string, name: string): Tuning {
  expect("Cannot read the tuning", { text: [text, "a string"], name: [name, "a string"] });
  const fail = (what: string): never => {
    throw new ConfigError(`Cannot use the tuning ${name}: ${what}`);
  };
  const json = jsonOf(text, fail), version = (json as { version?: unknown } | null)?.version;
  if (version !== TUNING_VERSION) fail(`${mustBe("version", FILE.fields.version, version)}; tune again`);
  const wrong = wrongOf("it", json, FILE);
  if (wrong) fail(wrong);
  const { device, choices } = json as Tuning, known = knownVariants();
  if (choices.length > MOST_CHOICES) fail(`choices must be a list of at most ${MOST_CHOICES}, found ${choices.length}`);
  choices.forEach(({ kernel, sizes, variant }, at) => {
    const where = `choices[${at}]`, variants = known.get(kernel);
    if (!variants) return fail(`${where} is of a kernel ${shown(kernel)} that has no variants; tune again`);
    if (sizes.length === 0 || sizes.length > 8) fail(`${where}.sizes must be a list of 1 to 8, found ${shown(sizes)}`);
    if (Array.isArray(variant) || !variants.has(constants(variant as unknown as Record<string, number>))) {
      fail(`${where}.variant is none that this version has for ${kernel}, found ${shown(variant)}; tune again`);
    }
  });
  return { version: TUNING_VERSION, device, choices };
}

/** Whether a tuning file was written by a version before this one, so that it can only be measured anew. */
export function isOutdated(text: string): boolean {
  expect("Cannot read the tuning", { text: [text, "a string"] });
  try {
    const { version } = parseJson(text) as { version?: unknown };
    return typeof version === "number" && version < TUNING_VERSION;
  } catch {
    return false;
  }
}

/**
 * A tuning with what was measured later in the place of what it knew before. Of one device, whose description is the later one's.
 */
export function mergeTunings(before: Tuning | undefined, later: Tuning): Tuning {
  expect("Cannot merge the tunings", { tuning: [later, "an object"], choices: [later?.choices, "a list"] });
  const key = ({ kernel, kind, sizes }: TunedVariant) => JSON.stringify([kernel, kind, sizes]),
    problem = ({ kind, sizes }: TunedVariant) => `${kind} ${sizes}`;
  const again = new Set(later.choices.map(key));
  // Whether dk and dv are made by one kernel is part of what was measured: an older answer to it goes with the rest.
  const measured = new Set(later.choices.filter(({ kernel }) => kernel === "attention_backward_dk").map(problem));
  const stale = (choice: TunedVariant) =>
    again.has(key(choice)) || (choice.kernel === "attention_backward_dkv" && measured.has(problem(choice)));
  return { ...later, choices: [...before?.choices.filter((choice) => !stale(choice)) ?? [], ...later.choices] };
}
