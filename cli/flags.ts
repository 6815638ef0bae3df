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
import { type Allowed, type Choices, mustBe, type TextForm, wrongOf } from "../files.ts";

/** A command line that cannot be understood, contradicts itself, or asks for what cannot be: exit code 2. */
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
  /** Which values are taken, a range of numbers or words; any text where absent. */
  readonly allowed?: Allowed;
  /** A switch that can also be turned off, by `--no-name`. */
  readonly negatable?: boolean;
  /** Whether its value may be empty. */
  readonly empty?: boolean;
  /** Whether it may be given several times, each with a value. */
  readonly many?: boolean;
  /** What others call it: who gives that name is told this one. */
  readonly alias?: readonly string[];
  /** Which flags help shows it among. */
  readonly group?: string;
}

/** Flags that help shows together. */
export const group = (name: string, flags: readonly Flag[]): Flag[] => flags.map((flag) => ({ ...flag, group: name }));

/** One command. */
export interface Command {
  readonly name: string;
  /** For people: one line. */
  readonly about: string;
  /** Arguments that are not flags, for the usage line; where the first is one of some words, those. */
  readonly operands?: { readonly name: string; readonly least: number; readonly most: number; readonly words?: readonly string[] };
  readonly flags: readonly Flag[];
  /** Lines to try, without the program's name. */
  readonly examples: readonly string[];
  /** @returns exit code */
  execute(args: Args): Promise<number>;
}

type Value = string | number | boolean | readonly string[];

/** What was given. */
export class Args {
  /** @param values by flag name, checked; only those given */
  constructor(readonly operands: readonly string[], private readonly values: ReadonlyMap<string, Value>) {}

  /** The value of a text flag. */
  text(name: string): string | undefined {
    return this.values.get(name) as string | undefined;
  }

  /** The values of a text flag that may be given several times, in their order; undefined where it was not given. */
  texts(name: string): readonly string[] | undefined {
    return this.values.get(name) as readonly string[] | undefined;
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

/** The words of a flag that takes one of some. */
export const wordsOf = ({ allowed }: Flag): readonly string[] | undefined =>
  typeof allowed === "object" && "oneOf" in allowed ? (allowed as Choices).oneOf : undefined;

/**
 * What {@linkcode make} makes of flags and of what is known to be right without them: what is wrong then is wrong with the flags.
 *
 * @throws {UsageError} in place of a {@linkcode ConfigError}
 */
export function byFlags<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw asUsage(error);
  }
}

/** What {@linkcode byFlags} makes of an error. */
export function asUsage(error: unknown): unknown {
  return error instanceof ConfigError && !(error instanceof UsageError) ? new UsageError(error.message, { cause: error }) : error;
}

/** What a flag's text stands for. */
function valueOf(flag: Flag, text: string): Value {
  const { name, allowed } = flag;
  if (!allowed) return text;
  const words = wordsOf(flag), isText = words || typeof allowed === "object" && "form" in allowed, number = Number(text);
  // Number("") is 0, and Number(" 7 ") 7.
  const value = isText || !/^[-+.\d]\S*$/.test(text) || Number.isNaN(number) ? text : number;
  if (!wrongOf("it", value, allowed)) return value;
  throw new UsageError(`Cannot use --${name}: ${mustBe("it", allowed, value)}${words ? nearest(text, words) : ""}`);
}

/** What a flag of several numbers takes. */
export const NUMBERS: TextForm = { form: /^\s*\d{1,9}\s*(,\s*\d{1,9}\s*)*$/, words: "whole numbers with commas between, as 0,256" };

/** The numbers of a flag that takes {@linkcode NUMBERS}; undefined where it was not given. */
export const numbersOf = (args: Args, flag: string): number[] | undefined => args.text(flag)?.split(",").map(Number);

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

/** The error that a flag which the command has not is answered with. */
function unknownFlag({ name, flags }: Command, arg: string): UsageError {
  const flag = /^-+([^=]*)/.exec(arg)?.[1] ?? arg, known = flags.find(({ alias }) => alias?.includes(flag))?.name;
  const names = flags.flatMap(({ name, negatable }) => negatable ? [name, `no-${name}`] : [name]);
  const hint = known ? `; it is --${known} here` : nearest(flag, names, "--");
  return new UsageError(
    `Cannot use ${excerpt(arg)}: ${name} has no such flag${hint}${flag.length === 1 ? "; flags have two dashes" : ""} ` +
      `(${name} --help lists them)`,
  );
}

