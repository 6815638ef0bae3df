/**
 * `evaluate`: bits/byte of a trained model, as the paper reports them, for one or several minimum contexts.
 *
 * @module
 */

import { type Picked, Scorer, WindowScorer } from "../../mod.ts";
import { checkDataset, entropy0, type TokenArray, TokenRange } from "../../data.ts";
import { bitsPerByte, codecOf, LOSS_UNITS, mustBe, objectiveOf, whole } from "../../files.ts";
import { SAMPLE_FIELDS } from "../../ops.ts";
import { dataFor, gzipBits, type ModelData, READ_FLAGS } from "../dataset.ts";
import { distributed, DISTRIBUTED_FLAGS } from "../distributed.ts";
import { ENGINE_FLAGS, engineOf, place } from "../engine.ts";
import { type Args, asUsage, type Command, group, NUMBERS, numbersOf, UsageError } from "../flags.ts";
import { compact, duration, percent, thousands } from "../format.ts";
import { describeModel, type NamedModel, readModel } from "../model.ts";
import type { Ranks } from "../mpi/ranks.ts";
import { Report } from "../report.ts";

/** Tokens scored at once where `--batch` is not given: enough for a GPU, and some progress to see on a CPU. */
const AT_ONCE = 16384;

/** Tokens of data read by range that can be evaluated on together. */
const LIMIT = 2 ** 29;

/** Parts of a data set by name. */
const PARTS = ["held-out", "train", "test", "all"] as const;

/** What is to be scored. */
interface Task {
  readonly model: NamedModel;
  readonly data: ModelData;
  readonly part: string;
  /** The tokens of that part, as many as `--limit` leaves. */
  readonly tokens: TokenArray;
  /** The bytes that those are of. */
  readonly bytes: Uint8Array;
  readonly contexts: readonly number[];
  /** Windows at once. */
  readonly batch: number;
}

/** @throws {UsageError} where a minimum context does not fit the model, or the data has no such part */
async function taskOf(args: Args): Promise<Task> {
  const contexts = numbersOf(args, "min-context") ?? [0];
  const model = await readModel(args.operands[0]), { name, model: { config }, state } = model, { n_ctx } = config;
  const tooLong = contexts.find((context) => context >= n_ctx);
  if (tooLong !== undefined) {
    throw new UsageError(`Cannot evaluate ${name}: ${mustBe("the minimum context", whole(0, n_ctx - 1), tooLong)}`);
  }
  const data = await dataFor(args, name, state), { dataset, all, same } = data, part = args.text("part") ?? (same ? "held-out" : "all");
  if (dataset.shape) checkDataset(dataset, config);
  const found = { "held-out": dataset.heldOut, train: dataset.train, test: dataset.test, all }[part], limit = args.number("limit");
  if (!found) throw new UsageError(`Cannot evaluate on the test part of ${dataset.name}: its makers set none apart`);
  if (found instanceof TokenRange && (limit === undefined || limit > LIMIT)) {
    throw new UsageError(
      `Cannot evaluate on all ${thousands(found.length)} tokens of ${dataset.name}: they are read by range; give --limit N, at most ${
        thousands(LIMIT)
      }`,
    );
  }
  const given = found instanceof TokenRange ? await found.read(0, limit) : found;
  const codec = codecOf(model.model, "evaluate"), scored = (await codec.encode(given)).subarray(0, limit);
  const windows = Math.ceil(scored.length / n_ctx);
  const batch = args.number("batch") ?? Math.max(1, Math.min(Math.round(AT_ONCE / n_ctx), windows));
  return { model, data, part, tokens: scored, bytes: codec.decode(scored), contexts, batch };
}

