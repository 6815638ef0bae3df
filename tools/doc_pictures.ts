/**
 * Makes the pictures of the documents again: runs the lines of the tutorial and copies what they make, and draws README's picture of
 * samples of the models that pages have. On the CPU, so that every machine makes the same; a quarter of an hour on two cores.
 *
 *     deno task pictures [NAME…]
 *
 * @module
 */

import { join } from "node:path";
import { program } from "./bundle.ts";
import { drawOverview } from "./doc_overview.ts";
import { blocksOf, likeClone, picturesOf, runBlocks } from "./tutorial.ts";
import { helpWhereAsked, refuse } from "./usage.ts";

const TUTORIAL = new URL("../docs/tutorial/", import.meta.url);
const PAGES = ["text", "image", "sound", "layout"];

if (import.meta.main) {
  helpWhereAsked(`Makes the pictures of the documents again, by the lines that stand in them.

Usage: deno task pictures [${["overview", ...PAGES].join("|")}]…`);
  const wrong = Deno.args.find((name) => name !== "overview" && !PAGES.includes(name));
  if (wrong !== undefined) refuse(`Cannot draw ${wrong}: the pictures are of overview, ${PAGES.join(", ")}`);
  const asked = (name: string) => Deno.args.length === 0 || Deno.args.includes(name);
  await program(async () => {
    if (asked("overview")) await Deno.writeTextFile(new URL("../overview.svg", TUTORIAL), await drawOverview());
    for (const page of PAGES.filter(asked)) {
      const markdown = await Deno.readTextFile(new URL(`${page}.md`, TUTORIAL)), folder = await likeClone();
      try {
        // Trained, sampled and drawn by the CPU's engine.
        const change = (lines: string) => lines.replace(/^(deno task (?:train|sample|maps|evaluate) .*)$/gm, "$1 --backend wasm");
        for (const printed of await runBlocks(blocksOf(markdown), folder, { change })) console.log(printed);
        for (const { from, to } of picturesOf(markdown)) await Deno.copyFile(join(folder, from), new URL(to, TUTORIAL));
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    }
  });
}
