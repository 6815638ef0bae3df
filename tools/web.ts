/**
 * Serves the pages of `web/` with the documentation, or writes them to a folder that any web server can give out.
 *
 *     deno task web [--port 8000] [--host 127.0.0.1] [--out FOLDER]
 *
 * @module
 */

import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "npm:deno-std@1.4.0/cli/parse_args.js";
import { ConfigError } from "../mod.ts";
import { CONTROLS, TOKENS } from "../web/look.ts";
import { bundleEntries, makeFolder, program, THREADS } from "./bundle.ts";
import { buildDocs } from "./docs.ts";
import { helpWhereAsked, refuse } from "./usage.ts";

const ROOT = new URL("../", import.meta.url), WEB = new URL("web/", ROOT);

/** Scripts of the site, and what each is made of. */
const SCRIPTS: Readonly<Record<string, string>> = {
  "longstride-sample": "web/longstride_sample.ts",
  "longstride-sample.worker": "web/sample_worker.ts",
  "sample_page": "web/sample_page.ts",
  "train_page": "web/train_page.ts",
  "train_worker": "web/train_worker.ts",
};

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  map: "application/json",
  md: "text/markdown; charset=utf-8",
  svg: "image/svg+xml",
  png: "image/png",
  wav: "audio/wav",
};

/**
 * What the pages are served with: a policy under which nothing but the site's own files runs, and isolation from other origins,
 * which is what gives a page shared memory, and so threads.
 */
export const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

async function* filesBelow(folder: URL): AsyncGenerator<URL> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* filesBelow(new URL(`${name}/`, folder));
    else if (!name.endsWith(".ts") && name !== "browser.json") yield new URL(name, folder);
  }
}

/**
 * Writes the site to a folder, a file URL that ends in "/".
 *
 * @throws {ConfigError} where it cannot be made
 */
export async function buildSite(out: URL): Promise<void> {
  await makeFolder(out);
  for await (const file of filesBelow(WEB)) {
    const to = new URL(file.href.slice(WEB.href.length), out);
    await Deno.mkdir(new URL(".", to), { recursive: true });
    await Deno.copyFile(file, to);
  }
  await Deno.writeTextFile(new URL("tokens.css", out), `:root { ${TOKENS} }\n${CONTROLS}\n`);
  await bundleEntries(SCRIPTS, out);
  await bundleEntries(THREADS, out);
}

/** The file that a request's path names in a folder; undefined where it leads out of it. */
export function fileBelow(folder: URL, path: string): string | undefined {
  try {
    // Refuses %2F, which URLs take for part of a name and files for a slash: "..%2F" would climb.
    const file = fileURLToPath(new URL(path.replace(/^\/+/, ""), folder));
    return file.startsWith(fileURLToPath(folder)) ? file : undefined;
  } catch {
    return undefined;
  }
}

/** Answers with a file of the site; a browser that has it already is told so. */
export async function serveSite(folder: URL, request: Request): Promise<Response> {
  const path = new URL(request.url).pathname.replace(/\/$/, "/index.html"), file = fileBelow(folder, path);
  const bytes = file === undefined ? undefined : await Deno.readFile(file).catch(() => undefined);
  if (!bytes && file !== undefined && await Deno.stat(file).then(({ isDirectory }) => isDirectory, () => false)) {
    return new Response(null, { status: 308, headers: { ...HEADERS, location: `${path.slice(path.lastIndexOf("/") + 1)}/` } });
  }
  if (!bytes) return new Response("There is no such file here\n", { status: 404, headers: HEADERS });
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), tag = `"${digest.subarray(0, 12).toHex()}"`;
  const headers = {
    ...HEADERS,
    "content-type": TYPES[path.slice(path.lastIndexOf(".") + 1)] ?? "application/octet-stream",
    etag: tag,
    "cache-control": "no-cache",
  };
  return request.headers.get("if-none-match") === tag ? new Response(null, { status: 304, headers }) : new Response(bytes, { headers });
}

if (import.meta.main) {
  helpWhereAsked(`Serves the pages that sample and train, and the documentation; or writes them to a folder.

Usage: deno task web [--port N] [--host NAME] [--out FOLDER]

  --port N      default: 8000; 0 takes any that is free
  --host NAME   default: 127.0.0.1, this machine alone
  --out FOLDER  write the site there, for any web server, and end`);
  const { port, host, out } = parseArgs(Deno.args, {
    string: ["port", "host", "out"],
    default: { port: "8000", host: "127.0.0.1" },
    unknown: (arg) => refuse(`Cannot use ${arg}: the flags are --port, --host and --out`),
  });
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) refuse(`Cannot use --port ${port}: it must be a whole number from 0 to 65535`);
  const made = out ? resolve(out) : await Deno.makeTempDir(), folder = pathToFileURL(`${made}/`);
  await program(async () => {
    try {
      await Promise.all([buildSite(folder), buildDocs(new URL("docs/", folder), "../")]);
      if (out) return console.log(`The site is in ${out}; serve it with these headers:\n${JSON.stringify(HEADERS, null, 2)}`);
      const server = Deno.serve(
        { port: Number(port), hostname: host, onListen: ({ hostname, port }) => console.log(`http://${hostname}:${port}/`) },
        (request) => serveSite(folder, request),
      );
      Deno.addSignalListener("SIGINT", () => server.shutdown());
      await server.finished;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      throw new ConfigError(
        `Cannot serve at ${host}:${port}: another process has that port; give another with --port, 0 for any that is free`,
      );
    } finally {
      if (!out) await Deno.remove(folder, { recursive: true });
    }
  });
}
