/**
 * Checks who imports whom, over `deno info --json`:
 *
 * - folders are layers: a file imports from folders above its own in {@linkcode LAYERS}, or from its own; no files import each other
 *   in a circle;
 * - the command line and the page elements see the library through its faces alone, the files that deno.json exports;
 * - nothing reachable from those or `cli/` has a bare specifier (a remote import ignores this project's import map),
 *   and its `npm:` specifiers name the exact version that deno.json lists; `node:` is for `cli/` alone;
 * - nothing in src/ names `Deno` or `process`: browsers and edge runtimes run it.
 *
 *     deno run -A tools/check_layers.ts [ROOT]
 *
 * @module
 */

/** Lowest first. Folders of one line do not know each other; docs/architecture.md says what each is for. */
export const LAYERS: readonly (readonly string[])[] = [
  ["src/base/"],
  ["src/pattern/"],
  ["src/ops/"],
  ["src/data/"],
  ["src/files/"],
  ["src/engines/reference/", "src/engines/wasm/", "src/engines/webgpu/"],
  ["src/model/"],
  ["src/run/"],
  ["src/pictures/"],
  // The faces: modules of the root.
  [""],
  ["cli/", "web/"],
  ["bench/", "test/", "tools/"],
];

const LIBRARY = LAYERS.findIndex(([folder]) => folder === "");

interface Dependency {
  specifier: string;
  code?: { specifier?: string; error?: string };
  type?: { specifier?: string; error?: string };
}
interface Graph {
  modules: { specifier: string; dependencies?: Dependency[]; error?: string }[];
}

/** The folder of {@linkcode LAYERS} that a file is in. */
const folderOf = (path: string) => path.includes("/") ? LAYERS.flat().find((folder) => folder !== "" && path.startsWith(folder)) : "";
const layerOf = (path: string) => LAYERS.findIndex((folders) => folders.includes(folderOf(path) ?? "none"));

/** A circle of imports among those files, if there is one: each imports the next, the last the first. */
function circle(imports: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>(), way: string[] = [];
  const visit = (file: string): string[] | undefined => {
    if (way.includes(file)) return way.slice(way.indexOf(file));
    if (done.has(file)) return;
    way.push(file);
    for (const next of imports.get(file) ?? []) {
      const found = visit(next);
      if (found) return found;
    }
    way.pop();
    done.add(file);
  };
  for (const file of imports.keys()) {
    const found = visit(file);
    if (found) return found;
  }
}

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

/** Checks the tree at `root`, a file URL that ends in "/". Answers one line per violation, none where all is well. */
export async function checkLayers(root: URL): Promise<string[]> {
  const found = new Set<string>(), seen = new Map<string, Dependency[]>();
  const { exports, imports: listed } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root))) as Record<
    string,
    Record<string, string>
  >;
  const versions = new Set(Object.values(listed ?? {}));
  const local = (specifier: string) => specifier.startsWith(root.href) ? specifier.slice(root.href.length) : undefined;
  const files = Object.values(exports).map((path) => path.slice(2));
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
  const imports = new Map<string, string[]>();
  for (const [path, dependencies] of seen) {
    const from = layerOf(path), targets: string[] = [];
    imports.set(path, targets);
    if (from < 0) {
      found.add(`${path} is in no layer: move it into a folder of LAYERS in tools/check_layers.ts`);
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
      targets.push(target);
      const to = layerOf(target), same = folderOf(path) === folderOf(target);
      if (same) continue;
      if (from > LIBRARY && to !== LIBRARY) {
        found.add(
          `${path} imports ${target}: ${folderOf(path)} sees the library through its faces alone, the modules that deno.json exports`,
        );
      } else if (to >= from) {
        found.add(`${path} imports ${target}: that is not in a lower layer`);
      }
    }
    if (path.startsWith("src/")) {
      for (const line of runtimeNames(await Deno.readTextFile(new URL(path, root)))) {
        found.add(`${path}:${line} names Deno or process: browsers and edge runtimes run src/`);
      }
    }
  }
  const round = circle(imports);
  if (round) found.add(`${round.join(" imports ")} imports ${round[0]}: no files may import each other in a circle`);
  return [...found].sort();
}

if (import.meta.main) {
  const root = Deno.args[0] ? new URL(`file://${await Deno.realPath(Deno.args[0])}/`) : new URL("../", import.meta.url);
  const found = await checkLayers(root);
  for (const line of found) console.error(line);
  console.log(found.length ? `${found.length} layer violations` : "layers: every import goes down");
  Deno.exit(found.length ? 1 : 0);
}
