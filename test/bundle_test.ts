/**
 * What `deno task bundle` makes is a package that can be published. That it runs is runtimes_test.ts's and browser_test.ts's to show.
 *
 * Plan. It is made once; it must be small, whole and typed, with nothing in it that a strict policy or an edge runtime forbids.
 */

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import * as data from "../data.ts";
import * as device from "../device.ts";
import * as files from "../files.ts";
import * as longstride from "../mod.ts";
import * as ops from "../ops.ts";
import * as pictures from "../pictures.ts";
import { ConfigError } from "../src/base/errors.ts";
import { KERNELS } from "../src/base/kernels.gen.ts";
import { inflated } from "../src/base/kernels.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { engineModule } from "../src/engines/wasm/binary.ts";
import { type Declaration, declarations, tokenise } from "../src/engines/webgpu/shader/tokens.ts";
import { bundle, compressed } from "../tools/bundle.ts";
import { numbersOf } from "../tools/made.ts";
import { shrunkWgsl, WGSL_FILES } from "../tools/shrink_wgsl.ts";
import { failed } from "./commands.ts";
import { removeMade } from "./made.ts";
import { SMALL } from "./model.ts";
import { needing } from "./needs.ts";
import { closure, dist } from "./runtimes/bundle.ts";
import { modulesOf } from "./runtimes/npm.ts";

const test = (name: string, fn: () => Promise<void>) => Deno.test(`bundle: ${name}`, fn);

const text = async (name: string) => await Deno.readTextFile(new URL(name, await dist()));

/** The program for Node, which no page loads. */
const PROGRAM = "cli.js";

/** What is there for pages and other runtimes, beside declarations. */
const scripts = async () =>
  (await Array.fromAsync(Deno.readDir(await dist()), ({ name }) => name)).filter((name) => name.endsWith(".js") && name !== PROGRAM);

/** Bytes of files by gzip −9, together. */
async function weight(names: Iterable<string>): Promise<number> {
  let sum = 0;
  for (const name of names) sum += compressed(await Deno.readFile(new URL(name, await dist())));
  return sum;
}

/** What is loaded of the chunk that holds a module of the project when it is imported. */
async function loading(module: string): Promise<Set<string>> {
  const holds = async (name: string) => JSON.parse(await text(`${name}.map`)).sources.includes(`longstride:${module}`);
  for (const name of await scripts()) if (await holds(name)) return await closure(name);
  throw new Error(`no file of the bundle holds ${module}`);
}

/** What a page loads that has the element and samples, on an engine. */
const sampling = async (engine: string) =>
  (await closure("longstride-sample.js", "longstride-sample.worker.js")).union(await loading(`src/engines/${engine}/engine.ts`));

test("a page that samples loads at most 75 KB by gzip −9, on the CPU or a GPU, training adds at most 45, all is at most 252", async () => {
  const wasm = await sampling("wasm"), webgpu = await sampling("webgpu");
  // Training on a GPU has kernels more.
  const training = (await closure("longstride.js", "late.js")).difference(webgpu);
  // All of it was 159.9 KB before scores, tokenizers, int8, attention alone and the element's looks: nobody loads all of it.
  const sizes = {
    wasm: await weight(wasm),
    webgpu: await weight(webgpu),
    training: await weight(training),
    all: await weight(await scripts()),
  };
  assert(Math.max(sizes.wasm, sizes.webgpu) <= 75_000 && sizes.training <= 45_000 && sizes.all <= 252_000, JSON.stringify(sizes));
});

test("layers that few models have come with their operations: routed attention and memory tokens sample", async () => {
  const { openModel } = await import(new URL("longstride.js", await dist()).href) as typeof longstride;
  const patterns = [{ pattern: "routed", block: 2, top_k: 1, compressed: true }, { pattern: "fixed", stride: 3, memory: 1 }] as const;
  for (const attention of patterns) {
    const config = { ...SMALL, n_layer: 1, n_ctx: 8, attention } as const, model = { config, weights: initialWeights(config, 1) };
    const opened = await openModel(model, { backend: "wasm", threads: 1 });
    assertEquals((await Array.fromAsync(opened.tokens({ length: 8 }))).length, 8);
    opened.dispose();
  }
});

/** The declarations of all kernels, in pairs: as they are and as the bundle has them. */
async function kernelPairs(): Promise<[Declaration, Declaration][]> {
  const pairs: [Declaration, Declaration][] = [];
  for (const module of WGSL_FILES) {
    const { WGSL } = await import(`../src/engines/webgpu/shader/${module}`) as { WGSL: Record<string, string> };
    const made = await import(`data:text/javascript,${encodeURIComponent(await shrunkWgsl(module))}`) as { WGSL: Record<string, string> };
    assertEquals(Object.keys(made.WGSL), Object.keys(WGSL));
    for (const [file, text] of Object.entries(WGSL)) {
      const after = declarations(tokenise(made.WGSL[file], file));
      declarations(tokenise(text, file)).forEach((one, at) => pairs.push([one, after[at]]));
    }
  }
  return pairs;
}

