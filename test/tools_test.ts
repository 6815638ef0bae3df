/**
 * The project's own tools.
 *
 * Plan. The layer check passes on this tree and fails on each kind of violation planted in a small one; the web server gives out its site
 * and nothing else; what the tests need is got where it can be had, and the tests left out otherwise are named.
 */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError } from "../src/base/errors.ts";
import { checkLayers, runtimeNames } from "../tools/check_layers.ts";
import { browserPaths, type Machine, remedy, type Way, waysTo } from "../tools/set_up_tests.ts";
import { fileBelow, serveSite } from "../tools/web.ts";
import { leftOut, type Need, parseNeeds } from "./needs.ts";

const ROOT = new URL("../", import.meta.url);

Deno.test("layers: this project's imports all go down", async () => {
  assertEquals(await checkLayers(ROOT), []);
});

/** What the check says of a small project with these files. */
async function planted(files: Record<string, string>): Promise<string[]> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    const all = {
      "deno.json": `{ "exports": { ".": "./mod.ts", "./device": "./device.ts" }, "imports": { "fflate": "npm:fflate@0.8.3" } }`,
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
  "mod.ts": `export * from "./src/run/train.ts";`,
  "src/run/train.ts": `import type { E } from "../base/errors.ts"; export const x: E = 1;`,
  "src/base/errors.ts": `export type E = number;`,
  "src/engines/wasm/engine.ts": `import "./plan.ts"; import "../../ops/mod.ts"; import "npm:fflate@0.8.3";`,
  "src/engines/wasm/plan.ts": `export {};`,
  "src/ops/mod.ts": `export {};`,
  "cli/main.ts": `import "../mod.ts"; import "./commands/train.ts";`,
  "cli/commands/train.ts": `export {};`,
};
const TRAIN = "cli/commands/train.ts";
const VIOLATIONS: [string, Record<string, string>, string[]][] = [
  ["no violation", {}, []],
  ["an import that goes up, of a type alone", {
    "src/ops/mod.ts": `import type { x } from "../run/evaluate.ts"; export type E = typeof x;`,
    "src/run/evaluate.ts": `export const x = 1;`,
  }, [
    "src/ops/mod.ts imports src/run/evaluate.ts: that is not in a lower layer",
  ]],
  ["a dynamic import that goes up", { "src/ops/mod.ts": `await import("../run/train.ts");` }, [
    "src/ops/mod.ts imports src/run/train.ts: that is not in a lower layer",
  ]],
  ["one engine importing another", {
    "src/engines/wasm/plan.ts": `import "../webgpu/engine.ts";`,
    "src/engines/webgpu/engine.ts": `export {};`,
  }, [
    "src/engines/wasm/plan.ts imports src/engines/webgpu/engine.ts: that is not in a lower layer",
  ]],
  ["files of one folder in a circle", {
    "src/engines/wasm/plan.ts": `import type { Y } from "./deep/memory.ts"; export type X = Y;`,
    "src/engines/wasm/deep/memory.ts": `import type { X } from "../plan.ts"; export type Y = X | 1;`,
  }, [
    "src/engines/wasm/deep/memory.ts imports src/engines/wasm/plan.ts imports src/engines/wasm/deep/memory.ts: no files may import each other in a circle",
  ]],
  ["a program reaching behind the faces", { [TRAIN]: `import "../../src/base/errors.ts";` }, [
    `${TRAIN} imports src/base/errors.ts: cli/ sees the library through its faces alone, the modules that deno.json exports`,
  ]],
  ["the library importing a program", { "src/run/train.ts": `import "../../${TRAIN}";` }, [
    `src/run/train.ts imports ${TRAIN}: that is not in a lower layer`,
  ]],
  ["a bare specifier", { "src/ops/mod.ts": `import "fflate";` }, [
    `src/ops/mod.ts imports "fflate": only relative and npm: specifiers work when the project is imported by URL`,
  ]],
  ["a module of Node's in the library", { "src/ops/mod.ts": `import "node:path";`, [TRAIN]: `import "node:path";` }, [
    `src/ops/mod.ts imports "node:path": only relative and npm: specifiers work when the project is imported by URL`,
  ]],
  ["a version that deno.json does not list", { "src/ops/mod.ts": `import "npm:fflate@0.8.2";` }, [
    `src/ops/mod.ts imports "npm:fflate@0.8.2": deno.json must list that exact version`,
  ]],
  ["no version", { "src/ops/mod.ts": `import "npm:fflate";` }, [
    `src/ops/mod.ts imports "npm:fflate": deno.json must list that exact version`,
  ]],
  ["a loose file", { "src/new.ts": `export {};` }, [
    "src/new.ts is in no layer: move it into a folder of LAYERS in tools/check_layers.ts",
  ]],
  ["a module that is not there", { [TRAIN]: `import "./gone.ts";` }, [
    `cli/commands/gone.ts: Module not found "cli/commands/gone.ts".`,
  ]],
  ["Deno named in the library", { "src/ops/mod.ts": `export {};\nexport const a = Deno.args;` }, [
    "src/ops/mod.ts:2 names Deno or process: browsers and edge runtimes run src/",
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

/** A machine that has nothing in its way. */
const MACHINE: Machine = { os: "linux", arch: "x86_64", isRoot: true, hasApt: true, hasNpm: true, cache: "/cache", isKept: false };

Deno.test("set-up: Debian's packages as root, npm's otherwise, and what npm brought before is used first", () => {
  const cases: [Partial<Machine>, readonly Way[]][] = [
    [{}, ["debian", "npm"]],
    [{ isKept: true }, ["npm"]],
    [{ isRoot: false }, ["npm"]],
    [{ hasApt: false }, ["npm"]],
    [{ hasNpm: false }, ["debian"]],
    [{ cache: undefined }, ["debian"]],
    [{ arch: "aarch64" }, ["debian"]],
    [{ isRoot: false, hasNpm: false, isKept: true }, ["npm"]],
    [{ isRoot: false, hasNpm: false }, []],
    [{ isRoot: false, cache: undefined }, []],
    [{ isRoot: false, arch: "aarch64" }, []],
    [{ os: "darwin", hasApt: false }, []],
    [{ os: "windows", isRoot: false, hasApt: false }, []],
  ];
  for (const [machine, ways] of cases) {
    for (const need of ["gpu", "browser"] as const) {
      assertEquals(waysTo(need, { ...MACHINE, ...machine }), ways, JSON.stringify([need, machine]));
    }
  }
  for (const need of ["bun", "workerd", "bundler", "typescript"] as const) {
    assertEquals(waysTo(need, { ...MACHINE, os: "darwin" }), ["npm"]);
    assertEquals(waysTo(need, { ...MACHINE, hasNpm: false }), []);
  }
  for (const need of ["torch", "mpi"] as const) {
    assertEquals([waysTo(need, MACHINE), waysTo(need, { ...MACHINE, isRoot: false })], [["debian"], []]);
  }
});

Deno.test("set-up: what cannot be had is said with what to do", () => {
  const says = (need: Need, machine: Partial<Machine>, text: string) =>
    assertStringIncludes(remedy(need, { ...MACHINE, ...machine }), text);
  says("gpu", {}, "with the network there, or install a Vulkan driver (Debian: mesa-vulkan-drivers)");
  says("browser", { hasNpm: false }, "install Node.js with npm, or install Chromium or Chrome");
  says("gpu", { cache: undefined }, "set HOME to a folder, or install");
  says("browser", { os: "darwin", arch: "aarch64" }, "npm carries none for darwin on aarch64: install Chromium or Chrome");
  says("mpi", {}, "openmpi-bin");
  says("bun", {}, "with the network there");
  says("workerd", { hasNpm: false }, "install Node.js with npm");
});

Deno.test("set-up: a browser is the one named, or one on the path, or where the system keeps programs", () => {
  const paths = (os: Machine["os"], env: Record<string, string>) => browserPaths((name) => env[name], os);
  assertEquals(paths("linux", { LONGSTRIDE_BROWSER: "/mine", PATH: "/bin" }), ["/mine"]);
  assertEquals(paths("linux", { PATH: "/a:/b" }).slice(0, 3), ["/a/chromium-headless-shell", "/b/chromium-headless-shell", "/a/chromium"]);
  assertEquals(paths("linux", {}), []);
  assertEquals(paths("darwin", {})[0], "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome");
  assertEquals(paths("windows", {}), []);
  assertStringIncludes(paths("windows", { ProgramFiles: "C:\\Programs" })[0], "chrome.exe");
});

Deno.test("tests left out: by what the environment names, each found again in what deno test prints", () => {
  assertEquals([...parseNeeds(undefined), ...parseNeeds("")], []);
  assertEquals([...parseNeeds("gpu, browser")], ["gpu", "browser"]);
  assertThrows(() => parseNeeds("gpu,cpu"), ConfigError, "Cannot leave out tests that need cpu");
  const printed = `running 3 tests from ./test/a_test.ts
a: one (left out, without gpu) ... ignored (0ms)
a: two ... ignored (0ms)
a: three ... ok (1ms)
running 1 test from ./test/b_test.ts
b: (one) (left out, without browser bundler) ... ignored (0ms)
`;
  assertEquals([...leftOut(printed)], [["test/a_test.ts", ["a: one"]], ["test/b_test.ts", ["b: (one)"]]]);
});

Deno.test("tests left out: none fails, none is silent", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const needs = new URL("./needs.ts", import.meta.url).href;
    await Deno.writeTextFile(
      `${folder}/some_test.ts`,
      `import { needing } from "${needs}";
needing(["gpu"], "needs it", () => { throw new Error("it ran"); });
needing(["browser"], "needs another", () => {});`,
    );
    const env = { LONGSTRIDE_WITHOUT: "gpu", NO_COLOR: "1" }, args = ["test", "-A", "--no-config", "--no-check", "some_test.ts"];
    const { code, stdout } = await new Deno.Command(Deno.execPath(), { args, env, cwd: folder }).output();
    const printed = new TextDecoder().decode(stdout);
    assertEquals([code, [...leftOut(printed)]], [0, [["some_test.ts", ["needs it"]]]]);
    assertStringIncludes(printed, "1 passed");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("tools: every task says how it is called, by --help, and refuses what it does not take", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url))) as { tasks: Record<string, string> };
  const run = async (task: string, arg: string) => {
    const [, script, ...args] = /^deno run -A (\S+)(?: (\S+))?$/.exec(tasks[task])!;
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", script, ...args.filter(Boolean), arg],
      cwd: new URL("../", import.meta.url),
      env: { NO_COLOR: "1" },
    });
    const { code, stdout, stderr } = await command.output();
    return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
  };
  // Those of the command line are its tests' business.
  const names = Object.keys(tasks).filter((name) => !tasks[name].includes("cli/main.ts"));
  assert(names.includes("static") && names.includes("docs") && names.length >= 10);
  for (const name of names) {
    const { code, out } = await run(name, "--help");
    assertEquals([code, out.includes(`\nUsage: deno task ${name}`)], [0, true], `${name}: ${out}`);
    // What deno test takes, and bench/gpu.ts, is theirs to say.
    if (name === "test" || name === "bench:gpu") continue;
    const refused = await run(name, "--no-such-flag");
    assertEquals([refused.code, refused.err.includes("--no-such-flag")], [2, true], `${name}: ${refused.err}`);
  }
});
