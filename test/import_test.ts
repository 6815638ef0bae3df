/**
 * Import by URL, as README has it.
 *
 * Plan. The repository is served over http and used from an empty folder with no import map, no configuration and no flag but
 * `--allow-import` of that host; nothing may be asked for that was not granted.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import * as longstride from "../mod.ts";
import { type Report, smoke } from "./runtimes/smoke.ts";
import { serveFile } from "./runtimes/serve.ts";

const ROOT = new URL("../", import.meta.url);

/** Deno's cache of npm packages, which is the same wherever modules come from. */
async function npmCache(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"], cwd: ROOT }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).npmCache;
}

/** Runs `deno` in an empty folder, its module cache empty too, while the repository is served. */
async function elsewhere(
  files: (base: string) => Record<string, string>,
  args: (host: string) => string[],
): Promise<{ stdout: string; stderr: string; code: number }> {
  const folder = await Deno.makeTempDir(), cache = await Deno.makeTempDir();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => serveFile(ROOT, new URL(request.url).pathname),
  );
  const host = `127.0.0.1:${server.addr.port}`;
  try {
    for (const [name, text] of Object.entries(files(`http://${host}`))) await Deno.writeTextFile(`${folder}/${name}`, text);
    await Deno.symlink(await npmCache(), `${cache}/npm`);
    const command = new Deno.Command(Deno.execPath(), {
      args: args(host),
      cwd: folder,
      env: { DENO_DIR: cache, NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
    const { stdout, stderr, code } = await command.output(), decoder = new TextDecoder();
    return { stdout: decoder.decode(stdout), stderr: decoder.decode(stderr), code };
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
    await Deno.remove(cache, { recursive: true });
  }
}

/** The README's lines of use, importing from an address. */
async function readmeExample(base: string): Promise<string> {
  const [, example] = /```ts\n([\s\S]*?)```/.exec(await Deno.readTextFile(new URL("README.md", ROOT))) ?? [];
  assertStringIncludes(example, `from "./mod.ts"`);
  return example.replace(`"./mod.ts"`, `"${base}/mod.ts"`);
}

Deno.test("import by URL: the README's lines train and sample", async () => {
  const example = await readmeExample("BASE");
  const { stdout, stderr, code } = await elsewhere(
    (base) => ({ "example.ts": example.replace("BASE", base) }),
    (host) => ["run", `--allow-import=${host}`, "example.ts"],
  );
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /step 300: \d\.\d\d bits\/byte\n/);
});

Deno.test("import by URL: the WASM engine finds the numbers it finds here", async () => {
  const { stdout, stderr, code } = await elsewhere(
    (base) => ({
      "example.ts": `import * as longstride from "${base}/mod.ts"; import { smoke } from "${base}/test/runtimes/smoke.ts";
console.log(JSON.stringify(await smoke(longstride, "wasm")));`,
    }),
    (host) => ["run", `--allow-import=${host}`, "example.ts"],
  );
  assertEquals(code, 0, stderr);
  const got: Report = JSON.parse(stdout);
  assertEquals(got, await smoke(longstride, "wasm"));
});

Deno.test("import by URL: every face, with its module's example", async () => {
  const { exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))) as { exports: Record<string, string> };
  const faces = Object.values(exports).filter((path) => !path.includes("cli/")), examples: string[] = [];
  for (const face of faces) {
    const [, example] = /@example[\s\S]*?```ts\n([\s\S]*?) \* ```/.exec(await Deno.readTextFile(new URL(face, ROOT))) ?? [];
    assert(example, `${face} has an example`);
    examples.push(example.replace(/^ \* ?/gm, ""));
  }
  const { stderr, code } = await elsewhere(
    (base) => ({
      ...Object.fromEntries(examples.map((example, at) => [`example${at}.ts`, example.replaceAll(`from "./`, `from "${base}/`)])),
      "all.ts": examples.map((_, at) => `import "./example${at}.ts";\n`).join(""),
    }),
    (host) => ["run", "--check", `--allow-import=${host}`, "all.ts"],
  );
  assertEquals(code, 0, stderr);
});

Deno.test("import by URL: type checking and the command line", async () => {
  const { stdout, stderr, code } = await elsewhere(
    () => ({}),
    (host) => [
      ...["run", "--check", "-A", `http://${host}/cli/main.ts`],
      ...["layout", "--pattern", "strided", "--stride", "8", "--n", "64"],
    ],
  );
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "strided");
});
