/**
 * Makes `dist/`: the library as ES modules, one per face, and around them a package for npm.
 *
 *     deno task bundle [FOLDER]
 *
 * |                               |                                                                                     |
 * | ----------------------------- | ----------------------------------------------------------------------------------- |
 * | `longstride.js`               | `mod.ts`; `ops.js`, `data.js`, `pictures.js`, `files.js`, `device.js` the other faces |
 * | `longstride-sample.js`        | the page element, which starts `longstride-sample.worker.js`                        |
 * | `longstride.worker.js`        | what the CPU engine's threads run, for pages: a policy may forbid anything but files |
 * | `cli.js`                      | the command line for Node, over the modules; npm links it as `longstride`           |
 * | `golden/`                     | what `verify` compares with                                                         |
 * | `longstride.wasm`             | the kernels that the modules carry inside, for runtimes that compile no bytes       |
 * | `chunk-*.js` `engine-*.js`    | what several of them share; an engine, loaded when it is picked                     |
 * | `types/`                      | declarations; a source map lies beside each module                                  |
 *
 * @module
 */

import * as esbuild from "esbuild";
import { minify } from "terser";
import { basename, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { ConfigError, LongstrideError } from "../mod.ts";
import { writeDeclarations } from "./declarations.ts";
import { deno } from "./deno.ts";
import { shrunkWgsl, WGSL_MODULES } from "./shrink_wgsl.ts";
import { type Made, replaced, withoutHandingOn } from "./made.ts";
import { helpWhereAsked, refuse } from "./usage.ts";

const ROOT = new URL("../", import.meta.url);

/** The faces and what each is bundled into. */
const FACES: Readonly<Record<string, string>> = {
  "longstride": "mod.ts",
  "ops": "ops.ts",
  "data": "data.ts",
  "pictures": "pictures.ts",
  "files": "files.ts",
  "device": "device.ts",
};

/** The page element. */
const ELEMENT = "web/longstride_sample.ts";

/** All that is bundled together, and so shares chunks. */
const ENTRIES: Readonly<Record<string, string>> = {
  ...FACES,
  "longstride-sample": ELEMENT,
  "longstride-sample.worker": "web/sample_worker.ts",
};

/** Alone, and so in one file: it is what a page puts onto its own origin where the library comes from another. */
export const THREADS: Readonly<Record<string, string>> = { "longstride.worker": "src/engines/wasm/worker.ts" };

/** An import of what a runtime has of its own, as `src/base/runtime_files.ts` writes it; what makes other bundlers leave it esbuild drops. */
const RUNTIME_IMPORT = /import\((?=\[")/g, LEFT_ALONE = "/* @vite-ignore */ /* webpackIgnore: true */";

/** Files that are named, not imported: workers, golden ones, and what each becomes. */
const NAMED: Readonly<Record<string, string>> = {
  "./worker.ts": "./longstride.worker.js",
  "./sample_worker.ts": "./longstride-sample.worker.js",
  "./train_worker.ts": "./train_worker.js",
  // Nobody gets there but in Deno, which runs the sources.
  "./summer_worker.ts": "./summer_worker.js",
  "../../test/golden/": "./golden/",
  "main.ts": "cli.js",
};

/** Such a name as it stands in what was bundled. */
const NAMES = new RegExp(`"(${Object.keys(NAMED).map((name) => name.replaceAll(".", "\\.")).join("|")})"`, "g");

/**
 * Modules that import another for no other reason than that all which those have in common is one chunk. Left to itself, esbuild makes a
 * chunk of every file, or few, that another set of entries shares: 61, which compress by 7 KB less than these do.
 */
const TOGETHER: readonly { readonly modules: readonly string[]; readonly of: readonly string[] }[] = [
  // What samples.
  {
    modules: ["src/run/open.ts"],
    of: [
      ...["mod.ts", "ops.ts", "data.ts", "pictures.ts", "files.ts", "device.ts"],
      ...["sample_worker.ts", "train_worker.ts", "run_zip.ts", "inspect.ts", "view_sound.ts"].map((path) => `web/${path}`),
      ...[
        "reference/engine.ts",
        "wasm/engine.ts",
        "wasm/binary.ts",
        "webgpu/engine.ts",
        "webgpu/plan/late.gen.ts",
        "webgpu/plan/apart.gen.ts",
        "webgpu/adopt.ts",
        "webgpu/given.ts",
        "webgpu/dawn.ts",
        "webgpu/matrices.ts",
        "wasm/node_workers.ts",
      ].map((path) => `src/engines/${path}`),
      // What the model loads when it is asked for.
      ...[
        "src/files/generation_file.ts",
        "src/base/runtime_files.ts",
        "src/data/stop.ts",
        "src/data/tokenizer.ts",
        "src/run/passes.ts",
        "src/run/decode_memory.ts",
        "src/pattern/check_set.ts",
        "src/model/routed.ts",
        "src/engines/wasm/lower/apart.gen.ts",
      ],
    ],
  },
  // What trains.
  { modules: ["src/run/train.ts"], of: ["mod.ts", "ops.ts", "device.ts"] },
  // Images and sound.
  { modules: ["src/data/wav.ts", "src/data/dataset.ts", "src/data/identity.ts"], of: ["pictures.ts"] },
  // What a page loads once it opens a zip.
  { modules: ["data.ts", "files.ts"], of: ["web/run_zip.ts"] },
  // What looks into a model.
  { modules: ["src/run/evaluate.ts", "src/run/maps.ts"], of: ["mod.ts", "pictures.ts", "web/inspect.ts"] },
  { modules: ["src/run/hidden.ts"], of: ["src/run/evaluate.ts"] },
  // What an element or nearly every face has of it.
  { modules: ["web/view.ts", "src/data/sound.ts", "src/base/buffers.ts"], of: ["src/base/check.ts"] },
  {
    modules: ["src/base/digest.ts", "src/data/crc32.ts", "src/data/token_range.ts", "src/files/train_config.ts"],
    of: ["mod.ts", "ops.ts", "data.ts", "pictures.ts", "files.ts", "device.ts"],
  },
  // What is tuned, and what comes to an engine that is there.
  {
    modules: ["src/engines/webgpu/engine.ts"],
    of: [
      ...[
        "device.ts",
        "src/engines/webgpu/plan/late.gen.ts",
        "src/engines/webgpu/plan/apart.gen.ts",
        "src/engines/webgpu/adopt.ts",
        "src/engines/webgpu/given.ts",
      ],
      ...["src/engines/webgpu/matrices.ts", "src/run/mapped_gradients.ts", "src/run/device_halves.ts"],
    ],
  },
  { modules: ["src/engines/webgpu/matrices.ts"], of: ["device.ts"] },
  { modules: ["src/engines/wasm/engine.ts"], of: ["src/engines/wasm/lower/apart.gen.ts"] },
  // What is loaded for the same reason: a device of the caller's, ranks, a runtime with files, options of sampling, sets as lists.
  ...[
    ["src/engines/webgpu/adopt.ts", "src/engines/webgpu/given.ts"],
    ["src/run/mapped_gradients.ts", "src/run/device_halves.ts"],
    ["src/engines/webgpu/dawn.ts", "src/engines/wasm/node_workers.ts", "src/base/runtime_files.ts"],
    ["src/data/stop.ts", "src/files/generation_file.ts"],
    ["src/pattern/listed.ts", "src/pattern/check_set.ts"],
  ].map((modules) => ({ modules, of: modules })),
  { modules: ["src/data/stop.ts", "src/files/generation_file.ts"], of: ["data.ts", "files.ts"] },
  { modules: ["src/pattern/listed.ts"], of: ["ops.ts", "pictures.ts", "src/engines/reference/engine.ts"] },
];

/**
 * Makes a folder, a file URL that ends in "/", where there is none.
 *
 * @throws {ConfigError} where it cannot be made
 */
export async function makeFolder(out: URL): Promise<void> {
  try {
    await Deno.mkdir(out, { recursive: true });
  } catch (error) {
    throw new ConfigError(`Cannot write into ${fileURLToPath(out)}: ${(error as Error).message}; give another folder`, { cause: error });
  }
}

/**
 * Makes a folder for what a tool makes; what it made there before is removed first.
 *
 * @param verb what it cannot do otherwise
 * @param sign a file that shows whose work the folder holds
 * @throws {ConfigError} where the folder holds anything else, or cannot be made
 */
export async function freshFolder(verb: string, out: URL, sign: string): Promise<void> {
  await makeFolder(out);
  const found = await Array.fromAsync(Deno.readDir(out), ({ name }) => name);
  if (found.length > 0 && !found.includes(sign)) {
    throw new ConfigError(`Cannot ${verb} into ${fileURLToPath(out)}: it holds other files, and would be emptied; give another folder`);
  }
  await Promise.all(found.map((name) => Deno.remove(new URL(encodeURIComponent(name), out), { recursive: true })));
}

/** Runs a tool: an error of ours ends it with one message, others keep their stack. */
export async function program(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof LongstrideError)) throw error;
    console.error(error.message);
    Deno.exitCode = 1;
  }
}

/** Says of a source map's source which package or file of this project it is, instead of where it lay when it was made. */
function portable(source: string, map: URL): string {
  const { href } = new URL(source, map), [, npm] = /\/npm\/[^/]+\/(.+)$/.exec(href) ?? /\/node_modules\/(?!\.deno)(.+)$/.exec(href) ?? [];
  return npm ? `npm:${npm}` : `longstride:${href.startsWith(ROOT.href) ? href.slice(ROOT.href.length) : href.split("/").at(-1)}`;
}

/** By the names that a face exports as values, the file that each comes from: {@linkcode throughFaces}. */
async function homes(face: string): Promise<Map<string, string>> {
  const found = new Map<string, string>(), text = await Deno.readTextFile(new URL(face, ROOT));
  for (const [, list, from] of text.matchAll(/^export \{([^}]*)\} from "\.\/([^"]+)";/gm)) {
    for (const name of list.split(",").map((name) => name.trim())) if (name && !name.startsWith("type ")) found.set(name, from);
  }
  return found;
}

