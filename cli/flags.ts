/**
 * Flags: declared as data, parsed strictly, printed as help.
 *
 * @module
 */

import { parseArgs } from "npm:deno-std@1.4.0/cli/parse_args.js";
import { closestString } from "npm:deno-std@1.4.0/text/closest_string.js";
import { levenshteinDistance } from "npm:deno-std@1.4.0/text/levenshtein_distance.js";
import { ConfigError } from "../mod.ts";
import { excerpt, wrapText } from "../data.ts";

/** A command line that cannot be understood: exit code 2. */
export class UsageError extends ConfigError {
  override name = "UsageError";
}

/** One flag. */
export interface Flag {
  /** Without dashes. */
  readonly name: string;
  /** What the value is called in help; absent for a switch. */
  readonly value?: string;
  /** For people: what it does, and its default. */
  readonly about: string;
  /** Which values are taken: any text where absent. Numbers may be bounded. */
  readonly kind?: "whole" | "number" | readonly string[];
  /** Smallest number. */
  readonly low?: number;
  /** Largest number. */
  readonly high?: number;
  /** A switch that can also be turned off, by `--no-name`. */
  readonly negatable?: boolean;
  /** Whether its value may be empty. */
  readonly empty?: boolean;
  /** What others call it: who gives that name is told this one. */
  readonly alias?: readonly string[];
}

/** One command. */
export interface Command {
  readonly name: string;
  /** For people: one line. */
  readonly about: string;
  /** Arguments that are not flags, for the usage line. */
  readonly operands?: { readonly name: string; readonly least: number; readonly most: number };
  readonly flags: readonly Flag[];
  /** Lines to try, without the program's name. */
  readonly examples: readonly string[];
  /** @returns exit code */
  run(args: Args): Promise<number>;
}

/** What was given. */
export class Args {
  /** @param values by flag name, checked; only those given */
  constructor(readonly operands: readonly string[], private readonly values: ReadonlyMap<string, string | number | boolean>) {}

  /** The value of a text flag. */
  text(name: string): string | undefined {
    return this.values.get(name) as string | undefined;
  }

  /** The value of a number flag. */
  number(name: string): number | undefined {
    return this.values.get(name) as number | undefined;
  }

  /** Whether a switch is on; undefined where it was not given. */
  on(name: string): boolean | undefined {
    return this.values.get(name) as boolean | undefined;
  }

  /** Names of the flags given, among those. */
  given(names: readonly string[]): string[] {
    return names.filter((name) => this.values.has(name));
  }
}

/** The nearest of some words, as a hint, where one is near. */
export function nearest(word: string, words: readonly string[], dashes = ""): string {
  const found = closestString(word, words), distance = levenshteinDistance(word, found);
  return distance <= Math.max(1, Math.floor(found.length / 2)) ? `; did you mean ${dashes}${found}?` : "";
}

function numberOf(flag: Flag, text: string): number {
  const { name, kind, low = -Infinity, high = Infinity } = flag, value = Number(text);
  const what = kind === "whole" ? "a whole number" : "a number";
  const bounds = low > -Infinity && high < Infinity ? ` from ${low} to ${high}` : low > -Infinity ? ` from ${low}` : "";
  // Number("") is 0, and Number(" 7 ") 7.
  if (
    !/^[-+.\d]\S*$/.test(text) || !Number.isFinite(value) || (kind === "whole" && !Number.isSafeInteger(value)) || value < low ||
    value > high
  ) {
    throw new UsageError(`Cannot use --${name} ${excerpt(text)}: it must be ${what}${bounds}`);
  }
  return value;
}

/** `--name value` as `--name=value`, so that a value may begin with a dash, as in --lr -1; another flag is no value. */
function joined(argv: readonly string[], names: readonly string[]): string[] {
  const made: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    if (argv[at] === "--") return [...made, ...argv.slice(at)];
    const takes = names.includes(argv[at].slice(2)) && argv[at].startsWith("--") && at + 1 < argv.length && !argv[at + 1].startsWith("--");
    made.push(takes ? `${argv[at]}=${argv[++at]}` : argv[at]);
  }
  return made;
}

