/**
 * The tutorial as it stands: its files are written and its lines run, in a folder like a clone, trained for two steps only.
 *
 * Plan. Every line ends well; what each picture is a copy of is made by the lines before it, and is committed, small; every recipe is run by
 * a test that names it.
 */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { blocksOf, likeClone, picturesOf, runBlocks } from "../tools/tutorial.ts";

const DOCS = new URL("../docs/", import.meta.url);

/** The same lines with less work: what they make is no worse a file for it. */
const less = (lines: string) =>
  lines.replace(
    /--steps \d+/g,
    (steps, at) => lines.slice(0, at).split("\n").at(-1)!.includes("--resume") ? "--steps 3" : steps.replace(/\d+/, "2"),
  )
    .replace(/--length \d+/g, "--length 24").replace(/--batch 16/g, "--batch 2").replace(/--limit \d+/g, "--limit 1200")
    // Of the World Factbook 200,000 bytes are held out, each evaluated after both steps.
    .replace(/^deno task train (?!.*--(?:data|resume)).*$/gm, "$& --held-out 4000")
    .replace(/^deno task (?:train|sample|maps|evaluate) .*$/gm, "$& --backend wasm");

for (const page of ["README", "text", "image", "sound", "layout"]) {
  Deno.test(`tutorial: ${page}'s lines run, and make its pictures`, async () => {
    const markdown = await Deno.readTextFile(new URL(`tutorial/${page}.md`, DOCS)), folder = await likeClone();
    try {
      const printed = await runBlocks(blocksOf(markdown), folder, { change: less });
      assert(printed.length > 0);
      const pictures = picturesOf(markdown), all = [...markdown.matchAll(/\]\(([^()\s]+\.(?:svg|png|wav))/g)].map(([, to]) => to);
      assertEquals(pictures.map(({ to }) => to), all, "each picture says what it is a copy of");
      for (const { from, to } of pictures) {
        assert((await Deno.stat(join(folder, from))).isFile, from);
        const { size } = await Deno.stat(new URL(`tutorial/${to}`, DOCS));
        assert(size < 120_000, `${to} has ${size} bytes`);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("recipes: each is run by a test, and linked from their list", async () => {
  const names = [...Deno.readDirSync(new URL("recipes/", DOCS))].map(({ name }) => name.replace(".md", "")).filter((name) =>
    name !== "README"
  );
  const tests = [...Deno.readDirSync(new URL(".", import.meta.url))].filter(({ name }) => name.endsWith("_test.ts"));
  const text = (await Promise.all(tests.map(({ name }) => Deno.readTextFile(new URL(name, import.meta.url))))).join("");
  const list = await Deno.readTextFile(new URL("recipes/README.md", DOCS));
  for (const name of names) {
    assert(new RegExp(`\\b(recipe|followed)\\("${name}"`).test(text), `no test runs the recipe ${name}`);
    assert(list.includes(`(${name}.md)`), `the list has no ${name}`);
  }
});