/**
 * A page's script with its imports from faces made imports from the files behind them. What one entry imports of a face would else be all of
 * it: esbuild splits by files that are reached, and a face reaches everything.
 */
async function throughFaces(text: string): Promise<string> {
  const known = new Map(await Promise.all(Object.values(FACES).map(async (face) => [face, await homes(face)] as const)));
  return text.replace(/^import \{([^}]*)\} from "\.\.\/(\w+\.ts)";/gm, (whole, list: string, face: string) => {
    const names = list.split(",").map((name) => name.trim()).filter((name) => name && !name.startsWith("type "));
    if (!known.has(face)) return whole;
    return names.map((name) => {
      const from = known.get(face)!.get(name.split(" as ")[0]);
      if (!from) throw new LongstrideError(`Cannot bundle: ${face} exports no ${name}`);
      return `import { ${name} } from "../${from}";`;
    }).join(" ");
  });
}

/** Packages of npm where Deno keeps them, as esbuild looks for packages: below `node_modules/` of a folder of its own. */
async function linkPackages(folder: string): Promise<void> {
  const { npmPackages } = JSON.parse(await deno(ROOT, "info", "--json", "cli/main.ts")) as {
    npmPackages: Record<string, { name: string; localPath: string }>;
  };
  for (const { name, localPath } of Object.values(npmPackages)) {
    const at = `${folder}/${name}`;
    await Deno.mkdir(at.slice(0, at.lastIndexOf("/")), { recursive: true });
    await Deno.symlink(localPath, at).catch((error) => {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    });
  }
}

