/**
 * A file server on loopback. (Deno's std has one, but its npm packaging lacks a file that it imports.)
 *
 * @module
 */

import { fileBelow } from "../../tools/web.ts";

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript",
  json: "application/json",
  // What servers that have never heard of TypeScript say.
  ts: "video/mp2t",
};

/** The content type that goes with a file's name. */
export function contentType(name: string): string {
  return TYPES[name.slice(name.lastIndexOf(".") + 1)] ?? "application/octet-stream";
}

/** The file at `path` below `root`, a file URL that ends in "/", or an answer of 404. */
export async function serveFile(root: URL, path: string): Promise<Response> {
  const file = fileBelow(root, path), bytes = file === undefined ? undefined : await Deno.readFile(file).catch(() => undefined);
  if (!bytes) return new Response("not here", { status: 404 });
  return new Response(bytes, { headers: { "content-type": contentType(file!) } });
}
