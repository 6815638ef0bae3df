/**
 * Serves a model's text from Deno or Bun (after `deno task bundle`):
 *
 *     MODEL=runs/text deno serve -A --host 127.0.0.1 --port 8000 examples/serve.js
 *     MODEL=runs/text PORT=8000 bun examples/serve.js
 *     curl -N 'localhost:8000/?prompt=Once&length=200'
 *
 * @module
 */

import process from "node:process";
import { pathToFileURL } from "node:url";
import { openModel } from "../dist/longstride.js";
import { textServer } from "./text_server.js";

const { MODEL = "runs/text", PORT } = process.env;

export default {
  hostname: "127.0.0.1",
  port: PORT,
  // Bun closes a connection on which nothing came for ten seconds, also of who waits for a turn; these seconds are its most.
  idleTimeout: 255,
  fetch: textServer(() => openModel(pathToFileURL(`${MODEL}/`))),
};
