/**
 * What is known of a run before its first step, and saying it.
 *
 * @module
 */

import type { ModelConfig, Picked } from "../mod.ts";
import {
  type DataIdentity,
  type DataKind,
  type Dataset,
  entropy0,
  type TokenArray,
  type Tokenizer,
  type TokenRange,
  type TokenSource,
} from "../data.ts";
import { type MemoryPlan, memoryPlan } from "../device.ts";
import { LOSS_UNITS, objectiveOf, type PhaseAt, phasesOf, stepsPerEpoch, type TokenParts } from "../files.ts";
import { checkReach, describeAttention, factorsOf, rowsIn, scheduleOf } from "../ops.ts";
import { describeData, gzipBits } from "./dataset.ts";
import { bytes, thousands } from "./format.ts";
import { describeModel } from "./model.ts";
import type { Ranks } from "./mpi/ranks.ts";
import type { Report } from "./report.ts";
import type { RunSetup } from "./run_setup.ts";

/** What a token is called. */
const UNITS: Readonly<Record<DataKind, string>> = { text: "bytes", bytes: "bytes", image: "bytes of pixels", audio: "frames" };

/** A run, and the data that it trains on. */
export interface Prepared {
  readonly setup: RunSetup;
  readonly dataset: Dataset<TokenSource>;
  /** What tokens stand for, where they are not bytes. */
  readonly tokenizer?: Tokenizer;
  /** The data as tokens. */
  readonly tokens: TokenParts<TokenArray | TokenRange>;
  readonly identity: DataIdentity;
}

/** What simple codes reach on the held-out part, in bits per byte. */
interface Baselines {
  readonly order0: number;
  readonly gzip: number;
}

/** What a phase of a run sees. */
export function describePhase({ config, batch, end, index, of }: PhaseAt, model: ModelConfig): string {
  const attention = config.attention === model.attention ? "" : `, ${describeAttention(config.attention)}`;
  const until = index === of - 1 ? "to the end" : `until step ${thousands(end)}`;
  return `${batch} × ${thousands(config.n_ctx)}${attention} ${until}`;
}

/** How far layers bring positions to others: how many of them it takes, or a pair that all together do not. */
interface Reached {
  readonly layers?: number;
  readonly unreached?: { readonly query: number; readonly key: number };
}

async function reachOf({ attention, n_ctx, n_layer, n_head }: ModelConfig): Promise<Reached> {
  const schedule = scheduleOf(attention, { n: n_ctx, layers: n_layer, heads: n_head });
  const { layersNeeded, starts } = await checkReach(schedule, rowsIn(attention, n_ctx), factorsOf(attention));
  if (layersNeeded !== undefined) return { layers: layersNeeded };
  const [query, key] = starts.find(({ examples }) => examples.length > 0)!.examples[0];
  return { unreached: { query, key } };
}

/** What is known of a run before its first step. */
export interface Facts extends Prepared, Picked, Baselines {
  readonly reach: Reached;
  readonly memory: MemoryPlan;
  /** The same with recomputation if the run is without, without if it has it. */
  readonly other: MemoryPlan;
  /** Steps in which as many tokens are seen as the data has. */
  readonly epoch: number;
}

/** Finds them, which takes no engine's time. */
export async function factsOf(prepared: Prepared, picked: Picked): Promise<Facts> {
  const { setup: { config, train: asked }, dataset, tokens } = prepared;
  // The other engines keep all tensors in f32, whatever is asked for.
  const train = picked.engine.name === "webgpu" ? asked : { ...asked, precision: "f32" as const };
  return {
    ...prepared,
    ...picked,
    order0: entropy0(dataset.heldOut),
    gzip: gzipBits(dataset.heldOut),
    reach: await reachOf(config),
    memory: memoryPlan(config, train),
    other: memoryPlan(config, { ...train, recompute: !train.recompute }),
    epoch: stepsPerEpoch(config, train, tokens.train.length),
  };
}

/** A tokenizer in a line, with what it does to the data. */
function describeTokens({ size }: Tokenizer, { train, heldOut, perByte }: TokenParts<TokenArray | TokenRange>): string {
  return `${thousands(size)}, of ${(1 / perByte.train).toFixed(2)} bytes on average: ${thousands(train.length)} to train on, ${
    thousands(heldOut.length)
  } held out`;
}