/** Says what is evaluated, and answers it as JSON has it. */
function announce(report: Report, task: Task, { engine, why }: Picked): Record<string, unknown> {
  const { model: { name, model: { config }, state }, data: { dataset, same }, part, tokens, bytes, contexts, batch } = task;
  const order0 = entropy0(bytes), gzip = gzipBits(bytes), of = tokens.length;
  const facts = {
    run: name,
    step: state?.step,
    data: dataset.name,
    notices: dataset.notices,
    part,
    same,
    tokens: of,
    bytes: bytes.length,
    order0,
    gzip,
    engine: engine.name,
  };
  report.event("start", { ...facts, device: engine.description, why, minContexts: contexts, batch });
  report.fact("Model", `${describeModel(config)}${state ? `, after ${thousands(state.step)} steps` : ""}`);
  const known = same ? "" : ", not what it was trained on";
  report.fact(
    "Data",
    `${dataset.name}, ${part === "all" ? "all" : `${part} part`}: ${thousands(bytes.length)} bytes${
      of === bytes.length ? "" : `, ${thousands(of)} tokens`
    }${known}`,
  );
  report.fact("", `order-0 entropy ${order0.toFixed(3)}, gzip −9 ${gzip.toFixed(3)} bits/byte`);
  report.fact("Engine", `${engine.name}: ${engine.description} (${why})`);
  report.say("");
  return facts;
}

/** What one minimum context came to. */
interface Result {
  readonly minContext: number;
  /** Per byte. */
  readonly bits: number;
  readonly tokens: number;
  readonly seconds: number;
}

const row = (context: string, bits: string, time: string) => `${context.padStart(15)}  ${bits.padStart(9)}  ${time.padStart(8)}`;

/** The same, its errors of configuration those of the flag `--min-context`. */
async function* byFlag<T>(values: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* values;
  } catch (error) {
    throw asUsage(error);
  }
}

/** Scores with one minimum context, and reports as it goes; several processes score their windows each. */
async function score(report: Report, scorer: Scorer, task: Task, minContext: number, ranks?: Ranks): Promise<Result> {
  const { tokens: scored, bytes, data } = task, of = scored.length, begun = performance.now(), isTime = report.pace();
  let own = { bits: 0, tokens: 0 };
  // Of images a window's end must be one's.
  const scoring = byFlag(scorer.evaluate(scored, { minContext, unit: data.dataset.unit, share: ranks?.together.place }));
  for await (const now of scoring) {
    const { tokens, tokensPerSecond, secondsLeft, last } = now, bits = bitsPerByte(now.bits, of, bytes.length);
    own = now;
    if (!last && isTime()) {
      report.event("progress", { minContext, tokens, of: now.of, bits, tokensPerSecond, secondsLeft });
      report.progress([
        { text: `context ${thousands(minContext)}` },
        { text: percent(tokens / now.of) },
        { text: `${bits.toFixed(3)} bits/byte so far`, short: `${bits.toFixed(3)} so far` },
        { text: `${thousands(tokensPerSecond)} tokens/s`, short: `${compact(tokensPerSecond)}/s` },
        { text: `${duration(secondsLeft)} left` },
      ]);
    }
  }
  const { bits, tokens } = await ranks?.together.mean(own.bits, own.tokens) ?? own;
  const result = { minContext, bits: bitsPerByte(bits, of, bytes.length), tokens, seconds: (performance.now() - begun) / 1000 };
  report.event("result", result);
  report.show(row(thousands(minContext), result.bits.toFixed(4), duration(result.seconds)));
  return result;
}

