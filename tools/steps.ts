/**
 * Tasks that are several commands, one after another; the first that fails ends them.
 *
 *     deno run -A tools/steps.ts TASK
 *
 * It imports nothing from a registry: `static` checks that first.
 *
 * @module
 */

import { faces } from "./faces.ts";
import { helpWhereAsked, refuse } from "./usage.ts";

const ROOT = new URL("../", import.meta.url);

const FACES = faces();

interface Task {
  /** For people. */
  readonly about: string;
  /** Arguments of deno. */
  readonly steps: readonly (readonly string[])[];
  /** What arguments there may be, all of them or for people; they are handed on to each step. */
  readonly takes?: readonly string[] | string;
}

const WORKER = "src/engines/wasm/worker.ts";
const bench = (...args: string[]) => ["run", "-A", ...args];

const TASKS: Readonly<Record<string, Task>> = {
  check: {
    about: "Checks types: of everything as Deno's code, of the library and web/ as a browser's, of the command line as Node's as well.",
    steps: [
      ["check", ...FACES, WORKER, "cli", "test", "bench", "tools"],
      ["check", "--config", "web/browser.json", ...FACES, WORKER, "web"],
      ["check", "--config", "cli/node.json", "cli/main.ts"],
    ],
  },
  static: {
    about: "All checks but the tests: the lockfile, format, lint, types, documentation, layers, generated files, what would be published.",
    steps: [
      ["ci"],
      ["fmt", "--check"],
      ["lint"],
      ["task", "check"],
      ["doc", "--lint", ...FACES],
      ["run", "-A", "tools/check_layers.ts"],
      ["task", "gen", "--check"],
      ["publish", "--dry-run", "--allow-dirty", "--quiet"],
    ],
  },
  ok: { about: "Everything that CI runs: deno task static, then deno task test.", steps: [["task", "static"], ["task", "test"]] },
  bench: {
    about: "Speed on the CPU, as ratios to something else in the same run.",
    takes: ["--quick", "--json"],
    steps: ["matmul", "elementwise", "attention", "train_step", "decode", "mulaw"].map((name) => bench(`bench/${name}.ts`)),
  },
  "bench:gpu": {
    about: "Speed on the GPU, as ratios to something else in the same run; bench/gpu.ts says what its flags are.",
    takes: "[--only WORK,…] [--tuning FILE] [--quick] …",
    steps: [bench("bench/decode.ts", "--gpu"), bench("bench/gpu.ts")],
  },
};

const [name, ...args] = Deno.args, task = TASKS[name];
if (!task) refuse(`Cannot run ${name}: the tasks of steps are ${Object.keys(TASKS).join(", ")}`);
const { takes = [] } = task, usage = typeof takes === "string" ? takes : takes.map((flag) => `[${flag}]`).join(" ");
const commands = task.steps.map((step) => `  deno ${step.join(" ")}`);
helpWhereAsked(
  `${task.about}\n\nUsage: deno task ${name} ${usage}`.trimEnd() + `\n\nIt runs, in this order:\n${commands.join("\n")}`,
  args,
);
const unknown = typeof takes === "string" ? undefined : args.find((arg) => !takes.includes(arg));
if (unknown !== undefined) refuse(`Cannot use ${unknown}: deno task ${name} takes ${takes.length > 0 ? usage : "no arguments"}`);
for (const step of task.steps) {
  const { code } = await new Deno.Command(Deno.execPath(), { args: [...step, ...args], cwd: ROOT }).spawn().status;
  if (code !== 0) Deno.exit(code);
}
