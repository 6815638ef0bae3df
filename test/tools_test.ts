/**
 * The project's own tools: the layer check passes on this tree and fails on each kind of violation; the web server gives out its
 * site and nothing else.
 */

import { assertEquals } from "@std/assert";
import { checkLayers, runtimeNames } from "../tools/check_layers.ts";
import { fileBelow, serveSite } from "../tools/web.ts";

const ROOT = new URL("../", import.meta.url);

Deno.test("layers: this project's imports all go down", async () => {
  assertEquals(await checkLayers(ROOT), []);
});

/** What the check says of a small project with these files. */
async function planted(files: Record<string, string>): Promise<string[]> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    const all = {
      "deno.json": `{ "imports": { "fflate": "npm:fflate@0.8.3" } }`,
      "mod.ts": `export {};`,
      "device.ts": `export {};`,
      ...files,
    };
    for (const [path, text] of Object.entries(all)) {
      await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${folder}/${path}`, text);
    }
    return await checkLayers(new URL(`file://${folder}/`));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const GOOD = {
  "mod.ts": `export * from "./src/train.ts";`,
  "src/train.ts": `import type { E } from "./errors.ts"; export const x: E = 1;`,
  "src/errors.ts": `export type E = number;`,
  "src/wasm/engine.ts": `import "./plan.ts"; import "../ops.ts"; import "npm:fflate@0.8.3";`,
  "src/wasm/plan.ts": `export {};`,
  "src/ops.ts": `export {};`,
  "cli/main.ts": `import "../mod.ts"; import "./train.ts";`,
  "cli/train.ts": `export {};`,
};
const VIOLATIONS: [string, Record<string, string>, string[]][] = [
  ["no violation", {}, []],
  ["an import that goes up, of a type alone", { "src/errors.ts": `import type { x } from "./train.ts"; export type E = typeof x;` }, [
    "src/errors.ts imports src/train.ts: that is not in a lower layer",
  ]],
  ["a dynamic import that goes up", { "src/ops.ts": `await import("./train.ts");` }, [
    "src/ops.ts imports src/train.ts: that is not in a lower layer",
  ]],
  ["one engine importing another", { "src/wasm/plan.ts": `import "../webgpu/engine.ts";`, "src/webgpu/engine.ts": `export {};` }, [
    "src/wasm/plan.ts imports src/webgpu/engine.ts: that is not in a lower layer",
  ]],
  ["a program reaching behind mod.ts", { "cli/train.ts": `import "../src/errors.ts";` }, [
    "cli/train.ts imports src/errors.ts: cli/ sees the library through mod.ts and device.ts alone",
  ]],
  ["the library importing a program", { "src/train.ts": `import "../cli/train.ts";` }, [
    "src/train.ts imports cli/train.ts: that is not in a lower layer",
  ]],
  ["a bare specifier", { "src/ops.ts": `import "fflate";` }, [
    `src/ops.ts imports "fflate": only relative and npm: specifiers work when the project is imported by URL`,
  ]],
  ["a module of Node's in the library", { "src/ops.ts": `import "node:path";`, "cli/train.ts": `import "node:path";` }, [
    `src/ops.ts imports "node:path": only relative and npm: specifiers work when the project is imported by URL`,
  ]],
  ["a version that deno.json does not list", { "src/ops.ts": `import "npm:fflate@0.8.2";` }, [
    `src/ops.ts imports "npm:fflate@0.8.2": deno.json must list that exact version`,
  ]],
  ["no version", { "src/ops.ts": `import "npm:fflate";` }, [
    `src/ops.ts imports "npm:fflate": deno.json must list that exact version`,
  ]],
  ["a file in no layer", { "src/new.ts": `export {};` }, [
    "src/new.ts is in no layer: add it to LAYERS in tools/check_layers.ts",
  ]],
  ["a module that is not there", { "cli/train.ts": `import "./gone.ts";` }, [
    `cli/gone.ts: Module not found "cli/gone.ts".`,
  ]],
  ["Deno named in the library", { "src/ops.ts": `export {};\nexport const a = Deno.args;` }, [
    "src/ops.ts:2 names Deno or process: browsers and edge runtimes run src/",
  ]],
];
for (const [name, files, expected] of VIOLATIONS) {
  Deno.test(`layers: ${name}`, async () => assertEquals(await planted({ ...GOOD, ...files }), expected));
}

Deno.test("layers: names of a runtime count in code, not in comments", () => {
  assertEquals(runtimeNames("// Deno.args\n/* process.env\n Deno.exit() */ x;\nconst url = 'http://a'; Deno.exit();\nprocess?.exit();\n"), [
    4,
    5,
  ]);
  assertEquals(runtimeNames("globalThis['De' + 'no'];\nconst processes = 1, inDeno = processes;"), [1]);
});

Deno.test("web: no path leads out of the site", async () => {
  const outside = await Deno.makeTempDir(), folder = new URL(`file://${outside}/site/`);
  try {
    await Deno.mkdir(new URL("models/a b/", folder), { recursive: true });
    await Deno.writeTextFile(`${outside}/secret`, "secret");
    await Deno.writeTextFile(new URL("index.html", folder), "site");
    await Deno.writeTextFile(new URL("models/a b/x", folder), "model");
    const get = async (path: string) => {
      const answer = await serveSite(folder, new Request(`http://localhost${path}`));
      return [answer.status, await answer.text()];
    };
    assertEquals(await get("/"), [200, "site"]);
    assertEquals(await get("/models/a%20b/x"), [200, "model"]);
    for (
      const up of [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2Fsecret",
        "/models/..%2f..%2Fsecret",
        `/file://${outside}/secret`,
        "//secret",
        "/%00",
      ]
    ) {
      assertEquals((await get(up))[0], 404, up);
    }
    // As a client that does not resolve them sends them.
    for (const up of ["../secret", "/../secret", "models/../../secret"]) assertEquals(fileBelow(folder, up), undefined, up);
  } finally {
    await Deno.remove(outside, { recursive: true });
  }
});