/** Scores masked tokens, in a unit of their own. */
async function masked(report: Report, { model: { name, model, state }, data, part, tokens, batch }: Task, picked: Picked): Promise<void> {
  const { screen } = report, unit = LOSS_UNITS[objectiveOf(model.config)], begun = performance.now();
  const facts = { run: name, step: state?.step, data: data.dataset.name, notices: data.dataset.notices, part, same: data.same, unit };
  report.event("start", { ...facts, tokens: tokens.length, engine: picked.engine.name, device: picked.engine.description, batch });
  report.fact("Model", describeModel(model.config));
  report.fact("Data", `${data.dataset.name}, ${part === "all" ? "all" : `${part} part`}: ${thousands(tokens.length)} tokens`);
  report.fact("Engine", `${picked.engine.name}: ${picked.engine.description} (${picked.why})\n`);
  const scorer = await WindowScorer.create(picked.engine, place(picked, model), batch);
  const isTime = report.pace();
  let result = { loss: NaN, targets: 0 };
  for await (const { done, of, loss, targets } of scorer.windows(tokens)) {
    const seconds = (performance.now() - begun) / 1000, secondsLeft = seconds / done * (of - done);
    result = { loss, targets };
    if (!isTime()) continue;
    report.event("progress", { windows: done, of, loss, secondsLeft });
    report.progress([{ text: percent(done / of) }, { text: `${loss.toFixed(3)} so far` }, { text: `${duration(secondsLeft)} left` }]);
  }
  scorer.dispose();
  screen.clear();
  report.say(`${result.loss.toFixed(4)} ${unit}, of ${thousands(result.targets)} masked in ${thousands(tokens.length)}`);
  report.event("end", { ...facts, ...result, seconds: (performance.now() - begun) / 1000 });
}

/** The command. */
export const evaluate: Command = {
  name: "evaluate",
  about: "bits/byte of a trained model on held-out data, for several minimum contexts",
  operands: { name: "RUN", least: 1, most: 1 },
  flags: [
    ...group("Data", [
      { name: "data", value: "FILE", about: "what to evaluate on (default: what it was trained on, of that the held-out part)" },
      {
        name: "part",
        value: "NAME",
        allowed: { oneOf: PARTS },
        about: `${PARTS.join(", ")} (default: held-out; of data that the model was not trained on, all)`,
      },
      { name: "limit", value: "N", allowed: whole(1), about: "only the first N tokens" },
    ]),
    ...READ_FLAGS,
    ...group("Evaluation", [
      {
        name: "min-context",
        value: "N,…",
        allowed: NUMBERS,
        about: "tokens that each token has before it: windows advance by n_ctx − N; of images the first N of each do not count " +
          "(default: 0; several make a table)",
      },
      { name: "batch", value: "B", allowed: SAMPLE_FIELDS.batch, about: "windows at once (default: about 16,384 tokens)" },
    ]),
    ...group("Output", [{ name: "json", about: "one JSON object per line on stdout; the last has all results" }]),
    ...ENGINE_FLAGS,
    ...DISTRIBUTED_FLAGS,
  ],
  examples: [
    "evaluate runs/my-run",
    "evaluate runs/my-run --min-context 0,256,512,768 --json",
    "evaluate runs/my-run --data other.txt --limit 100000",
  ],
  execute: (args) => distributed(args, (ranks) => execute(args, ranks)),
};

async function execute(args: Args, ranks?: Ranks): Promise<number> {
  const isJson = args.on("json") ?? false, report = ranks?.report(isJson) ?? new Report(isJson), { screen } = report;
  const task = await taskOf(args), { model: { model }, data: { dataset }, part } = task, isNext = objectiveOf(model.config) === "next";
  if (!isNext && args.text("min-context") !== undefined) {
    throw new UsageError("Cannot use --min-context: the model fills gaps, and sees what comes before and after each");
  }
  if (!isNext && ranks) throw new UsageError("Cannot evaluate in several processes: the model does not say next tokens; start one");
  await ranks?.agree({ configuration: model.config, "data set": [dataset.name, part, task.tokens.length], flags: task.contexts });
  const picked = await engineOf(args);
  try {
    if (!isNext) {
      await masked(report, task, picked);
      return 0;
    }
    const scorer = await Scorer.create(picked.engine, place(picked, task.model.model), task.batch);
    const facts = announce(report, task, picked), results: Result[] = [];
    report.show(screen.faint(row("minimum context", "bits/byte", "time")));
    for (const minContext of task.contexts) results.push(await score(report, scorer, task, minContext, ranks));
    scorer.dispose();
    report.event("end", { ...facts, results });
  } finally {
    screen.clear();
    picked.engine.dispose();
  }
  return 0;
}