/** What each line at the beginning says, by its name. */
function factLines(facts: Facts): [string, string][] {
  const { setup, dataset, tokenizer, tokens, identity, engine, why, order0, gzip, reach: { unreached }, memory, other, epoch } = facts;
  const { config, train, path } = setup, phases = phasesOf(config, train);
  const optimizer = train.optimizer === "muon" ? `muon ${train.muon_lr}, adamw` : "adamw";
  const seen = `${thousands(train.batch * train.accumulate * config.n_ctx)} ${tokenizer ? "tokens" : UNITS[dataset.kind]}`;
  const without = `--${train.recompute ? "no-" : ""}recompute`;
  return [
    ["Data", describeData(dataset, identity.source?.valid)],
    objectiveOf(config) === "next"
      ? ["Held out", `order-0 entropy ${order0.toFixed(3)}, gzip −9 ${gzip.toFixed(3)} bits/byte`]
      : ["Objective", `${objectiveOf(config)}: losses are ${LOSS_UNITS[objectiveOf(config)]}`],
    ...tokenizer ? [["Tokens", describeTokens(tokenizer, tokens)] as [string, string]] : [],
    ["Model", describeModel(config)],
    ...unreached
      ? [[
        "Reach",
        `these layers together never bring some positions to others (such as ${unreached.key} to ${unreached.query}); layout shows which`,
      ] as [string, string]]
      : [],
    [
      "Training",
      `${thousands(train.steps)} steps of ${seen}, ${optimizer} ${train.lr} after ${
        thousands(train.warmup)
      } steps, ${train.schedule}, seed ${train.seed}; one epoch is ${thousands(epoch)} steps${
        train.windows === "shuffled" ? ", each of whose windows is seen once" : ""
      }`,
    ],
    ...phases.length > 1 ? [["Phases", phases.map((phase) => describePhase(phase, config)).join("; ")] as [string, string]] : [],
    [
      "Memory",
      `${bytes(memory.state)} weights, gradients and moments; ${bytes(memory.activations)} activations (${
        bytes(other.activations)
      } with ${without})`,
    ],
    ["Engine", `${engine.name}: ${engine.description} (${why})`],
    ...train.precision === "f16" && engine.name !== "webgpu"
      ? [
        ["Precision", `f32: the ${engine.name} engine keeps activations in it; f16, which was asked for, is stored on a GPU alone`] as [
          string,
          string,
        ],
      ]
      : [],
    ["Run", path],
  ];
}

/** Says what is about to be trained. */
export function announce(report: Report, facts: Facts, ranks?: Ranks): void {
  const { setup, dataset, tokenizer, tokens, identity, engine, why, order0, gzip, reach, memory, epoch } = facts,
    { config, train, path, from, changes } = setup;
  if (from) report.say(report.screen.bold(`Resuming ${path} after step ${thousands(from.step)} of ${thousands(train.steps)}`));
  for (const [name, fact] of factLines(facts)) report.fact(name, fact);
  if (ranks) report.fact("Processes", ranks.description);
  if (changes.length > 0) report.say(`Changed since: ${changes.join(", ")}; from here on this is another run than the one that began.`);
  report.say("");
  if (from && from.engine !== engine.name) {
    report.say(`The run was trained on ${from.engine} so far; on ${engine.name} it goes on, but not bit for bit.\n`);
  } else if (from && engine.name === "reference") {
    report.say(`The reference engine computes in 64 bits and a checkpoint has 32: the run goes on, but not bit for bit.\n`);
  }
  const bitExact = from?.engine === engine.name && engine.name !== "reference" && changes.length === 0;
  report.event("start", {
    run: path,
    step: from?.step ?? 0,
    config,
    train,
    data: identity,
    levels: dataset.levels,
    notices: dataset.notices,
    ...objectiveOf(config) === "next" ? { order0, gzip } : { unit: LOSS_UNITS[objectiveOf(config)] },
    reach,
    stepsPerEpoch: epoch,
    ...tokenizer && { tokens: { vocabulary: tokenizer.size, train: tokens.train.length, heldOut: tokens.heldOut.length } },
    memory,
    precision: engine.name === "webgpu" ? train.precision : "f32",
    engine: engine.name,
    device: engine.description,
    why,
    ...ranks && { processes: { count: ranks.together.size, wire: ranks.together.wire } },
    ...from ? { before: from.engine, bitExact, changes } : {},
  });
}