/**
 * A module with the names that terser gives, which compress better than esbuild's: 3 KB of all. Names alone: of what else it does,
 * `collapse_vars` changed what attention computes, and the rest was 0.5 KB.
 */
async function pack(text: string, map: string, name: string): Promise<Made> {
  const made = await minify(text, {
    module: true,
    ecma: 2020,
    compress: false,
    sourceMap: { content: map, filename: name, url: `${name}.map`, includeSources: true },
  });
  // It leaves out the sources' texts where there is no source: a module that only exports from others.
  return { text: made.code!, map: JSON.stringify({ sourcesContent: [], ...JSON.parse(made.map as string) }) };
}

/** Packages by the names that Deno has for them. */
const npm: esbuild.Plugin = {
  name: "npm",
  setup(build) {
    build.onResolve({ filter: /^npm:/ }, async ({ path, kind, importer, resolveDir }) => {
      const bare = path.replace(/^npm:((?:@[^/]+\/)?[^/@]+)@[^/]+/, "$1"),
        found = await build.resolve(bare, { kind, importer, resolveDir });
      return { ...found, sideEffects: false };
    });
  },
};

/** Kernels with short names. */
const kernels: esbuild.Plugin = {
  name: "kernels",
  setup(build) {
    build.onLoad({ filter: WGSL_MODULES }, async ({ path }) => ({ contents: await shrunkWgsl(WGSL_MODULES.exec(path)![1]) }));
  },
};

