/**
 * Which kernel variant a problem gets: what was measured on this device for the nearest problem, or a rule by the device's limits
 * and the problem's size.
 *
 * @module
 */

import { type Allowed, expect, MOST, mustBe, type ObjectOf, shown, whole, wrongOf } from "../../../base/check.ts";
import { ConfigError, excerpt, KernelError } from "../../../base/errors.ts";
import { parseJson } from "../../../base/json.ts";
import type { Attention, AttentionBackward } from "../../../ops/mod.ts";
import type { AttentionSet } from "../../../pattern/sets.ts";
import { isCheaperInOrder, mayGoInOrder, pairsOfTiles } from "../plan/attention_tables.ts";
import { isPacked, type Limits, type Plan } from "../plan/plan.ts";
import {
  ATTENTION_DEFAULTS,
  ATTENTION_KERNELS,
  ATTENTION_VARIANTS,
  attentionBytes,
  type AttentionKernel,
  type AttentionVariant,
  isSquare,
  LINEAR_DEFAULTS,
  LINEAR_KERNELS,
  LINEAR_VARIANTS,
  linearBytes,
  type LinearKernel,
  type LinearVariant,
} from "./variants.ts";

/** What a problem is to tuning: its kind, on which variants are never shared, and its sizes, of which the nearest is taken. */
export interface Problem {
  /** Such as `strided 64/64 f32`. */
  readonly kind: string;
  /** All positive. */
  readonly sizes: readonly number[];
}

/** A variant chosen for a kernel and problem. */
export interface Choice extends Problem {
  /** Kernel file. */
  readonly kernel: string;
  /** Its constants. */
  readonly variant: Readonly<Record<string, number>>;
  /** GPU milliseconds measured. */
  readonly ms: number;
}

/** Changes when variants or kinds of problems change their meaning: what was measured before is then measured again. */
export const TUNING_VERSION = 4;

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
  readonly choices: readonly Choice[];
}

