/**
 * Samples of documents: they print what they say that they print, and the table of operations is that of the operations.
 *
 * Plan. (That every sample is right by its types and runs is `deno test --doc`'s to show.) One with a comment that begins with → is run as a
 * program of its own, and what it prints is held to its comments. Samples that ask for WebGPU need a GPU; `ts ignore` keeps these from
 * `deno test --doc`, which knows no such need, and their types are checked here.
 */

import { assert, assertEquals } from "@std/assert";
import "../src/ops/apart.gen.ts";
import "../src/ops/late.gen.ts";
import { DESCRIPTORS } from "../src/ops/mod.ts";
import { needing } from "./needs.ts";

const ROOT = new URL("../", import.meta.url);

/** The samples of a text that say what they print, and whether `deno test --doc` passes them over. */
function samples(text: string): { code: string; ignored: boolean }[] {
  return [...text.matchAll(/^```ts( ignore)?\n([\s\S]*?)^```$/gm)].map(([, ignore, code]) => ({ code, ignored: ignore !== undefined }))
    .filter(({ code }) => /\/\/ → /.test(code));
}

/** What a sample says that it prints, a line each. */
const said = (code: string) => [...code.matchAll(/\/\/ → (.*)$/gm)].map(([, line]) => line);

/** What a program prints; `check` is for those that `deno test --doc` does not check. */
async function printed(code: string, check = false): Promise<string[]> {
  const args = ["run", ...check ? ["--check"] : [], "-A", "--ext=ts", "-"], env = { NO_COLOR: "1" };
  const child = new Deno.Command(Deno.execPath(), { args, cwd: ROOT, env, stdin: "piped", stdout: "piped", stderr: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(code));
  await writer.close();
  const { code: exit, stdout, stderr } = await child.output();
  assertEquals(exit, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trimEnd().split("\n");
}

for (const name of ["building-blocks", "compression", "two-sequences", "both-ways"]) {
  const text = Deno.readTextFileSync(new URL(`docs/${name}.md`, ROOT));
  samples(text).forEach(({ code, ignored }, at) => {
    needing(/"webgpu"/.test(code) ? ["gpu"] : [], `samples: docs/${name}.md, number ${at + 1} prints what it says`, async () => {
      assertEquals(await printed(code, ignored), said(code));
    });
  });
}

Deno.test("samples: what one says is found, and held", async () => {
  const [{ code }, ...rest] = samples(
    "# A\n```ts\nconst x = 1 + 1;\nconsole.log(x); // → 2\n```\n```ts\nlet y;\n```\n```json\n// → 3\n```\n",
  );
  assertEquals(rest, []);
  assertEquals(said(code), ["2"]);
  assertEquals(await printed(code), ["2"]);
});

Deno.test("documents: the table of operations has every one with its operands", () => {
  const text = Deno.readTextFileSync(new URL("docs/building-blocks.md", ROOT));
  const rows = new Map([...text.matchAll(/^\| `(\w+)` +\|.*\| ([^|]*) \|$/gm)].map(([, op, operands]) => [op, operands.split("→")]));
  assertEquals([...rows.keys()].sort(), Object.keys(DESCRIPTORS).sort());
  for (const [op, { reads, writes }] of Object.entries(DESCRIPTORS)) {
    const [before, after] = rows.get(op)!;
    const names = (part: string) => new Set([...part.matchAll(/`(\w+)`/g)].map(([, name]) => name));
    for (const [part, operands] of [[before, reads], [after, writes]] as const) {
      for (const operand of operands) assert(names(part).has(operand.split(".")[0]), `${op} lacks ${operand}`);
    }
    for (const name of names(after)) assert((writes as readonly string[]).includes(name), `${op} does not write ${name}`);
  }
});