/** The faces as the files that they are bundled into, for what stands beside those. */
const faces: esbuild.Plugin = {
  name: "faces",
  setup(build) {
    build.onResolve({ filter: /^(\.\.\/)+\w+\.ts$/ }, ({ path }) => {
      const [made] = Object.entries(FACES).find(([, face]) => face === path.replace(/^(\.\.\/)+/, "")) ?? [];
      return made === undefined ? undefined : { path: `./${made}.js`, external: true };
    });
  },
};

/** What goes into which chunk. */
const chunks: esbuild.Plugin = {
  name: "chunks",
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const { href } = pathToFileURL(path), file = href.startsWith(ROOT.href) ? href.slice(ROOT.href.length) : "";
      const more = TOGETHER.filter(({ of }) => of.includes(file)).flatMap(({ modules }) => modules);
      if (more.length === 0 && !file.startsWith("web/")) return undefined;
      const text = await Deno.readTextFile(path), own = file.startsWith("web/") ? await throughFaces(text) : text;
      const imports = more.map((module) => `import ${JSON.stringify(fileURLToPath(new URL(module, ROOT)))};`);
      return { contents: [own, ...imports].join("\n"), loader: "ts" };
    });
  },
};

/**
 * Names for chunks, by those that esbuild has for them: an engine's by its folder, another module's that is loaded when it is needed by that
 * module, others by the largest of the project's modules in them.
 * They are short and stay the same from one version to the next; hashes in every import weigh half a kilobyte.
 */
function names({ outputs }: esbuild.Metafile): Map<string, string> {
  const found = new Map<string, string>();
  for (const [path, { inputs, entryPoint }] of Object.entries(outputs)) {
    const [hashed] = /[\w.]+-[0-9A-Z]{8}\.js$/.exec(path) ?? [];
    if (!hashed) continue;
    const [, engine] = /src\/engines\/(\w+)\/engine\.ts$/.exec(entryPoint ?? "") ?? [];
    const own = Object.entries(inputs).filter(([input]) => /^(src|web)\//.test(input)).sort(([, a], [, b]) =>
      b.bytesInOutput - a.bytesInOutput
    );
    const base = (module: string) => module.replace(/^.*\/|(\.gen)?\.ts$/g, ""), used = new Set(found.values());
    const stem = engine ? `engine-${engine}` : entryPoint ? base(entryPoint) : `chunk-${base(own[0][0])}`;
    let name = `${stem}.js`;
    for (let count = 2; used.has(name); count++) name = `${stem}-${count}.js`;
    found.set(hashed, name);
  }
  return found;
}

