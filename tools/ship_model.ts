/**
 * Makes a model folder for pages of a run: `config.json`, `tokenizer.json` if it has one, and the weights in f16, half as large and of no use
 * to resume from.
 *
 *     deno run -A tools/ship_model.ts RUN FOLDER
 *
 * Prints the files' integrity for `<longstride-sample integrity="…">`.
 *
 * @module
 */

import { BYTES } from "../data.ts";
import { modelChunks, parseConfig, readModel, SAVED_WEIGHTS, TOKENIZER_FILE } from "../files.ts";

const [run, folder, given = "F16"] = Deno.args, type = SAVED_WEIGHTS.find((type) => type === given);
if (!run || !folder || !type) {
  console.error(`usage: deno run -A tools/ship_model.ts RUN FOLDER [${SAVED_WEIGHTS.join("|")}]`);
  Deno.exit(2);
}
const config = await Deno.readTextFile(`${run}/config.json`), weights = await Deno.readFile(`${run}/model.safetensors`);
const chunks = [...modelChunks(readModel(config, weights), type)] as Uint8Array<ArrayBuffer>[];
const files = {
  "config.json": new TextEncoder().encode(config),
  "model.safetensors": new Uint8Array(await new Blob(chunks).arrayBuffer()),
};
await Deno.mkdir(folder, { recursive: true });
const { vocab_size } = parseConfig(config, "config.json");
if (vocab_size > BYTES.size) Object.assign(files, { [TOKENIZER_FILE]: await Deno.readFile(`${run}/${TOKENIZER_FILE}`) });
for (const [name, bytes] of Object.entries(files)) {
  await Deno.writeFile(`${folder}/${name}`, bytes);
  console.log(`${name}:sha256-${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toBase64()}`);
}
