/**
 * Tokens that were unpacked or decoded and that memory is not to hold: a temporary file, gone with the process.
 *
 * @module
 */

import { DataError } from "../mod.ts";
import type { TokenStore } from "../data.ts";
import { removeQuietly, whyUnwritten } from "./disk.ts";

/** A store that makes its file with the first token. */
export function tokenFile(): TokenStore {
  let file: Deno.FsFile | undefined, name = "a temporary file", end = 0;
  const begin = () => {
    name = Deno.makeTempFileSync({ prefix: "longstride-", suffix: ".tokens" });
    const made = Deno.openSync(name, { read: true, write: true });
    // Without a name it is gone however the process ends. Windows keeps the names of open files.
    if (Deno.build.os === "windows") addEventListener("unload", () => (made.close(), removeQuietly(name)));
    else Deno.removeSync(name);
    return made;
  };
  return {
    get name() {
      return `${name} (TMPDIR says where)`;
    },
    write(bytes) {
      try {
        file ??= begin();
        file.seekSync(end, Deno.SeekMode.Start);
        for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
      } catch (error) {
        throw new DataError(`Cannot write ${name}: ${whyUnwritten(error)}; set TMPDIR to a folder with more room`, { cause: error });
      }
      end += bytes.length;
    },
    place: {
      get size() {
        return end;
      },
      slice: (from, to) => ({
        arrayBuffer() {
          const bytes = new Uint8Array(Math.max(0, Math.min(to, end) - from));
          file!.seekSync(from, Deno.SeekMode.Start);
          let at = 0;
          for (let read; at < bytes.length; at += read) if ((read = file!.readSync(bytes.subarray(at)) ?? 0) === 0) break;
          return Promise.resolve(bytes.buffer.slice(0, at));
        },
      }),
    },
  };
}