/** What was bundled, by its {@linkcode names}. */
function renamed(files: readonly esbuild.OutputFile[], metafile: esbuild.Metafile): Map<string, Made> {
  const named = names(metafile), texts = new Map(files.map(({ path, text }) => [path, text]));
  const late = new Set(
    Object.entries(metafile.outputs).filter(([, { entryPoint }]) => entryPoint).map(([path]) => named.get(basename(path))),
  );
  const modules = [...texts].filter(([path]) => !path.endsWith(".map")).map(([path, text]) => {
    const made = replaced({ text, map: texts.get(`${path}.map`)! }, /[\w.]+-[0-9A-Z]{8}\.js/g, ([hashed]) => named.get(hashed));
    return [named.get(basename(path)) ?? basename(path), made] as const;
  });
  return withoutHandingOn(new Map(modules), (name) => late.has(name));
}

/** Bundles, and writes what was made: minified, with source maps, under short names. */
async function build(options: esbuild.BuildOptions, out: URL): Promise<void> {
  const packages = await Deno.makeTempDir();
  try {
    await linkPackages(packages);
    const { outputFiles, metafile } = await esbuild.build({
      ...options,
      absWorkingDir: fileURLToPath(ROOT),
      outdir: fileURLToPath(out),
      nodePaths: [packages],
      bundle: true,
      format: "esm",
      target: "es2022",
      minify: true,
      sourcemap: "linked",
      metafile: true,
      write: false,
      logLevel: "silent",
    }).catch((error: Error) => {
      throw new LongstrideError(`Cannot bundle: ${error.message}`, { cause: error });
    });
    for (const [name, { text, map }] of renamed(outputFiles, metafile)) {
      const file = new URL(name, out), packed = await pack(text, map, name);
      const ready = replaced(
        replaced(packed, RUNTIME_IMPORT, () => `import(${LEFT_ALONE}`),
        NAMES,
        ([, from]) => `"${NAMED[from]}"`,
      );
      const [left] = /"[^"\n]*\.ts"/.exec(ready.text) ?? [];
      if (left) throw new LongstrideError(`Cannot bundle: ${file} names the file ${left}; say in NAMED what it becomes`);
      const { sources, ...rest } = JSON.parse(ready.map) as { sources: string[] };
      await Deno.writeTextFile(
        new URL(`${name}.map`, out),
        JSON.stringify({ ...rest, sources: sources.map((one) => portable(one, file)) }),
      );
      await Deno.writeTextFile(file, ready.text);
    }
  } finally {
    await esbuild.stop();
    await Deno.remove(packages, { recursive: true });
  }
}

/**
 * Bundles modules of this project for browsers and everything else that runs ES modules, minified, with source maps; what several share, or
 * load when they need it, goes into chunks beside them.
 *
 * @param entries by the name of the file to make, without ".js", the module
 * @param options `isOne`: everything an entry imports is in its own file
 */
export async function bundleEntries(
  entries: Readonly<Record<string, string>>,
  out: URL,
  { isOne = false }: { isOne?: boolean } = {},
): Promise<void> {
  const plugins = isOne ? [npm, kernels] : [npm, kernels, chunks];
  await build({ entryPoints: { ...entries }, plugins, splitting: !isOne, platform: "browser" }, out);
}

/** Bundles the command line for Node, beside the faces. */
async function bundleCli(out: URL): Promise<void> {
  await build({
    entryPoints: { cli: "cli/main.ts" },
    plugins: [npm, faces],
    platform: "node",
    banner: { js: "#!/usr/bin/env node" },
    // Deno as Node has it.
    inject: [fileURLToPath(new URL("cli/node.ts", ROOT))],
    define: { "import.meta.main": "true" },
  }, out);
}

