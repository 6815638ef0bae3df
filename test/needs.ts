/**
 * What tests need beside Deno, Node and npm. `deno task test` finds or gets it (tools/set_up_tests.ts); where it cannot, or
 * `LONGSTRIDE_WITHOUT` says so, the tests that need it are left out, which their names say.
 *
 * @module
 */

import { ConfigError } from "../src/base/errors.ts";
import type { PROGRAMS } from "./runtimes/npm.ts";

/** Something that tests may need. */
export type Need = "gpu" | "browser" | "torch" | keyof typeof PROGRAMS;

/** All of them, with what a message calls them. */
export const NEEDS: Readonly<Record<Need, string>> = {
  gpu: "a GPU",
  browser: "a browser",
  torch: "PyTorch",
  bun: "Bun",
  workerd: "workerd",
  bundler: "Rollup, Vite, webpack and React",
  typescript: "TypeScript 5.9",
  dawn: "Dawn (npm's webgpu) and a Vulkan that it takes",
};

/** Those that only concern an example, or what few have: a run without them is whole. */
export const OPTIONAL: ReadonlySet<Need> = new Set<Need>(["torch", "dawn"]);

/**
 * The needs that a list names, separated by commas, as `LONGSTRIDE_WITHOUT` does.
 *
 * @throws {ConfigError} where it names another
 */
export function parseNeeds(list: string | undefined): Set<Need> {
  const names = list?.split(",").map((name) => name.trim()).filter(Boolean) ?? [];
  for (const name of names) {
    if (!Object.hasOwn(NEEDS, name)) {
      throw new ConfigError(`Cannot leave out tests that need ${name}: LONGSTRIDE_WITHOUT may name ${Object.keys(NEEDS).join(", ")}`);
    }
  }
  return new Set(names as Need[]);
}

const WITHOUT = parseNeeds(Deno.env.get("LONGSTRIDE_WITHOUT"));

/** A test that needs these. */
export function needing(needs: readonly Need[], name: string, fn: () => void | Promise<void>): void {
  const lacking = needs.filter((need) => WITHOUT.has(need));
  Deno.test({ name: lacking.length ? `${name} (left out, without ${lacking.join(" ")})` : name, ignore: lacking.length > 0, fn });
}

/** Names of the tests that a run of `deno test` left out for want of something, by file: from what it printed. */
export function leftOut(printed: string): Map<string, string[]> {
  const names = new Map<string, string[]>();
  let file = "";
  for (const line of printed.split("\n")) {
    file = /^running \d+ tests? from (?:\.\/)?(.+)$/.exec(line)?.[1] ?? file;
    const [, name] = /^(.*) \(left out, without [\w ]+\) \.\.\. ignored\b/.exec(line) ?? [];
    if (name !== undefined) names.set(file, [...names.get(file) ?? [], name]);
  }
  return names;
}
