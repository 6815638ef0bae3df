/**
 * Tokens that were unpacked or decoded and that memory is not to hold: a temporary file, gone with the process.
 *
 * @module
 */

import { tmpdir } from "node:os";
import { DataError } from "../mod.ts";
import type { TokenStore } from "../data.ts";
import { placeOf } from "./data_files.ts";
import { removeQuietly, temporaryIn, whyUnwritten } from "./disk.ts";

/** A store that makes its file with the first token. */
export function tokenFile(): TokenStore {
  const folder = tmpdir();
  let written: Deno.FsFile | undefined, read: Deno.FsFile, end = 0;
  const begin = () => {
    const name = temporaryIn(folder), made = Deno.openSync(name, { write: true, createNew: true });
    read = Deno.openSync(name);
    // Without a name it is gone however the process ends.
    removeQuietly(name);
    return made;
  };
  return {
    name: `a temporary file in ${folder} (TMPDIR says where)`,
    write(bytes) {
      try {
        written ??= begin();
        for (let at = 0; at < bytes.length;) at += written.writeSync(bytes.subarray(at));
      } catch (error) {
        throw new DataError(`Cannot write a temporary file in ${folder}: ${whyUnwritten(error)}; set TMPDIR to a folder with more room`, {
          cause: error,
        });
      }
      end += bytes.length;
    },
    place: {
      get size() {
        return end;
      },
      slice: (from, to) => placeOf(folder, read, end).slice(from, to),
    },
  };
}
