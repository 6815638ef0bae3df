/**
 * A run in a zip archive: what a page saves, and opens again.
 *
 * @module
 */

import { unzipSync, zipSync } from "npm:fflate@0.8.3";
import { CheckpointError } from "../mod.ts";
import { type Checkpoint, type FileContent, runFiles, type RunReader, sha256 } from "../files.ts";

export { readTrained } from "../files.ts";

/** The folder in the archive. */
const FOLDER = "longstride-run";

/** A run as the command line saves and resumes one, in a zip. */
export async function zipRun(checkpoint: Checkpoint): Promise<Blob> {
  const files: Record<string, Uint8Array> = {}, saving = runFiles(checkpoint);
  for (let next = saving.next(); !next.done;) {
    const { name, chunks } = next.value, bytes = new Uint8Array(await new Blob([...chunks] as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    files[`${FOLDER}/${name}`] = bytes;
    next = saving.next(await sha256(bytes));
  }
  return new Blob([zipSync(files, { level: 0 }) as Uint8Array<ArrayBuffer>], { type: "application/zip" });
}

/**
 * Opens a zip of a run's or a model's folder.
 *
 * @param name of the file, for messages
 * @throws {CheckpointError} where it is no zip, or has no model in it
 */
export async function readZip(file: Blob, name: string): Promise<RunReader> {
  let entries: Record<string, Uint8Array>;
  try {
    entries = unzipSync(new Uint8Array(await file.arrayBuffer()));
  } catch (cause) {
    throw new CheckpointError(`Cannot open ${name}: it is no zip archive, or a damaged one; give a run's folder as a zip`, { cause });
  }
  const [weights] = Object.keys(entries).filter((entry) => /(^|\/)model\.safetensors$/.test(entry)).sort((a, b) => a.length - b.length);
  if (weights === undefined) {
    throw new CheckpointError(
      `Cannot open ${name}: there is no model.safetensors in it; give the zip of a run or of a model folder, with its config.json`,
    );
  }
  const folder = weights.slice(0, -"model.safetensors".length), contents = new Map<string, FileContent>();
  for (const [entry, packed] of Object.entries(entries)) {
    if (!entry.startsWith(folder) || entry.endsWith("/")) continue;
    const bytes = new Uint8Array(packed);
    contents.set(entry.slice(folder.length), { bytes, sha256: await sha256(bytes) });
  }
  return {
    path: name,
    locate: (entry) => `${name}, ${folder}${entry}`,
    folders: () => [...new Set([...contents.keys()].filter((entry) => entry.includes("/")).map((entry) => entry.split("/")[0]))],
    read: (entry) => contents.get(entry),
  };
}
