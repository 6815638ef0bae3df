/**
 * Files of data, opened one after another: a file, or those of a folder by name.
 *
 * @module
 */

import { join, relative } from "node:path";
import { DataError } from "../mod.ts";
import { type DataFile, isHidden, type Sliceable } from "../data.ts";
import { whyUnread } from "./disk.ts";

/** What is neither a file nor a folder. */
function special({ isFifo, isSocket, isCharDevice, isBlockDevice }: Deno.FileInfo): string {
  return isFifo ? "a pipe" : isSocket ? "a socket" : isCharDevice || isBlockDevice ? "a device" : "something else";
}

/** A file that was given, or found in a folder that was. */
interface Found {
  readonly path: string;
  /** Where in that folder. */
  readonly inside?: string;
}

/**
 * Files below a path, by name, folders in their place. All are found before the first is read, so that a folder nobody meant, such as
 * `/`, is refused at once. Hidden ones are named, not looked into.
 *
 * @param above the folders that it is in, from the one given, without links
 */
function filesBelow(path: string, given = path, above: readonly string[] = []): Found[] {
  const fail = (what: string, cause?: unknown): never => {
    throw new DataError(`Cannot read ${path}: ${what}`, { cause });
  };
  const inside = above.length > 0 ? relative(given, path) : undefined;
  if (inside !== undefined && isHidden(inside)) return [{ path, inside }];
  let real: string, names: string[];
  try {
    const found = Deno.statSync(path);
    // A pipe that is given may be the shell's <(command).
    if (!found.isDirectory && above.length > 0 && !found.isFile) {
      fail(`it is ${special(found)}, neither a file nor a folder; give a folder of data alone instead of ${given}`);
    }
    if (!found.isDirectory) return [{ path, inside }];
    real = Deno.realPathSync(path);
    names = Array.from(Deno.readDirSync(path), ({ name }) => name).sort();
  } catch (error) {
    if (error instanceof DataError) throw error;
    const leadsNowhere = above.length > 0 && error instanceof Deno.errors.NotFound;
    return fail(leadsNowhere ? "it is a link that leads nowhere" : whyUnread(error), error);
  }
  if (above.includes(real)) fail(`it leads back to ${real}, the folder that it is in; give a folder without it instead of ${given}`);
  return names.flatMap((name) => filesBelow(join(path, name), given, [...above, real]));
}

/** A file as a place to read from. */
interface Place extends Sliceable {
  /** Lets go of the file: from then on it is opened for each reading, so that data of any number of files can be read by range. */
  close(): void;
}

/** A file as a place to read from; what it holds now, so that one that grows is read once. */
export function placeOf(path: string, opened: Deno.FsFile, size: number): Place {
  let file: Deno.FsFile | undefined = opened;
  const read = (from: number, to: number, file: Deno.FsFile) => {
    const bytes = new Uint8Array(Math.max(0, Math.min(to, size) - from));
    file.seekSync(from, Deno.SeekMode.Start);
    let at = 0;
    for (let read; at < bytes.length; at += read) if ((read = file.readSync(bytes.subarray(at)) ?? 0) === 0) break;
    return bytes.buffer.slice(0, at);
  };
  return {
    size,
    slice: (from, to) => ({
      // At once, not by promises: 65,537 files of a zip archive took 16 s, and nothing else is to be done meanwhile.
      arrayBuffer() {
        if (file) return Promise.resolve(read(from, to, file));
        try {
          using again = Deno.openSync(path);
          return Promise.resolve(read(from, to, again));
        } catch (error) {
          return Promise.reject(new DataError(`Cannot read ${path}: ${whyUnread(error)}`, { cause: error }));
        }
      },
    }),
    close() {
      file?.close();
      file = undefined;
    },
  };
}

/** Opens files, and those in folders by name, one after another as they are asked for. */
export async function* openFiles(paths: readonly string[]): AsyncGenerator<DataFile> {
  for (const { path, inside } of paths.flatMap((path) => filesBelow(path))) {
    if (inside !== undefined && isHidden(inside)) {
      // Counted, not opened: it may be a lock or a socket.
      const found = Deno.lstatSync(path);
      yield { name: path, data: new Uint8Array(), path: inside, size: found.isFile ? found.size : undefined };
      continue;
    }
    let file: Deno.FsFile, found: Deno.FileInfo;
    try {
      file = await Deno.open(path);
      found = await file.stat();
    } catch (error) {
      throw new DataError(`Cannot read ${path}: ${whyUnread(error)}`, { cause: error });
    }
    // Files of /proc say 0 and have bytes.
    if (found.isFile && found.size > 0) {
      const data = placeOf(path, file, found.size);
      try {
        yield { name: path, data, path: inside, size: found.size };
      } finally {
        data.close();
      }
    } else yield { name: path, data: file.readable, path: inside };
  }
}