/** A tuning as a file: one choice a line. */
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
  return new Map([
    ...of(ATTENTION_KERNELS, ...ATTENTION_VARIANTS, ...ATTENTION_DEFAULTS),
    ...of(LINEAR_KERNELS, ...LINEAR_VARIANTS),
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
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (error) {
    fail((error as SyntaxError).message);
  }
  const version = (json as { version?: unknown } | null)?.version;
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
  const key = ({ kernel, kind, sizes }: Choice) => JSON.stringify([kernel, kind, sizes]),
    problem = ({ kind, sizes }: Choice) => `${kind} ${sizes}`;
  const again = new Set(later.choices.map(key));
  // Whether dk and dv are made by one kernel is part of what was measured: an older answer to it goes with the rest.
  const measured = new Set(later.choices.filter(({ kernel }) => kernel === "attention_backward_dk").map(problem));
  const stale = (choice: Choice) => again.has(key(choice)) || (choice.kernel === "attention_backward_dkv" && measured.has(problem(choice)));
  return { ...later, choices: [...before?.choices.filter((choice) => !stale(choice)) ?? [], ...later.choices] };
}

const kindOfSet = (set: AttentionSet) => set.kind;
const extent = (set: AttentionSet) => Math.max(1, "l" in set ? set.l : "block" in set ? set.block : 1);

/** An attention operation as a problem. */
export function attentionProblem(op: Attention | AttentionBackward): Problem {
  const { sets, n, q, v } = op, kinds = [...new Set(sets.map(kindOfSet))].sort().join("+");
  return {
    kind: `${kinds} ${q.shape[1] / sets.length}/${v.shape[1] / sets.length} ${isPacked(q) ? "f16" : "f32"}`,
    sizes: [n, Math.max(...sets.map(extent))],
  };
}

/** A matrix product as a problem. */
export function linearProblem(rows: number, inner: number, columns: number, packed: boolean): Problem {
  return { kind: packed ? "f16" : "f32", sizes: [rows, inner, columns] };
}

// A problem whose sizes differ by more than 8 times, all factors together, is another problem: a tile that is right for 512
// positions is wrong for 12,288.
const FARTHEST = Math.log(8) + 1e-9;

// In which order attention is cheaper turns with a factor of less than 2 in n.
const NEAR = Math.log(2) + 1e-9;

function tuned(tuning: Tuning | undefined, kernel: string, { kind, sizes }: Problem, least = FARTHEST): Choice | undefined {
  let best: Choice | undefined;
  for (const choice of tuning?.choices ?? []) {
    if (choice.kernel !== kernel || choice.kind !== kind) continue;
    const distance = choice.sizes.reduce((sum, size, at) => sum + Math.abs(Math.log(size / sizes[at])), 0);
    if (distance < least) [best, least] = [choice, distance];
  }
  return best;
}

// Workgroups below which a smaller tile is taken, so that a large GPU has something to do.
const FILL = 256;

// Keys or queries at a time for sets without long rows.
const NARROW = 32;

// What a score costs dk and dv's kernel, and dq's with it, in 32 × 32 tiles, in one by 64 × 64 (H200: strided l 128 at n 12,288 1.13, l 256 at
// 65,536 1.14). Narrow bands have fewer scores in the small ones: 223 a key for 298 in the first case, 431 for 479 in the other.
const SMALL_COST = 1.13;

/** Whether a device has room for an attention variant. */
export function attentionFits(
  limits: Limits,
  kernel: AttentionKernel,
  variant: AttentionVariant,
  d4: number,
  v4: number,
): boolean {
  return attentionBytes(kernel, variant, d4, v4) <= limits.maxComputeWorkgroupStorageSize &&
    variant.TX * variant.TY <= limits.maxComputeInvocationsPerWorkgroup;
}

/** Whether queries of some set have keys without end. */
const hasLongRows = (sets: readonly AttentionSet[]): boolean => sets.some(({ kind }) => /dense|fixed|summary/.test(kind));

/** Which side of the pairs an attention kernel owns. */
export const ownerOf = (kernel: string): "query" | "key" => /forward|_dq/.test(kernel) ? "query" : "key";

/**
 * The variant of an attention kernel. Where nothing near was measured it goes through its sets in the rows' order if that is less
 * work in all and takes less time on a large GPU, and dk and dv's keeps ds for dq, which saves two products of seven.
 *
 * @throws {KernelError} where no variant fits the device
 */
export async function chooseAttention(plan: Plan, kernel: AttentionKernel, op: Attention | AttentionBackward): Promise<AttentionVariant> {
  const { limits, tiles, tuning, inOrder } = plan.context,
    { sets, n, batch } = op,
    tile = await chooseTile(plan, kernel, op),
    open = mayGoInOrder(limits, sets, n);
  if (tiles === "auto" && inOrder === undefined && tuned(tuning, kernel, attentionProblem(op), NEAR)) {
    return { ...tile, BITS: open ? tile.BITS : 0 };
  }
  let bits = open && inOrder;
  if (bits === undefined) {
    const options = { owner: ownerOf(kernel), owned: tile.TY * tile.TM, streamed: tile.TX * tile.TN };
    bits = await plan.once(JSON.stringify([sets, n, batch, options]), () => isCheaperInOrder(sets, n, batch, options));
  }
  return { ...tile, BITS: Number(bits), KEEP: Number(kernel === "attention_backward_dkv") };
}

/** Whether a tile is for more than the smallest devices; dk and dv together keep ds in square ones only. */
const isUsable = (tile: AttentionVariant, together: boolean): boolean => tile.TX === 8 && (!together || isSquare(tile));

async function chooseTile(plan: Plan, kernel: AttentionKernel, op: Attention | AttentionBackward): Promise<AttentionVariant> {
  const { limits, tiles, tuning } = plan.context, { sets, n } = op, heads = sets.length;
  const d4 = Math.ceil(op.q.shape[1] / heads / 4), v4 = Math.ceil(op.v.shape[1] / heads / 4);
  const choice = tiles === "auto" ? tuned(tuning, kernel, attentionProblem(op))?.variant as AttentionVariant | undefined : undefined;
  if (choice && attentionFits(limits, kernel, choice, d4, v4)) return choice;
  const fitting = ATTENTION_DEFAULTS.filter((tile) => attentionFits(limits, kernel, tile, d4, v4)), last = ATTENTION_DEFAULTS.at(-1)!;
  if (fitting.length === 0) {
    throw new KernelError(
      `Cannot run attention with heads of ${d4 * 4} and ${v4 * 4}: the smallest tile needs ${attentionBytes(kernel, last, d4, v4)} bytes ` +
        `of workgroup memory, the device allows ${limits.maxComputeWorkgroupStorageSize}`,
    );
  }
  if (tiles === "largest") return fitting[0];
  if (tiles === "smallest") return fitting[fitting.length - 1];
  // Narrow bands waste what tall and wide tiles have outside of them.
  const lines = heads * op.batch, together = kernel === "attention_backward_dkv", long = hasLongRows(sets);
  const usable = fitting.filter((tile) => isUsable(tile, together) && (long || together || tile.TX * tile.TN <= NARROW));
  const tile = usable.find(({ TY, TM }) => Math.ceil(n / (TY * TM)) * lines >= FILL) ?? usable.at(-1) ?? fitting[fitting.length - 1];
  const smaller = usable[usable.indexOf(tile) + 1];
  if (long || !together || !smaller) return tile;
  const scores = async ({ TY, TM }: AttentionVariant) => (TY * TM) ** 2 * await pairsOfTiles(plan, sets, n, TY * TM, false);
  return await scores(smaller) * SMALL_COST < await scores(tile) ? smaller : tile;
}

/**
 * Whether dk and dv are made by one kernel: where that was measured to be faster, and where nothing was measured, if the device has room
 * for it. With room for 32 × 32 only, long rows go apart where that is by the largest tiles: of dense at n 12,288 together 16.2 ms, by 64 × 64
 * 12.5, apart 13.9; of fixed together 4.5 and by 64 × 32, the next smaller ones, 5.0 apart (H200).
 */
export function isFused(plan: Plan, op: AttentionBackward): boolean {
  const { limits, tiles, tuning } = plan.context, problem = attentionProblem(op), heads = op.sets.length;
  if (tiles === "smallest") return false;
  if (tiles === "auto" && tuned(tuning, "attention_backward_dkv", problem)) return true;
  if (tiles === "auto" && tuned(tuning, "attention_backward_dk", problem)) return false;
  const [d4, v4] = [op.q, op.v].map((t) => Math.ceil(t.shape[1] / heads / 4));
  const fits = (kernel: AttentionKernel, tile: AttentionVariant) => attentionFits(limits, kernel, tile, d4, v4);
  const together = ATTENTION_DEFAULTS.filter((tile) => isUsable(tile, true) && fits("attention_backward_dkv", tile));
  return together.length > 1 || (together.length === 1 && !(hasLongRows(op.sets) && fits("attention_backward_dk", ATTENTION_DEFAULTS[0])));
}

/** Whether a device has room for a variant of the matrix products. */
export function linearFits(limits: Limits, variant: LinearVariant): boolean {
  return linearBytes(variant) <= limits.maxComputeWorkgroupStorageSize &&
    variant.TX * variant.TY <= limits.maxComputeInvocationsPerWorkgroup;
}

/** The variant of a matrix product whose result has rows × columns, over `splits` of the summed index at most. */
export function chooseLinear(plan: Plan, kernel: LinearKernel, problem: Problem, rows: number, columns: number, splits = 1): LinearVariant {
  const { limits, tiles, tuning } = plan.context;
  const choice = tiles === "auto" ? tuned(tuning, kernel, problem)?.variant as LinearVariant | undefined : undefined;
  if (choice && linearFits(limits, choice)) return choice;
  const fitting = LINEAR_DEFAULTS[kernel].filter((variant) => linearFits(limits, variant)), last = fitting[fitting.length - 1];
  if (tiles === "largest") return fitting[0];
  if (tiles === "smallest") return last;
  const invocations = ({ TX, TY, TM, TN }: LinearVariant) =>
    Math.ceil(rows / (TY * TM)) * Math.ceil(columns / (TX * TN)) * splits * TX * TY;
  return fitting.find((variant) => invocations(variant) >= FILL * 128) ?? last;
}
