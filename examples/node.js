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
import { openModel, readModel } from "../dist/longstride.js";
import { textServer } from "./text_server.js";

const { MODEL = "runs/text", PORT = "8000" } = process.env;

const answer = textServer(async () =>
  await openModel(readModel(await readFile(`${MODEL}/config.json`, "utf8"), await readFile(`${MODEL}/model.safetensors`)))
);

const server = createServer(async (request, response) => {
  const { status, headers, body } = await answer(new Request(new URL(request.url, "http://localhost")));
  response.writeHead(status, Object.fromEntries(headers));
  // Rejects where the client goes away, which ends the text.
  await pipeline(Readable.fromWeb(body), response).catch(() => {});
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
