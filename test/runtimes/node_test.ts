/**
 * Node runs the bundle, unchanged, and finds what Deno finds.
 */

import { assertEquals } from "@std/assert";
import { bundle } from "./bundle.ts";
import { type Report, smoke } from "./smoke.ts";

Deno.test("node: the bundle trains and samples with Deno's numbers", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/smoke.mjs`, await bundle("test/runtimes/smoke.ts"));
    await Deno.writeTextFile(
      `${folder}/main.mjs`,
      `import { smoke } from "./smoke.mjs"; console.log(JSON.stringify(await smoke("wasm")));`,
    );
    const command = new Deno.Command("node", { args: [`${folder}/main.mjs`], stdout: "piped", stderr: "piped" });
    const { stdout, stderr, success } = await command.output();
    assertEquals([success, new TextDecoder().decode(stderr)], [true, ""]);
    const got: Report = JSON.parse(new TextDecoder().decode(stdout)), want = await smoke("wasm");
    assertEquals({ losses: got.losses, text: got.text }, { losses: want.losses, text: want.text });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
