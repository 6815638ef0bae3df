/**
 * What `deno task bundle` makes is a package that can be published. That it runs is runtimes_test.ts's and browser_test.ts's to show.
 *
 * Plan. It is made once; it must be small, whole and typed, with nothing in it that a strict policy or an edge runtime forbids.
 */

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import * as longstride from "../mod.ts";
import { ConfigError } from "../src/base/errors.ts";
import { kernelBytes } from "../src/base/kernels.ts";
import { bundle, compressed } from "../tools/bundle.ts";
import { failed } from "./commands.ts";
import { needing } from "./needs.ts";
import { dist, removeDist } from "./runtimes/bundle.ts";

const test = (name: string, fn: () => Promise<void>) => needing(["bundler"], `bundle: ${name}`, fn);

const text = async (name: string) => await Deno.readTextFile(new URL(name, await dist()));

test("the library is under 136 KB by gzip −9", async () => {
  const bytes = await Deno.readFile(new URL("longstride.js", await dist())), size = compressed(bytes);
  assert(size < 136_000, `${size} bytes`);
});

test("exports what mod.ts exports", async () => {
  const built = await import(new URL("longstride.js", await dist()).href);
  assertEquals(Object.keys(built).sort(), Object.keys(longstride).sort());
});

test("nothing in it that policies, edges or other runtimes forbid", async () => {
  for (const name of ["longstride.js", "longstride.worker.js", "longstride-sample.js"]) {
    const code = await text(name);
    // The element has addresses of files that it offers to save and to play; its worker is a file.
    const blobs = name === "longstride-sample.js" ? /new Worker\(\w+\.createObjectURL/ : /createObjectURL/;
    for (const forbidden of [/\beval\(/, /new Function\b/, blobs, /\bDeno\b/, /\bprocess\./, /\brequire\(/]) {
      assert(!forbidden.test(code), `${name} has ${forbidden}`);
    }
    // Only the bundle's own files are imported.
    for (const [, from] of code.matchAll(/\b(?:from|import)\s*\(?"([^"]+)"/g)) assertEquals(from, "./longstride.js");
  }
});

test("loading it fetches, compiles and starts nothing", async () => {
  const loaded = `const touched = [];
for (const name of ["fetch", "Worker", "SharedArrayBuffer"]) globalThis[name] = new Proxy(class {}, { apply() { touched.push(name) }, construct() { touched.push(name); return {} } });
for (const name of ["compile", "instantiate", "Module", "Memory"]) WebAssembly[name] = new Proxy(class {}, { apply() { touched.push(name) }, construct() { touched.push(name); return {} } });
await import(${JSON.stringify(new URL("longstride.js", await dist()).href)});
console.log(JSON.stringify(touched));`;
  const { stdout, stderr } = await new Deno.Command("node", { args: ["--input-type=module", "-e", loaded] }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  assertEquals(new TextDecoder().decode(stdout), "[]\n");
});

test("the raw kernels are those inside", async () => {
  assertEquals(await Deno.readFile(new URL("longstride.wasm", await dist())), kernelBytes());
});

test("source maps name sources, not this machine", async () => {
  for (const name of ["longstride.js", "longstride.worker.js", "longstride-sample.js"]) {
    assertStringIncludes(await text(name), `//# sourceMappingURL=${name}.map`);
    const { sources, sourcesContent } = JSON.parse(await text(`${name}.map`));
    assertEquals(sourcesContent.length, sources.length);
    for (const source of sources) {
      assertMatch(source, /^longstride:(src|web)\/[^:]+\.ts$|^longstride:mod\.ts$|^npm:(fflate|fast-png|iobuffer)\//);
    }
  }
});

/** What npm would put into the package. */
async function packed(): Promise<string[]> {
  const command = new Deno.Command("npm", { args: ["pack", "--dry-run", "--json"], cwd: await dist(), stdout: "piped", stderr: "piped" });
  const { success, stdout, stderr } = await command.output();
  assert(success, new TextDecoder().decode(stderr));
  const [{ files }]: [{ files: { path: string }[] }] = JSON.parse(new TextDecoder().decode(stdout));
  return files.map(({ path }) => path);
}

test("a well-formed package for npm", async () => {
  const manifest = JSON.parse(await text("package.json")),
    ours = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  const { name, version, license } = ours;
  assertEquals({ name: manifest.name, version: manifest.version, license: manifest.license }, { name, version, license });
  assertEquals([manifest.type, manifest.dependencies], ["module", undefined]);
  const files = await packed(),
    targets = Object.values(manifest.exports).flatMap((to) => typeof to === "string" ? to : Object.values(to as object));
  for (const target of [...targets, ...manifest.sideEffects, manifest.types, "./README.md", "./LICENSE", "./longstride.js.map"]) {
    assert(files.includes(target.replace("./", "")), `${target} is not packed`);
  }
  assertStringIncludes(await text("README.md"), `from "${name}"`);
  for (const file of files) assertMatch(file, /\.(js|js\.map|d\.ts|wasm)$|^(package\.json|README\.md|LICENSE)$/);
});

test("its types hold for those who install it", async () => {
  const at = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${at}/node_modules/@longstride`, { recursive: true });
    await new Deno.Command("cp", { args: ["-r", (await dist()).pathname, `${at}/node_modules/@longstride/longstride`] }).output();
    await Deno.writeTextFile(`${at}/package.json`, `{ "type": "module", "dependencies": { "@longstride/longstride": "*" } }`);
    await Deno.writeTextFile(`${at}/deno.json`, `{ "nodeModulesDir": "manual" }`);
    const check = async (code: string) => {
      await Deno.writeTextFile(
        `${at}/use.ts`,
        `import { openModel, type OpenedModel, useKernels } from "@longstride/longstride";\n${code}`,
      );
      const command = new Deno.Command(Deno.execPath(), { args: ["check", "--quiet", "use.ts"], cwd: at, env: { NO_COLOR: "1" } });
      return new TextDecoder().decode((await command.output()).stderr);
    };
    assertEquals(await check(`export const model: OpenedModel = await openModel("model/", { threads: 2 });\nuseKernels();\n`), "");
    assertStringIncludes(
      await check(`export const model: number = await openModel("model/");\nuseKernels();\n`),
      "'OpenedModel' is not assignable",
    );
  } finally {
    await Deno.remove(at, { recursive: true });
  }
});

Deno.test("bundle: a folder of other files is refused and left as it was", async () => {
  const folder = await Deno.makeTempDir(), file = new URL(`file://${folder}/mine.txt`);
  try {
    await Deno.writeTextFile(file, "mine");
    await assertRejects(() => bundle(new URL(`file://${folder}/`)), ConfigError, "it holds other files, and would be emptied");
    assertEquals(await Deno.readTextFile(file), "mine");
    await assertRejects(() => bundle(new URL(`${file}/`)), ConfigError, "Cannot write into");
    for (const [args, said] of [[[folder], "it holds other files"], [["--out", folder], "it takes one folder or none"]] as const) {
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", new URL("../tools/bundle.ts", import.meta.url).href, ...args],
      }).output();
      failed({ code, err: new TextDecoder().decode(stderr), out: "", events: [] }, 1, said);
    }
    assertEquals(await Deno.readTextFile(file), "mine");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("bundle: what was made is removed", removeDist);
