/**
 * Makes `dist/`: the library as one ES module with everything inlined, and around it a package for npm.
 *
 *     deno task bundle [FOLDER]
 *
 * |                        |                                                                                     |
 * | ---------------------- | ----------------------------------------------------------------------------------- |
 * | `longstride.js`        | all of `mod.ts`; source map beside it, types in `types/`                            |
 * | `longstride.worker.js` | what the CPU engine's threads run, for pages: a policy may forbid anything but files |
 * | `longstride.wasm`      | the kernels that `longstride.js` carries inside, for runtimes that compile no bytes |
 * | `longstride-sample.js` | the page element; it imports `longstride.js`                                        |
 *
 * @module
 */

import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { ConfigError, LongstrideError } from "../mod.ts";

const ROOT = new URL("../", import.meta.url);

/** What is bundled into which file. All but the library itself import the library's file. */
const ENTRIES: Readonly<Record<string, string>> = {
  "longstride.js": "mod.ts",
  "longstride.worker.js": "src/engines/wasm/worker.ts",
  "longstride-sample.js": "web/longstride_sample.ts",
};

/** What modules call each other's files, and what those become. */
const RENAMED: Readonly<Record<string, string>> = {
  "../mod.ts": "./longstride.js",
  "./worker.ts": "./longstride.worker.js",
};

async function deno(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT, stdout: "null", stderr: "piped" }).output();
  if (!success) throw new LongstrideError(`Cannot bundle: deno ${args.join(" ")} failed: ${new TextDecoder().decode(stderr)}`);
}

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

/** Says of a source map's sources which package or file of this project they are, instead of where they lay when it was made. */
function portable(source: string): string {
  const [, npm] = /\/npm\/[^/]+\/(.+)$/.exec(source) ?? /\/node_modules\/(?!\.deno)(.+)$/.exec(source) ?? [];
  return npm ? `npm:${npm}` : source.replace(/^.*?((?:src|web|asm)\/.*|[^/]+)$/, "longstride:$1");
}

async function bundleEntry(name: string, entry: string, out: URL): Promise<void> {
  const file = new URL(name, out), external = entry === "mod.ts" ? [] : ["--external", "../mod.ts"];
  const flags = ["--quiet", "--platform", "browser", "--minify", "--sourcemap", "linked", ...external];
  await deno("bundle", ...flags, "--output", fileURLToPath(file), entry);
  let text = await Deno.readTextFile(file);
  for (const [from, to] of Object.entries(RENAMED)) text = text.replaceAll(`"${from}"`, `"${to}"`);
  const [left] = /"[^"\n]*\.ts"/.exec(text) ?? [];
  if (left) throw new Error(`${name} names the file ${left}: say in RENAMED what it becomes`);
  await Deno.writeTextFile(file, text);
  const at = new URL(`${name}.map`, out), map: { sources: string[] } = JSON.parse(await Deno.readTextFile(at));
  map.sources = map.sources.map(portable);
  await Deno.writeTextFile(at, JSON.stringify(map));
}

/** Bundles one after another: the first fetches esbuild, and several at once trip over each other's copy of it. */
export async function bundleEntries(entries: Readonly<Record<string, string>>, out: URL): Promise<void> {
  for (const [name, entry] of Object.entries(entries)) await bundleEntry(name, entry, out);
}

/** Declarations of mod.ts and all that they name, below `types/`. */
async function declarations(out: URL): Promise<void> {
  const scratch = new URL("types.scratch/", out);
  await deno("transpile", "--quiet", "--declaration", "--outdir", fileURLToPath(scratch), "mod.ts");
  const left = [new URL("mod.d.ts", scratch)], seen = new Set<string>();
  for (let url; (url = left.pop());) {
    if (seen.has(url.href)) continue;
    seen.add(url.href);
    const to = new URL(`types/${url.href.slice(scratch.href.length)}`, out), from = url;
    const text = (await Deno.readTextFile(url)).replace(/(from |import\()"(\.[^"]*)\.ts"/g, (_, word: string, path: string) => {
      left.push(new URL(`${path}.d.ts`, from));
      return `${word}"${path}.js"`;
    });
    await Deno.mkdir(new URL(".", to), { recursive: true });
    await Deno.writeTextFile(to, text);
  }
  await Deno.remove(scratch, { recursive: true });
  await Deno.writeTextFile(new URL("longstride.d.ts", out), `export * from "./types/mod.js";\n`);
}

/** The package's description for npm: name, version and licence are deno.json's. */
async function manifest(): Promise<string> {
  const { name, version, license } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  return JSON.stringify(
    {
      name,
      version,
      description: "Sparse Transformers trained and sampled anywhere: WebGPU and WebAssembly, in browsers, Deno, Node, Bun and at the edge",
      license,
      type: "module",
      engines: { node: ">=20" },
      exports: {
        ".": { types: "./types/mod.d.ts", default: "./longstride.js" },
        "./longstride.wasm": "./longstride.wasm",
        "./longstride.worker.js": "./longstride.worker.js",
        "./sample": "./longstride-sample.js",
        "./package.json": "./package.json",
      },
      types: "./types/mod.d.ts",
      sideEffects: ["./longstride-sample.js"],
    },
    undefined,
    2,
  ) + "\n";
}

/** The project's README, importing what those who install the package import. */
async function readme(): Promise<string> {
  const { name } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  return (await Deno.readTextFile(new URL("README.md", ROOT))).replaceAll(`"./mod.ts"`, JSON.stringify(name));
}

/**
 * Writes the bundle and its package to a folder, a file URL that ends in "/". An earlier bundle there is removed first.
 *
 * @throws {ConfigError} where the folder holds anything else, or cannot be made
 */
export async function bundle(out: URL): Promise<void> {
  await makeFolder(out);
  const found = await Array.fromAsync(Deno.readDir(out), ({ name }) => name);
  // The file that is there first, also in what an interrupted bundling leaves.
  if (found.length > 0 && !found.includes("longstride.wasm")) {
    throw new ConfigError(`Cannot bundle into ${fileURLToPath(out)}: it holds other files, and would be emptied; give another folder`);
  }
  await Promise.all(found.map((name) => Deno.remove(new URL(encodeURIComponent(name), out), { recursive: true })));
  await Promise.all([
    bundleEntries(ENTRIES, out),
    declarations(out),
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
    const [folder, ...more] = Deno.args;
    if (more.length > 0 || folder?.startsWith("-")) {
      throw new ConfigError(`Cannot bundle with ${Deno.args.join(" ")}: it takes one folder or none, deno task bundle [FOLDER]`);
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