/** The package's description for npm: name, version and licence are deno.json's. */
async function manifest(): Promise<string> {
  const { name, version, license } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const faces = Object.entries(FACES).map(([made, face]) => {
    const stem = face.slice(0, -3);
    return [stem === "mod" ? "." : `./${stem}`, { types: `./types/${stem}.d.ts`, default: `./${made}.js` }];
  });
  return JSON.stringify(
    {
      name,
      version,
      description: "Sparse Transformers trained and sampled anywhere: WebGPU and WebAssembly, in browsers, Deno, Node, Bun and at the edge",
      license,
      type: "module",
      engines: { node: ">=20" },
      // What Node computes on a GPU by: whoever wants that installs it.
      peerDependencies: { webgpu: "^0.6.2" },
      peerDependenciesMeta: { webgpu: { optional: true } },
      exports: {
        ...Object.fromEntries(faces),
        "./sample": { types: "./types/web/longstride_sample.d.ts", default: "./longstride-sample.js" },
        "./react": { types: "./types/web/react.d.ts" },
        "./longstride-sample.worker.js": "./longstride-sample.worker.js",
        "./longstride.worker.js": "./longstride.worker.js",
        "./longstride.wasm": "./longstride.wasm",
        "./package.json": "./package.json",
      },
      bin: { longstride: "./cli.js" },
      types: "./types/mod.d.ts",
      sideEffects: ["./cli.js", "./longstride-sample.js", "./longstride-sample.worker.js", "./longstride.worker.js"],
    },
    undefined,
    2,
  ) + "\n";
}

/** The project's README, importing what those who install the package import. */
async function readme(): Promise<string> {
  const { name } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  return (await Deno.readTextFile(new URL("README.md", ROOT))).replace(
    /"\.\/(mod|ops|data|pictures|files|device)\.ts"/g,
    (_, face: string) => JSON.stringify(face === "mod" ? name : `${name}/${face}`),
  );
}

async function copyFolder(from: URL, to: URL): Promise<void> {
  await Deno.mkdir(to);
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(new URL(`${name}/`, from), new URL(`${name}/`, to));
    else await Deno.copyFile(new URL(name, from), new URL(name, to));
  }
}

/**
 * Writes the bundle and its package to a folder, a file URL that ends in "/". An earlier bundle there is removed first.
 *
 * @throws {ConfigError} where the folder holds anything else, or cannot be made
 */
export async function bundle(out: URL): Promise<void> {
  // The file that is there first, also in what an interrupted bundling leaves.
  await freshFolder("bundle", out, "longstride.wasm");
  await Promise.all([
    bundleEntries(ENTRIES, out).then(() => bundleEntries(THREADS, out)).then(() => bundleCli(out)),
    copyFolder(new URL("test/golden/", ROOT), new URL("golden/", out)),
    writeDeclarations([...Object.values(FACES), ELEMENT], out),
    Deno.copyFile(new URL("asm/kernels.wasm", ROOT), new URL("longstride.wasm", out)),
    Deno.copyFile(new URL("LICENSE", ROOT), new URL("LICENSE", out)),
    readme().then((text) => Deno.writeTextFile(new URL("README.md", out), text)),
    manifest().then((text) => Deno.writeTextFile(new URL("package.json", out), text)),
  ]);
}

/** Bytes after gzip −9, as servers of static files keep them; brotli takes another seventh off. */
export function compressed(bytes: Uint8Array): number {
  return gzipSync(bytes, { level: 9 }).length;
}

if (import.meta.main) {
  await program(async () => {
    helpWhereAsked(`Makes ES modules for pages, servers and the edge, with types, the raw WASM and an npm package.

Usage: deno task bundle [FOLDER]

  FOLDER  where to (default: dist/); an earlier bundle there is replaced`);
    const [folder, ...more] = Deno.args;
    if (more.length > 0 || folder?.startsWith("-")) {
      refuse(`Cannot bundle with ${Deno.args.join(" ")}: it takes one folder or none, deno task bundle [FOLDER]`);
    }
    const out = folder ? pathToFileURL(`${resolve(folder)}/`) : new URL("dist/", ROOT);
    await bundle(out);
    for await (const { name } of Deno.readDir(out)) {
      if (!/\.(js|wasm)$/.test(name)) continue;
      const bytes = await Deno.readFile(new URL(name, out));
      console.log(
        `${name.padEnd(22)} ${(bytes.length / 1000).toFixed(1).padStart(7)} KB, ${(compressed(bytes) / 1000).toFixed(1)} KB by gzip`,
      );
    }
  });
}
