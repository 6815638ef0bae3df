/**
 * A run in a zip archive, opened.
 *
 * @module
 */

import { CheckpointError } from "../mod.ts";
import { unzip, zipEntries } from "../data.ts";
import { CONFIG_FILE, type FileContent, MODEL_FILE, type RunReader, sha256 } from "../files.ts";

export { readTrained } from "../files.ts";

/**
 * Opens a zip of a run's or a model's folder.
 *
 * @param name of the file, for messages
 * @throws {DataError} where it is no zip archive, or a damaged one
 * @throws {CheckpointError} where it has no model in it
 */
export async function readZip(file: Blob, name: string): Promise<RunReader> {
  const entries = zipEntries(new Uint8Array(await file.arrayBuffer()), name), names = entries.map(({ name }) => name);
  const [weights] = names.filter((entry) => entry.split("/").at(-1) === MODEL_FILE).sort((a, b) => a.length - b.length);
  if (weights === undefined) {
    throw new CheckpointError(
      `Cannot open ${name}: there is no ${MODEL_FILE} in it; give the zip of a run or of a model folder, with its ${CONFIG_FILE}`,
    );
  }
  const folder = weights.slice(0, -MODEL_FILE.length), contents = new Map<string, FileContent>();
  for (const entry of entries) {
    if (!entry.name.startsWith(folder)) continue;
    const bytes = unzip(entry, name);
    contents.set(entry.name.slice(folder.length), { bytes, sha256: await sha256(bytes) });
  }
  return {
    path: name,
    locate: (entry) => `${name}, ${folder}${entry}`,
    folders: () => [...new Set([...contents.keys()].filter((entry) => entry.includes("/")).map((entry) => entry.split("/")[0]))],
    read: (entry) => contents.get(entry),
  };
}
