/**
 * `evaluate`: bits/byte of a trained model, as the paper reports them, for one or several minimum contexts.
 *
 * @module
 */

import { ConfigError, Scorer } from "../../mod.ts";
import { checkDataset, entropy0, excerpt } from "../../data.ts";
import { Parameters } from "../../ops.ts";
import { describeModel, ENGINE_FLAGS, engineOf } from "../common.ts";
import { dataFor, READ_FLAGS, readTrained } from "./data.ts";
import { gzipBits, runPath } from "../files.ts";
import { type Command, UsageError } from "../flags.ts";
import { Report } from "../report.ts";
import { duration, percent, whole } from "../terminal.ts";

/** Tokens scored at once where `--batch` is not given: enough for a GPU, and some progress to see on a CPU. */
const AT_ONCE = 16384;

/** Parts of a data set by name. */
const PARTS = ["held-out", "train", "test", "all"] as const;

/**
 * Whole numbers from a list such as "0,256".
 *
 * @throws {UsageError} where it is none
 */
export function numbersOf(flag: string, text: string): number[] {
  return text.split(",").map((one) => {
    if (!/^\d{1,9}$/.test(one.trim())) {
      throw new UsageError(`Cannot use --${flag} ${excerpt(text)}: it must be whole numbers with commas between, as 0,256`);
    }
    return Number(one);
  });
}

/** The command. */
export const evaluate: Command = {
  name: "evaluate",
  about: "bits/byte of a trained model on held-out data, for several minimum contexts",
  operands: { name: "RUN", least: 1, most: 1 },
  flags: [
    { name: "data", value: "FILE", about: "what to evaluate on (default: what it was trained on, of that the held-out part)" },
    {
      name: "part",
      value: "NAME",
      kind: PARTS,
      about: `${PARTS.join(", ")} (default: held-out; of data that the model was not trained on, all)`,
    },
    ...READ_FLAGS,
    {
      name: "min-context",
      value: "N,…",
      about: "tokens that each token has before it: windows advance by n_ctx − N (default: 0; several make a table)",
    },
    { name: "limit", value: "N", kind: "whole", low: 1, about: "only the first N tokens" },
    { name: "batch", value: "B", kind: "whole", low: 1, high: 65536, about: "windows at once (default: about 16,384 tokens)" },
    ...ENGINE_FLAGS,
    { name: "json", about: "one JSON object a line on stdout; the last has all results" },
  ],
  examples: [
    "evaluate runs/my-run",
    "evaluate runs/my-run --min-context 0,256,512,768 --json",
    "evaluate runs/my-run --data other.txt --limit 100000",
  ],
  async run(args) {
    const run = runPath(args.operands[0]), report = new Report(args.on("json") ?? false), { screen } = report;
    const contexts = numbersOf("min-context", args.text("min-context") ?? "0");
    const { model: { config, weights }, state } = readTrained(run), { n_ctx } = config;
    const tooLong = contexts.find((context) => context >= n_ctx);
    if (tooLong !== undefined) {
      throw new ConfigError(`Cannot evaluate ${run}: the minimum context must be from 0 to ${n_ctx - 1}, current value is ${tooLong}`);
    }
    const { dataset, all, same } = await dataFor(args, run, state), part = args.text("part") ?? (same ? "held-out" : "all");
    if (dataset.shape) checkDataset(dataset, config);
    const tokens = { "held-out": dataset.heldOut, train: dataset.train, test: dataset.test, all }[part];
    if (!tokens) throw new ConfigError(`Cannot evaluate on the test part of ${dataset.name}: its makers set none apart`);
    const of = Math.min(args.number("limit") ?? Infinity, tokens.length), scored = tokens.subarray(0, of);
    const order0 = entropy0(scored), gzip = gzipBits(scored), params = new Parameters(config);
    const { engine, why } = await engineOf(args);
    try {
      engine.allocate(params.all);
      for (const t of params.all) engine.write(t, weights.get(t.name)!);
      const batch = args.number("batch") ?? Math.max(1, Math.min(Math.round(AT_ONCE / n_ctx), Math.ceil(of / n_ctx)));
      const scorer = await Scorer.create(engine, params, batch);
      const { notices } = dataset,
        facts = { run, step: state?.step, data: dataset.name, notices, part, same, tokens: of, order0, gzip, engine: engine.name };
      report.event("start", { ...facts, device: engine.description, why, minContexts: contexts, batch });
      const line = (name: string, fact: string) => report.say(`${screen.faint(name.padEnd(10))}${fact}`);
      line("Model", `${describeModel(config)}${state ? `, after ${whole(state.step)} steps` : ""}`);
      line(
        "Data",
        `${dataset.name}, ${part === "all" ? "all" : `${part} part`}: ${whole(of)} bytes${same ? "" : ", not what it was trained on"}`,
      );
      line("", `order-0 entropy ${order0.toFixed(3)}, gzip −9 ${gzip.toFixed(3)} bits/byte`);
      line("Engine", `${engine.name}: ${engine.description} (${why})`);
      report.say("");
      const results: { minContext: number; bits: number; tokens: number; seconds: number }[] = [];
      const row = (context: string, bits: string, time: string) => `${context.padStart(15)}  ${bits.padStart(9)}  ${time.padStart(8)}`;
      report.say(screen.faint(row("minimum context", "bits/byte", "time")));
      for (const minContext of contexts) {
        const begun = performance.now();
        let told = begun;
        for await (const now of scorer.evaluate(scored, { minContext, unit: dataset.unit })) {
          const { tokens, bits, tokensPerSecond, secondsLeft, last } = now, seconds = (performance.now() - begun) / 1000;
          if (last) {
            results.push({ minContext, bits, tokens, seconds });
            report.event("result", results.at(-1)!);
            report.say(row(whole(minContext), bits.toFixed(4), duration(seconds)));
          } else if (performance.now() - told > (screen.terminal && !report.json ? 200 : 5000)) {
            told = performance.now();
            report.event("progress", { minContext, tokens, of, bits, tokensPerSecond, secondsLeft });
            if (!report.json) {
              screen.progress(
                `context ${whole(minContext)}  ${percent(tokens / of)}  ${bits.toFixed(3)} bits/byte so far  ${
                  whole(tokensPerSecond)
                } tokens/s  ${duration(secondsLeft)} left`,
              );
            }
          }
        }
      }
      scorer.dispose();
      report.event("end", { ...facts, results });
    } finally {
      screen.clear();
      engine.dispose();
    }
    return 0;
  },
};