test("its kernels are those of wgsl/ with other names, on the same lines; names that planning speaks of stay", async () => {
  const pairs = await kernelPairs(), outside = new Set(pairs.map(([{ name }]) => name));
  /** The names of what all see, and those that functions have for what is their own. */
  const names = new Map<string, string>(), own = new Map<string, string>();
  for (const [before, after] of pairs) {
    const where = `${before.tokens[0].file}: ${before.name}`, within = new Map<string, string>();
    assertEquals(after.tokens.map(({ file, line }) => `${file}:${line}`), before.tokens.map(({ file, line }) => `${file}:${line}`));
    before.tokens.forEach(({ text }, at) => {
      const short = after.tokens[at].text, isField = before.tokens[at - 1]?.text === ".";
      const isShared = before.kind !== "fn" || isField || outside.has(text), known = isShared ? names : within;
      assertEquals(known.get(text) ?? short, short, `${where}: ${text} has two names`);
      known.set(text, short);
      if (!isShared && text !== short) own.set(text, short);
      if (before.tokens[at - 2]?.text === "builtin") assertEquals(short, text);
    });
    assertEquals(new Set(within.values()).size, within.size, `${where}: two have one name`);
  }
  assertEquals(new Set(names.values()).size, names.size, "two have one name");
  // Passes look for what all see by its name, also in functions.
  assertEquals([...new Set(own.values()).intersection(new Set(names.values()))], []);
  assert([...names].filter(([name, short]) => name !== short).length > 100 && own.size > 150);
  for (const name of ["heads", "TX", "Stored", "main"]) assertEquals(names.get(name) ?? name, name);
  const builtin =
    /^(vec[234][uif]?|[uif](32|16)|bool|array|ptr|select|min|max|abs|dot|fma|sqrt|exp2?|log2?|floor|clamp|\w+Barrier|pack\w+|unpack\w+)$/;
  assertEquals([...names, ...own].filter(([name, short]) => name !== short && builtin.test(name)), [], "what WGSL has itself");
});

test("a page that samples loads no trainer, no decoder of files and one engine", async () => {
  for (const engine of ["wasm", "webgpu", "reference"]) {
    const sources: string[] = [];
    for (const name of await sampling(engine)) sources.push(...JSON.parse(await text(`${name}.map`)).sources);
    const engines = new Set(sources.flatMap((source) => /src\/engines\/(\w+)\/engine\.ts/.exec(source)?.[1] ?? []));
    assertEquals([...engines], [engine]);
    for (const not of ["src/run/train.ts", "src/model/train.ts", "src/data/png.ts", "src/data/zip.ts", "npm:"]) {
      assertEquals(sources.filter((source) => source.includes(not)), []);
    }
    assert(sources.includes("longstride:src/run/sample.ts"));
  }
});

/** The faces, by the names that the package has for them. */
const FACES = { ".": longstride, "./ops": ops, "./data": data, "./pictures": pictures, "./files": files, "./device": device };

test("each face exports what its module exports", async () => {
  const { exports } = JSON.parse(await text("package.json"));
  for (const [name, face] of Object.entries(FACES)) {
    const built = await import(new URL(exports[name].default, await dist()).href);
    assertEquals(Object.keys(built).sort(), Object.keys(face).sort());
  }
});

test("the package has every face that the project has, and the command line as a program", async () => {
  const { exports } = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  assertEquals(Object.keys(exports).filter((name) => name !== "./cli").sort(), Object.keys(FACES).sort());
  assertEquals(JSON.parse(await text("package.json")).bin, { longstride: `./${PROGRAM}` });
  // Over the modules that are there, and nothing that would have to be installed.
  for (const [, from] of (await text(PROGRAM)).matchAll(/\bfrom"([^"]+)"/g)) {
    assert(/^node:/.test(from) || (await scripts()).includes(from.replace("./", "")), `${PROGRAM} imports ${from}`);
  }
});

