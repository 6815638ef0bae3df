/**
 * Checks who imports whom, over `deno info --json`:
 *
 * - a file imports only from lower layers of {@linkcode LAYERS}, or from its own folder below src/;
 * - the command line, the page elements and the examples see the library through `mod.ts` and `device.ts` alone;
 * - nothing reachable from those or `cli/` has a bare specifier (a remote import ignores this project's import map),
 *   and its `npm:` specifiers name the exact version that deno.json lists; `node:` is for `cli/` alone;
 * - nothing in src/ names `Deno` or `process`: browsers and edge runtimes run it.
 *
 *     deno run -A tools/check_layers.ts [ROOT]
 *
 * @module
 */

/** Lowest first. A name that ends in "/" is a folder, whose files may also import each other. */
export const LAYERS: readonly (readonly string[])[] = [
  // Imported by anyone.
  ["src/errors.ts", "src/random.ts", "src/half.ts", "src/turns.ts", "src/kernels.gen.ts"],
  // The WASM binary; arguments, text, numbers and bytes from strangers.
  ["src/kernels.ts", "src/json.ts", "src/check.ts", "src/finite.ts", "src/fetch.ts"],
  // Sparse sets as mathematics.
  ["src/pattern.ts"],
  // Tiles of a set, and what decoding keeps of it.
  ["src/layout.ts"],
  ["src/cache.ts"],
  // The contract between models and engines; what a model is; files as bytes.
  ["src/ops.ts", "src/config.ts", "src/safetensors.ts", "src/data/"],
  // What a layout tells; names on disk; the three implementers of the contract, none knowing another.
  ["src/reach.ts", "src/checkpoint.ts", "src/reference/", "src/wasm/", "src/webgpu/"],
  // Pictures of what the layers below found.
  ["src/picture.ts"],
  // Forward, backward and update, written once against the contract.
  ["src/optimizer.ts"],
  ["src/model.ts"],
  // Loops over data.
  ["src/evaluate.ts", "src/maps.ts", "src/sample.ts", "src/memory.ts", "src/verify.ts", "src/works.ts"],
  ["src/train.ts"],
  // The one place that picks an engine, and the short way in.
  ["src/backend.ts"],
  ["src/open.ts"],
  ["mod.ts", "device.ts"],
  // Programs: these see those alone.
  ["cli/", "web/"],
  // Whatever they need; nobody imports them.
  ["bench/", "test/", "tools/"],
];

const LIBRARY = LAYERS.findIndex((names) => names.includes("mod.ts"));

interface Dependency {
  specifier: string;
  code?: { specifier?: string; error?: string };
  type?: { specifier?: string; error?: string };
}
interface Graph {
  modules: { specifier: string; dependencies?: Dependency[]; error?: string }[];
}

const place = (path: string) =>
  LAYERS.findIndex((names) => names.some((name) => name.endsWith("/") ? path.startsWith(name) : name === path));
const folder = (path: string) => path.slice(0, path.lastIndexOf("/") + 1);

async function info(root: URL, path: string): Promise<Graph> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--no-lock", path],
    cwd: root,
    stdout: "piped",
    stderr: "piped",
  });
  const { success, stdout, stderr } = await command.output();
  if (!success) throw new Error(`deno info ${path} failed: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

async function* sources(root: URL, path: string): AsyncGenerator<string> {
  try {
    for await (const entry of Deno.readDir(new URL(path, root))) {
      if (entry.isDirectory) yield* sources(root, `${path}${entry.name}/`);
      else if (entry.name.endsWith(".ts")) yield path + entry.name;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The lines where `code` names `Deno` or `process`, comments left out. */
export function runtimeNames(code: string): number[] {
  // Strings are matched first, so that "//" inside one starts no comment.
  const bare = code.replace(
    /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\/.*|\/\*[\s\S]*?\*\//g,
    (match) => match.startsWith("/") ? match.replace(/[^\n]/g, " ") : match,
  );
  return bare.split("\n").flatMap((line, i) => /\b(Deno|process)\b\s*(\?\.|[.[])|\bglobalThis\s*\[/.test(line) ? [i + 1] : []);
}

/** Checks the tree at `root`, a file URL that ends in "/". Answers one line a violation, none where all is well. */
export async function checkLayers(root: URL): Promise<string[]> {
  const found = new Set<string>(), seen = new Map<string, Dependency[]>();
  const versions = new Set(Object.values(JSON.parse(await Deno.readTextFile(new URL("deno.json", root))).imports ?? {}) as string[]);
  const local = (specifier: string) => specifier.startsWith(root.href) ? specifier.slice(root.href.length) : undefined;
  const files = ["mod.ts", "device.ts"];
  for (const path of ["src/", "cli/", "web/"]) for await (const file of sources(root, path)) files.push(file);
  for (const file of files) {
    if (seen.has(file)) continue;
    for (const { specifier, dependencies, error } of (await info(root, file)).modules) {
      const path = local(specifier);
      if (path === undefined) continue;
      if (error) found.add(`${path}: ${error.replaceAll(root.href, "")}`);
      else seen.set(path, dependencies ?? []);
    }
  }
  for (const [path, dependencies] of seen) {
    const from = place(path);
    if (from < 0) {
      found.add(`${path} is in no layer: add it to LAYERS in tools/check_layers.ts`);
      continue;
    }
    for (const { specifier, code, type } of dependencies) {
      if (specifier.startsWith("npm:")) {
        const [, name, version] = /^npm:((?:@[^/]+\/)?[^/@]+)(?:@([^/]+))?/.exec(specifier) ?? [];
        if (![...versions].some((listed) => listed === `npm:${name}@${version}` || listed.startsWith(`npm:${name}@${version}/`))) {
          found.add(`${path} imports "${specifier}": deno.json must list that exact version`);
        }
        continue;
      }
      if (specifier.startsWith("node:") && path.startsWith("cli/")) continue;
      if (!/^\.{1,2}\//.test(specifier)) {
        found.add(`${path} imports "${specifier}": only relative and npm: specifiers work when the project is imported by URL`);
        continue;
      }
      const target = local(code?.specifier ?? type?.specifier ?? "");
      if (target === undefined) {
        found.add(`${path} imports "${specifier}": ${code?.error ?? type?.error ?? "outside the project"}`);
        continue;
      }
      const to = place(target), same = folder(path) === folder(target) && folder(path) !== "src/";
      if (from > LIBRARY && !same && place(target) !== LIBRARY && path !== target) {
        found.add(`${path} imports ${target}: ${folder(path)} sees the library through mod.ts and device.ts alone`);
      } else if (!same && to >= from) {
        found.add(`${path} imports ${target}: that is not in a lower layer`);
      }
    }
    if (path.startsWith("src/")) {
      for (const line of runtimeNames(await Deno.readTextFile(new URL(path, root)))) {
        found.add(`${path}:${line} names Deno or process: browsers and edge runtimes run src/`);
      }
    }
  }
  return [...found].sort();
}

if (import.meta.main) {
  const root = Deno.args[0] ? new URL(`file://${await Deno.realPath(Deno.args[0])}/`) : new URL("../", import.meta.url);
  const found = await checkLayers(root);
  for (const line of found) console.error(line);
  console.log(found.length ? `${found.length} layer violations` : "layers: every import goes down");
  Deno.exit(found.length ? 1 : 0);
}
