/**
 * Declarations for those who write TypeScript against the npm package.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { deno } from "./deno.ts";

const ROOT = new URL("../", import.meta.url);

/** The element in React's JSX. Not compiled here: the project has no React. */
const REACT = `/**
 * \`<longstride-sample>\` in React's JSX. Once, in any file of a project:
 *
 *     import type {} from "@longstride/longstride/react";
 *
 * @module
 */

import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { LongstrideSample, LongstrideSampleAttributes } from "./longstride_sample.js";

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "longstride-sample": DetailedHTMLProps<HTMLAttributes<LongstrideSample>, LongstrideSample> & LongstrideSampleAttributes;
    }
  }
}
`;

/**
 * Writes declarations of modules, and of all that they name, below `types/` of a folder.
 *
 * They are made in a copy of the library that is checked as browser code. `GPUDevice` and its like are known to some (TypeScript from 6.0,
 * those who have `@webgpu/types`) and not to others: an interface declared again without members, or with those that are picked of it,
 * changes nothing for the ones and is enough for the others, so that nobody needs a package for them.
 */
export async function writeDeclarations(roots: readonly string[], out: URL): Promise<void> {
  const scratch = new URL(`file://${await Deno.makeTempDir()}/`), made = new URL("made/", scratch);
  try {
    for (const path of [...roots.filter((root) => !root.includes("/")), "src", "web"]) {
      await copy(new URL(path, ROOT), new URL(path, scratch));
    }
    const { compilerOptions } = JSON.parse(await Deno.readTextFile(new URL("web/browser.json", ROOT)));
    const { imports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
    await Deno.writeTextFile(new URL("deno.json", scratch), JSON.stringify({ compilerOptions, imports }));
    const flags = ["--quiet", "--no-lock", "--declaration", "--outdir", fileURLToPath(made)];
    await deno(scratch, "transpile", ...flags, ...roots);
    const left = roots.map((root) => new URL(root.replace(/ts$/, "d.ts"), made)), seen = new Set<string>(), gpu = new Set<string>();
    const members = new Map<string, Set<string>>();
    for (let url; (url = left.pop());) {
      if (seen.has(url.href)) continue;
      seen.add(url.href);
      const path = url.href.slice(made.href.length), to = new URL(`types/${path}`, out), from = url;
      let text = (await Deno.readTextFile(url)).replace(/^\/\/\/ <amd-module .*\n/gm, "");
      text = text.replace(/(from |import\()"(\.[^"]*)\.ts"/g, (_, word: string, path: string) => {
        left.push(new URL(`${path}.d.ts`, from));
        return `${word}"${path}.js"`;
      });
      const named = new Set(text.replace(/\/\*[\s\S]*?\*\//g, "").match(/\bGPU[A-Z]\w+/g));
      for (const name of named) gpu.add(name);
      for (const [, name, picked] of text.matchAll(/\bPick<(GPUSupportedLimits), ([^>]+)>/g)) {
        const limits = picked.matchAll(/"(\w+)"/g).map(([, limit]) => `\n  readonly ${limit}: number;`);
        members.set(name, new Set([...members.get(name) ?? [], ...limits]));
      }
      if (named.size > 0) text = `/// <reference path="${"../".repeat(path.split("/").length - 1) || "./"}webgpu.d.ts" />\n${text}`;
      await Deno.mkdir(new URL(".", to), { recursive: true });
      await Deno.writeTextFile(to, text);
    }
    const interfaces = [...gpu].sort().map((name) => `interface ${name} {${[...members.get(name) ?? []].sort().join("")}}\n`);
    await Deno.writeTextFile(
      new URL("types/webgpu.d.ts", out),
      `/** What the declarations name of WebGPU; \`@webgpu/types\` or TypeScript's own library say what they are. */\n${
        interfaces.join("")
      }`,
    );
    await Deno.writeTextFile(new URL("types/web/react.d.ts", out), REACT);
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

/** Copies a file, or the TypeScript of a folder. */
async function copy(from: URL, to: URL): Promise<void> {
  if ((await Deno.stat(from)).isFile) return await Deno.copyFile(from, to);
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory || name.endsWith(".ts")) await copy(new URL(`${from.href}/${name}`), new URL(`${to.href}/${name}`));
  }
}