/**
 * Parses a command's arguments.
 *
 * @throws {UsageError} naming the flag, what is allowed, and the nearest flag where one is unknown
 */
export function parse(command: Command, argv: readonly string[]): Args {
  const switches = command.flags.filter(({ value }) => value === undefined),
    valued = command.flags.filter(({ value }) => value !== undefined);
  const names = command.flags.flatMap(({ name, negatable }) => negatable ? [name, `no-${name}`] : [name]);
  argv = joined(argv, valued.map(({ name }) => name));
  const parsed = parseArgs([...argv], {
    boolean: switches.map(({ name }) => name),
    string: ["_", ...valued.map(({ name }) => name)],
    negatable: switches.filter(({ negatable }) => negatable).map(({ name }) => name),
    unknown: (arg, key) => {
      if (key === undefined) return;
      const flag = /^-+([^=]*)/.exec(arg)?.[1] ?? arg, known = command.flags.find(({ alias }) => alias?.includes(flag))?.name;
      throw new UsageError(
        `Cannot use ${excerpt(arg)}: ${command.name} has no such flag${known ? `; it is --${known} here` : nearest(flag, names, "--")}${
          flag.length === 1 ? "; flags have two dashes" : ""
        } (${command.name} --help lists them)`,
      );
    },
  });
  const end = argv.indexOf("--"), seen = (end < 0 ? argv : argv.slice(0, end)).filter((arg) => arg.startsWith("--"));
  const values = new Map<string, string | number | boolean>();
  for (const { name } of switches) {
    const given = seen.findLast((arg) => arg.split("=")[0] === `--${name}` || arg === `--no-${name}`);
    if (given?.includes("=")) throw new UsageError(`Cannot use ${excerpt(given)}: --${name} is a switch and takes no value`);
    if (given) values.set(name, given === `--${name}`);
  }
  for (const flag of valued) {
    const { name, kind, empty } = flag, value = parsed[name];
    if (!seen.some((arg) => arg.split("=")[0] === `--${name}`)) continue;
    // `--prompt ""` is an empty prompt, `--prompt` at the end has none.
    const hasValue = seen.some((arg) => arg.startsWith(`--${name}=`));
    if (typeof value !== "string" || (value === "" && !(empty && hasValue))) {
      throw new UsageError(`Cannot use --${name}: it needs a value, --${name} ${flag.value}`);
    }
    if (kind === "whole" || kind === "number") values.set(name, numberOf(flag, value));
    else {
      if (kind && !kind.includes(value)) {
        throw new UsageError(`Cannot use --${name} ${excerpt(value)}: it must be one of ${kind.join(", ")}${nearest(value, kind)}`);
      }
      values.set(name, value);
    }
  }
  const { operands } = command, found = parsed._.map(String);
  if (found.length < (operands?.least ?? 0)) {
    throw new UsageError(`Cannot run ${command.name}: it needs ${operands!.name}, see ${command.name} --help`);
  }
  if (found.length > (operands?.most ?? 0)) {
    throw new UsageError(
      `Cannot use ${excerpt(found[operands?.most ?? 0])}: ${command.name} takes ${operands?.most ? `only ${operands.name}` : "flags only"}`,
    );
  }
  return new Args(found, values);
}

/** A command's help. */
export function help(command: Command, program: string, columns: number): string {
  const { name, about, operands, flags, examples } = command, width = Math.max(60, Math.min(100, columns));
  const left = flags.map((flag) => `--${flag.negatable ? "[no-]" : ""}${flag.name}${flag.value ? ` ${flag.value}` : ""}`);
  const indent = Math.max(...left.map((text) => text.length)) + 4;
  const usage = operands ? ` ${operands.least === 0 ? `[${operands.name}]` : operands.name}` : "";
  return [
    `${about}\n`,
    `Usage: ${program} ${name}${usage} [flags]\n`,
    ...flags.map((flag, at) => `  ${left[at].padEnd(indent - 2)}${wrapText(flag.about, width - indent).join("\n" + " ".repeat(indent))}`),
    `\nExamples:`,
    ...examples.map((line) => `  ${program} ${line}`),
  ].join("\n");
}
