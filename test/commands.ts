/**
 * The command line in processes of its own, for tests.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "../cli/main.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
export const MAIN = join(ROOT, "cli/main.ts");

/** What a command did. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Objects of `--json`. */
  readonly events: Record<string, unknown>[];
}

/** The command line as a process, not yet started. */
export function command(args: readonly string[], env: Record<string, string> = {}): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** What its output says. */
export function ran(code: number, stdout: Uint8Array, stderr: Uint8Array): Ran {
  const out = new TextDecoder().decode(stdout), err = new TextDecoder().decode(stderr);
  const events = out.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  return { code, out, err, events };
}

/** Runs a command to its end, in a process of its own. */
export async function run(...args: string[]): Promise<Ran> {
  const { code, stdout, stderr } = await command(args).output();
  return ran(code, stdout, stderr);
}

let last: Promise<unknown> = Promise.resolve();

/**
 * Runs a command to its end in this process, after those before it: what it prints goes no further than here. A process of its own takes half
 * a second of CPU to start; what is about processes, their signals, streams and ends, is about {@linkcode run}'s and {@linkcode command}'s.
 */
export function answer(...args: string[]): Promise<Ran> {
  const one = last.then(() => inThisProcess(args));
  last = one.catch(() => {});
  return one;
}

async function inThisProcess(args: readonly string[]): Promise<Ran> {
  const printed = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] }, streams = ["stdout", "stderr"] as const;
  for (const name of streams) {
    Deno[name].writeSync = (bytes) => printed[name].push(bytes.slice()) && bytes.length;
    Deno[name].isTerminal = () => false;
  }
  try {
    const code = await main(args), all = (pieces: Uint8Array[]) => new Blob(pieces as BlobPart[]).bytes();
    return ran(code, await all(printed.stdout), await all(printed.stderr));
  } finally {
    for (const name of streams) {
      for (const own of ["writeSync", "isTerminal"] as const) delete (Deno[name] as Partial<typeof Deno.stdout>)[own];
    }
  }
}

/** A readable message and no stack. */
export function failed({ code, err }: Ran, want: number, ...includes: string[]): void {
  for (const text of includes) assertStringIncludes(err, text);
  assertEquals(code, want, err);
  assert(!/\bat .*\.ts:\d+/.test(err) && !err.includes("Uncaught"), err);
}

/** Every file below a folder, with its content. */
export function files(path: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name, isDirectory } of Deno.readDirSync(path)) {
    if (isDirectory) { for (const [inner, text] of files(join(path, name))) found.set(`${name}/${inner}`, text); }
    else {
      found.set(name, new TextDecoder("latin1").decode(Deno.readFileSync(join(path, name))));
    }
  }
  return found;
}