/** The arguments that are no flags' values. */
function operandsOf({ name, operands }: Command, found: readonly string[]): readonly string[] {
  const { least = 0, most = 0, words } = operands ?? {}, [first] = found;
  if (found.length < least) throw new UsageError(`Cannot run ${name}: it needs ${operands!.name}, see ${name} --help`);
  if (found.length > most) {
    throw new UsageError(`Cannot use ${excerpt(found[most])}: ${name} takes ${most ? `only ${operands!.name}` : "flags only"}`);
  }
  const wrong = words && wrongOf("what follows it", first, { oneOf: words });
  if (wrong) throw new UsageError(`Cannot run ${name}: ${wrong}${nearest(first, words)}`);
  return found;
}

/**
 * Parses a command's arguments.
 *
 * @throws {UsageError} naming the flag, what is allowed, and the nearest flag where one is unknown
 */
export function parse(command: Command, argv: readonly string[]): Args {
  const switches = command.flags.filter(({ value }) => value === undefined),
    valued = command.flags.filter(({ value }) => value !== undefined);
  argv = joined(argv, valued.map(({ name }) => name));
  const parsed = parseArgs([...argv], {
    boolean: switches.map(({ name }) => name),
    string: ["_", ...valued.map(({ name }) => name)],
    collect: valued.filter(({ many }) => many).map(({ name }) => name),
    negatable: switches.filter(({ negatable }) => negatable).map(({ name }) => name),
    unknown: (arg, key) => {
      if (key !== undefined) throw unknownFlag(command, arg);
    },
  });
  const end = argv.indexOf("--"), seen = (end < 0 ? argv : argv.slice(0, end)).filter((arg) => arg.startsWith("--"));
  const values = new Map<string, Value>();
  for (const { name } of switches) {
    const given = seen.findLast((arg) => arg.split("=")[0] === `--${name}` || arg === `--no-${name}`);
    if (given?.includes("=")) throw new UsageError(`Cannot use ${excerpt(given)}: --${name} is a switch and takes no value`);
    if (given) values.set(name, given === `--${name}`);
  }
  for (const flag of valued) {
    const { name, empty, many } = flag, given = seen.filter((arg) => arg.split("=")[0] === `--${name}`), texts = [parsed[name]].flat();
    if (given.length === 0) continue;
    // `--prompt ""` is an empty prompt, `--prompt` at the end has none.
    const hasValue = given.every((arg) => arg.startsWith(`--${name}=`));
    if (texts.some((text) => typeof text !== "string" || (text === "" && !(empty && hasValue)))) {
      throw new UsageError(`Cannot use --${name}: it needs a value, --${name} ${flag.value}`);
    }
    values.set(name, many ? texts as string[] : valueOf(flag, texts[0] as string));
  }
  return new Args(operandsOf(command, parsed._.map(String)), values);
}

/** Flags in the order of help: by group, the groups in the order of their first flags. */
function grouped(flags: readonly Flag[]): [name: string, flags: Flag[]][] {
  const groups = new Map<string, Flag[]>();
  for (const flag of flags) {
    const { group = "Flags" } = flag;
    groups.set(group, [...groups.get(group) ?? [], flag]);
  }
  return [...groups];
}

/** A command's help. */
export function help(command: Command, program: string, columns: number): string {
  const { name, about, operands, flags, examples } = command, width = Math.max(60, Math.min(100, columns));
  const left = ({ name, negatable, value, many }: Flag) =>
    `--${negatable ? "[no-]" : ""}${name}${value ? ` ${value}` : ""}${many ? " …" : ""}`;
  const indent = Math.max(0, ...flags.map((flag) => left(flag).length)) + 4;
  const usage = operands ? ` ${operands.least === 0 ? `[${operands.name}]` : operands.name}` : "";
  const line = (flag: Flag) => `  ${left(flag).padEnd(indent - 2)}${wrapText(flag.about, width - indent).join("\n" + " ".repeat(indent))}`;
  return [
    `${wrapText(about, width).join("\n")}\n`,
    `Usage: ${program} ${name}${usage}${flags.length > 0 ? " [flags]" : ""}`,
    ...grouped(flags).flatMap(([name, flags]) => [`\n${name}:`, ...flags.map(line)]),
    `\nExamples:`,
    ...examples.map((line) => `  ${program} ${line}`),
  ].join("\n");
}
