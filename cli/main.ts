/**
 * The command line: `train`, `evaluate`, `sample`, `maps`, `layout`, `verify`, `tune`, `data`, `export`, `compress`,
 * `decompress`, `completions`.
 *
 *     deno run -A cli/main.ts train
 *     deno run -A cli/main.ts --help
 *
 * @module
 */

import { LongstrideError } from "../mod.ts";
import { excerpt } from "../data.ts";
import { compress, decompress } from "./commands/compress.ts";
import { completions } from "./commands/completions.ts";
import { data } from "./commands/data.ts";
import { exporting } from "./commands/export.ts";
import { evaluate } from "./commands/evaluate.ts";
import { layout } from "./commands/layout.ts";
import { maps } from "./commands/maps.ts";
import { sample } from "./commands/sample.ts";
import { train } from "./commands/train.ts";
import { tune } from "./commands/tune.ts";
import { verify } from "./commands/verify.ts";
import { type Command, help, nearest, parse, UsageError } from "./flags.ts";
import { program, VERSION } from "./program.ts";
import { columns, OutputError, Screen, write } from "./terminal.ts";

const WORKING: readonly Command[] = [train, evaluate, sample, maps, layout, verify, tune, data, exporting, compress, decompress];
const COMMANDS: readonly Command[] = [...WORKING, completions(WORKING)];

function overview(screen: Screen): void {
  screen.print("Longstride: Sparse Transformers, trained and sampled anywhere WebGPU or WebAssembly runs.\n");
  screen.print(`Usage: ${program()} COMMAND [flags]\n`);
  for (const { name, about } of COMMANDS) screen.print(about, `  ${name.padEnd(13)}`);
  screen.print(`\n${program()} COMMAND --help lists a command's flags.`);
}

async function execute(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv, wantsHelp = (arg: string) => arg === "--help" || arg === "-h";
  if (name === undefined || wantsHelp(name) || name === "help") {
    overview(new Screen(name === undefined ? Deno.stderr : Deno.stdout));
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "-V" || name === "version") {
    write(Deno.stdout, `longstride ${VERSION}\n`);
    return 0;
  }
  const command = COMMANDS.find((command) => command.name === name);
  if (!command) {
    const names = COMMANDS.map(({ name }) => name);
    throw new UsageError(`Cannot run ${excerpt(name)}: the commands are ${names.join(", ")}${nearest(name, names)}`);
  }
  const end = rest.indexOf("--");
  if ((end < 0 ? rest : rest.slice(0, end)).some(wantsHelp)) {
    write(Deno.stdout, help(command, program(), columns()) + "\n");
    return 0;
  }
  return await command.execute(parse(command, rest));
}

/**
 * Does what a command line asks for. Errors of ours print one message; others keep their stack.
 *
 * @returns exit code: 0, 1 where it failed, 2 where the command line cannot be understood, contradicts itself or asks for what cannot be
 */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    return await execute(argv);
  } catch (error) {
    // Whoever was reading has gone, as `head` does: nothing is wrong.
    if (error instanceof OutputError && error.isLeft) return 0;
    if (!(error instanceof LongstrideError)) throw error;
    new Screen(Deno.stderr).print(error.message);
    return error instanceof UsageError ? 2 : 1;
  }
}

if (import.meta.main) {
  // Without it Mesa, asked for an adapter, prints errors of its own about a folder that nothing here uses.
  if (Deno.build.os === "linux" && !Deno.env.get("XDG_RUNTIME_DIR")) Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
  Deno.exit(await main(Deno.args));
}
