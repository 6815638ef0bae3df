/**
 * Serves a model's text from Node (after `deno task bundle`):
 *
 *     MODEL=runs/text PORT=8000 node examples/node.js
 *     curl -N 'localhost:8000/?prompt=Once&length=200'
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import process from "node:process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { readModel } from "../dist/files.js";
import { openModel } from "../dist/longstride.js";
import { textServer } from "./text_server.js";

const { MODEL = "runs/text", PORT = "8000" } = process.env;

const answer = textServer(async () =>
  await openModel(readModel(await readFile(`${MODEL}/config.json`, "utf8"), await readFile(`${MODEL}/model.safetensors`)))
);

/** The request as other runtimes give it, or what is wrong with its address. */
function requestOf({ url, method }, signal) {
  try {
    return new Request(url.startsWith("/") ? `http://localhost${url}` : url, { method, signal });
  } catch (error) {
    return error;
  }
}

const server = createServer(async (incoming, response) => {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  try {
    const request = requestOf(incoming, gone.signal);
    const { status, headers, body } = request instanceof Request
      ? await answer(request)
      : new Response(`${request.message}\n`, { status: 400 });
    response.writeHead(status, Object.fromEntries(headers));
    if (body) await pipeline(Readable.fromWeb(body), response);
    else response.end();
  } catch {
    // The client went away, which ends the text; or it broke off, and so does the response.
    response.destroy();
  }
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