test("nothing in it that policies, edges or other runtimes forbid", async () => {
  const names = await scripts(), made = new Set(names.map((name) => `./${name}`));
  for (const name of names) {
    const code = await text(name);
    // The element has addresses of files that it offers to save and to play; its worker is a file.
    const blobs = /^(longstride-sample|view_\w+)\.js$/.test(name) ? /new Worker\(\w+\.createObjectURL/ : /createObjectURL/;
    for (const forbidden of [/\beval\(/, /new Function\b/, blobs, /\bDeno\b/, /\bprocess\./, /\brequire\(/]) {
      assert(!forbidden.test(code), `${name} has ${forbidden}`);
    }
    // Only the bundle's own files are imported, and named.
    for (const [, from] of code.matchAll(/(?<!["\w.])(?:from|import)\s*\(?"([\w@.\/-]+)"/g)) {
      assert(made.has(from), `${name} imports ${from}`);
    }
    for (const [, from] of code.matchAll(/new URL\("([^"]+)",import\.meta\.url\)/g)) {
      assert(made.has(from) || from.endsWith("/"), `${name} names ${from}`);
    }
  }
});

test("loading it fetches, compiles and starts nothing", async () => {
  const exports = ["longstride.js", "ops.js", "data.js", "pictures.js", "files.js", "device.js", "longstride-sample.js"];
  const loaded = `const touched = [];
for (const name of ["fetch", "Worker", "SharedArrayBuffer"]) globalThis[name] = new Proxy(class {}, { apply() { touched.push(name) }, construct() { touched.push(name); return {} } });
for (const name of ["compile", "instantiate", "Module", "Memory"]) WebAssembly[name] = new Proxy(class {}, { apply() { touched.push(name) }, construct() { touched.push(name); return {} } });
for (const name of ${JSON.stringify(exports)}) await import(new URL(name, ${JSON.stringify((await dist()).href)}));
console.log(JSON.stringify(touched));`;
  const { stdout, stderr } = await new Deno.Command("node", { args: ["--input-type=module", "-e", loaded] }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  assertEquals(new TextDecoder().decode(stdout), "[]\n");
});

test("the raw kernels have all that is inside", async () => {
  const names = (module: WebAssembly.Module) => WebAssembly.Module.exports(module).map(({ name }) => name);
  const raw = await WebAssembly.compile(await Deno.readFile(new URL("longstride.wasm", await dist())));
  const data = await WebAssembly.compile(await inflated(KERNELS)), engine = await engineModule();
  assertEquals(new Set(names(raw)), new Set([...names(data), ...names(engine)]));
  assert(names(data).length > 5 && names(engine).length > 20);
});

test("source maps name sources, not this machine", async () => {
  for (const name of await scripts()) {
    assertStringIncludes(await text(name), `//# sourceMappingURL=${name}.map`);
    const { sources, sourcesContent } = JSON.parse(await text(`${name}.map`));
    assertEquals(sourcesContent.length, sources.length);
    for (const source of sources) {
      assertMatch(source, /^longstride:(src|web)\/[^:]+\.ts$|^longstride:\w+\.ts$|^npm:fflate\//);
    }
  }
});

test("source maps say of each object that is made where", async () => {
  let count = 0;
  for (const name of await scripts()) {
    const { mappings, sourcesContent } = JSON.parse(await text(`${name}.map`)), lines = (await text(name)).split("\n");
    const sources = (sourcesContent as string[]).map((source) => source.split("\n")), at = [0, 0, 0];
    for (const [row, segments] of (mappings as string).split(";").entries()) {
      let column = 0;
      for (const [columns, ...more] of segments.split(",").map(numbersOf)) {
        column += columns;
        more.slice(0, 3).forEach((by, i) => at[i] += by);
        if (more.length === 0 || !lines[row].startsWith("new ", column)) continue;
        assertMatch(sources[at[0]][at[1]].slice(at[2]), /^new /, name);
        count++;
      }
    }
  }
  assert(count > 300, `${count} found`);
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
  // Whoever wants it installs it.
  assertEquals([Object.keys(manifest.peerDependencies), manifest.peerDependenciesMeta], [["webgpu"], { webgpu: { optional: true } }]);
  const files = await packed(),
    targets = Object.values(manifest.exports).flatMap((to) => typeof to === "string" ? to : Object.values(to as object)) as string[];
  for (const target of [...targets, ...manifest.sideEffects, manifest.types, "./README.md", "./LICENSE", "./longstride.js.map"]) {
    assert(files.includes(target.replace("./", "")), `${target} is not packed`);
  }
  assertStringIncludes(await text("README.md"), `from "${name}"`);
  for (const file of files) {
    assertMatch(file, /\.(js|js\.map|d\.ts|wasm)$|^(package\.json|README\.md|LICENSE)$|^golden\/.*\.(json|safetensors)$/);
  }
});

/** What those write who install it and are strict. */
const CONSUMER = `import { LongstrideError, openModel, type OpenedModel, pickBackend, train } from "@longstride/longstride";
import { loadDataset } from "@longstride/longstride/data";
import { memoryPlan } from "@longstride/longstride/device";
import { readModel } from "@longstride/longstride/files";
import { Program, tensor } from "@longstride/longstride/ops";
import { patternMap } from "@longstride/longstride/pictures";
import { LongstrideSample, RemoteModel } from "@longstride/longstride/sample";

export const model: OpenedModel = await openModel("model/", { threads: 2 });
export const found: LongstrideSample | null = document.querySelector("longstride-sample");
export const made: LongstrideSample = document.createElement("longstride-sample");
made.topK = 3;
export const { text } = await made.sample();
export const remote: RemoteModel = await RemoteModel.open("model/");
export async function on(device: GPUDevice) {
  return await pickBackend("webgpu", { device });
}
export { LongstrideError, loadDataset, memoryPlan, patternMap, Program, readModel, tensor, train };
`;
const JSX = `export const written = <longstride-sample src="model/" top-k={3} backend="wasm" id="writer" />;\n`;
const REACT = `import type {} from "@longstride/longstride/react";
export const written = <longstride-sample src="model/" top-k={3} onClick={() => {}} ref={(element) => void element?.sample()} />;\n`;
const WRONG = {
  "wrong.ts": `import { openModel } from "@longstride/longstride";\nexport const model: number = await openModel("model/");\n`,
  "wrong_jsx.tsx": `import type {} from "@longstride/longstride/sample";\nexport const written = <longstride-sample backend="abacus" />;\n`,
};

/** Compiles a project that has the package and these others of npm; what the compiler says. */
async function compiled(others: readonly string[], options: Record<string, unknown>, sources: Record<string, string>): Promise<string> {
  const at = await Deno.makeTempDir(), modules = await modulesOf("typescript");
  try {
    await Deno.mkdir(`${at}/node_modules/@longstride`, { recursive: true });
    await new Deno.Command("cp", { args: ["-r", (await dist()).pathname, `${at}/node_modules/@longstride/longstride`] }).output();
    for (const name of others) {
      if (name.includes("/")) await Deno.mkdir(`${at}/node_modules/${name.split("/")[0]}`, { recursive: true });
      await Deno.symlink(`${modules}/${name}`, `${at}/node_modules/${name}`);
    }
    for (const [name, text] of Object.entries(sources)) await Deno.writeTextFile(`${at}/${name}`, text);
    const compilerOptions = {
      ...{ strict: true, skipLibCheck: false, noEmit: true, target: "es2023", lib: ["es2023", "dom", "dom.iterable"], types: [] },
      ...{ module: "esnext", moduleResolution: "bundler", jsx: "preserve", exactOptionalPropertyTypes: true, ...options },
    };
    await Deno.writeTextFile(`${at}/package.json`, `{ "type": "module" }`);
    await Deno.writeTextFile(`${at}/tsconfig.json`, JSON.stringify({ compilerOptions, files: Object.keys(sources) }));
    const { stdout } = await new Deno.Command("node", { args: [`${modules}/typescript/bin/tsc`, "-p", at, "--pretty", "false"] }).output();
    return new TextDecoder().decode(stdout);
  } finally {
    await Deno.remove(at, { recursive: true });
  }
}

const typed = (name: string, fn: () => Promise<void>) => needing(["typescript"], `bundle: ${name}`, fn);

typed("its types hold for those who install it, under TypeScript 5.9, strict, libraries checked", async () => {
  assertEquals(await compiled([], {}, { "use.ts": CONSUMER, "use_jsx.tsx": JSX }), "");
});

typed("its types hold beside @webgpu/types and React's, as Node resolves modules", async () => {
  const others = ["@webgpu/types", "@types/react", "csstype"];
  const options = { module: "nodenext", moduleResolution: "nodenext", jsx: "react-jsx", types: ["@webgpu/types"] };
  assertEquals(await compiled(others, options, { "use.ts": CONSUMER, "use_react.tsx": REACT }), "");
});

typed("its types say what is wrong", async () => {
  const said = await compiled([], {}, WRONG);
  assertMatch(said, /wrong\.ts\(2,14\): error TS2322: Type 'OpenedModel' is not assignable to type 'number'/);
  assertMatch(said, /wrong_jsx\.tsx\(2,\d+\): error TS2322: .*"abacus"/);
});

Deno.test("bundle: a folder of other files is refused and left as it was", async () => {
  const folder = await Deno.makeTempDir(), file = new URL(`file://${folder}/mine.txt`);
  try {
    await Deno.writeTextFile(file, "mine");
    await assertRejects(() => bundle(new URL(`file://${folder}/`)), ConfigError, "it holds other files, and would be emptied");
    assertEquals(await Deno.readTextFile(file), "mine");
    await assertRejects(() => bundle(new URL(`${file}/`)), ConfigError, "Cannot write into");
    for (
      const [args, exit, said] of [[[folder], 1, "it holds other files"], [["--out", folder], 2, "it takes one folder or none"]] as const
    ) {
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", new URL("../tools/bundle.ts", import.meta.url).href, ...args],
      }).output();
      failed({ code, err: new TextDecoder().decode(stderr), out: "", events: [] }, exit, said);
    }
    assertEquals(await Deno.readTextFile(file), "mine");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test.afterAll(removeMade);
