/**
 * A tiny model and its data in a folder, for tests of the command line; who imports it removes the folder when done.
 *
 * @module
 */

import { join } from "node:path";
import { SMALL, TEXT } from "./model.ts";

/** The model. */
export const TINY = { ...SMALL, dropout: 0.1, attention: { pattern: "fixed", stride: 8, c: 2 } };

/** A folder with a configuration, and text to train on. */
export const folder = Deno.makeTempDirSync({ prefix: "longstride-cli-" });

/** A path in the folder. */
export const at = (name: string) => join(folder, name);

Deno.writeTextFileSync(at("config.json"), JSON.stringify(TINY));

Deno.writeTextFileSync(at("text.txt"), TEXT);

/** The arguments that train it into a run of that name. */
export const tiny = (out: string, ...more: string[]) => [
  ...["train", "--config", at("config.json"), "--data", at("text.txt"), "--backend", "wasm", "--threads", "1", "--out", at(out)],
  ...more,
];
