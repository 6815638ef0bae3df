/**
 * The files in what was given: archives opened, whatever is in them told apart by content.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { DataError, excerpt } from "../base/errors.ts";
import { standIn } from "../base/json.ts";
import type { Skipped } from "./dataset.ts";
import { type Format, FORMATS, HEAD, REFUSED, type Refused, starts, ZIPPED } from "./formats.ts";
import { gunzipPieces } from "./gzip.ts";
import type { Notify } from "./notices.ts";
import { ByteReader, type DataFile, isSliceable } from "./reader.ts";
import { tarFiles } from "./tar.ts";
import { unzipPieces, zipEntries, zipPlaces } from "./zip.ts";

/** Archives within archives are opened this deep: .tar.gz is two. */
const DEPTH = 4;

/** What to do about a file that is not what its user means. */
const INSIST = "; --as bytes takes it as it is";

/** A file with samples in it, out of its archives. */
export interface Member {
  readonly reader: ByteReader;
  readonly format?: "png" | "wav";
  /** Path in the archive or folder that it came from, canonical; or the file's own name. */
  readonly path: string;
  /** Whether it came out of an archive. */
  readonly archived: boolean;
  /** Whether it was given by itself, not with a folder or archive. */
  readonly own: boolean;
  /** What it is, where it is not read. */
  readonly refused?: { readonly as: Refused; readonly error: DataError };
}

/** A path in a folder or archive as others would write it: `/` between names, no `.`, `..`, drive or root. */
export function canonicalPath(path: string): string {
  return path.replace(/^[A-Za-z]:/, "").split(/[\\/]+/).filter((name) => name !== "" && name !== "." && name !== "..").join("/");
}

/** Files that systems put beside those of people, and hidden ones. */
export const HIDDEN = /(^|\/)(\.[^/]+|__MACOSX|\$RECYCLE\.BIN|System Volume Information|(ehthumbs|thumbs)\.db|desktop\.ini)(\/|$)/i;

/**
 * Whether a path in a folder or archive, of any form, is that of a hidden file, or of one that a system put there: `.git/config`,
 * `__MACOSX/a`, `Thumbs.db`. {@linkcode loadDataset} leaves those out, so who opens a folder need not.
 */
export function isHidden(path: string): boolean {
  expect("Cannot judge a path", { path: [path, "a string"] });
  return HIDDEN.test(canonicalPath(path));
}

/** Takes a file that is left out. */
export type Skip = (file: Skipped) => void;

/** What is told while files are read. */
interface Told {
  readonly notify: Notify;
  readonly skip: Skip;
  /** Whether bytes are taken as they are. */
  readonly plain: boolean;
}

export const OF_SYSTEM = "hidden or the system's";

export async function* members(
  file: DataFile,
  path: string,
  { archived = false, own = true, depth = 0 }: { archived?: boolean; own?: boolean; depth?: number },
  told: Told,
): AsyncGenerator<Member> {
  const { name } = file, reader = new ByteReader(file.data, name), { notify, skip, plain } = told;
  try {
    if (plain) return yield { reader, path, archived, own };
    const head = await reader.peek(HEAD), format = (Object.keys(FORMATS) as Format[]).find((one) => FORMATS[one].begins(head));
    const refuse = (as: Refused, what: string, hint: string) => ({
      as,
      error: new DataError(`Cannot read ${name}: it is ${what}, which is not supported; ${hint}${INSIST}`),
    });
    for (const as of format ? [] : Object.keys(REFUSED) as Refused[]) {
      const found = REFUSED[as].find(([, begins]) => typeof begins === "string" ? starts(head, begins) : begins(head));
      if (found) return yield { reader, path, archived, own, refused: refuse(as, `${found[0]} by its first bytes`, found[2]) };
    }
    const instead = format ? undefined : standIn(new TextDecoder("latin1").decode(head.subarray(0, 256)));
    // A web page may be what is to be learnt; not so in place of another format.
    if (instead?.includes("pointer")) throw new DataError(`Cannot read ${name}: it is ${instead}${INSIST}`);
    for (const { want, ending } of format ? [] : Object.values(FORMATS)) {
      if (!ending.test(path)) continue;
      const found = Array.from(head.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
      throw new DataError(
        `Cannot read ${name}: by its name it begins with ${want}, found ${found || "nothing"} at byte 0${
          instead ? `: it is ${instead}` : ""
        }`,
      );
    }
    if (format === undefined || format === "png" || format === "wav") return yield { reader, format, path, archived, own };
    if (depth === DEPTH) throw new DataError(`Cannot read ${name}: it is an archive in ${DEPTH} archives, unpack it first`);
    const open = (inner: string, data: DataFile["data"], size: number) => {
      const canonical = canonicalPath(inner), label = `${excerpt(inner)} of ${name}`;
      if (HIDDEN.test(canonical)) return skip({ name: label, bytes: size, why: OF_SYSTEM });
      return members(
        { name: label, data },
        archived ? `${path}/${canonical}` : canonical,
        { archived: true, own: false, depth: depth + 1 },
        told,
      );
    };
    if (format === "gzip") {
      // One file, without a name of its own, and so no archive of many.
      const inner = path.replace(/\.tgz$/i, ".tar").replace(/\.gz$/i, "");
      yield* members({ name, data: gunzipPieces(reader.rest(), name, Infinity, notify) }, inner, { archived, own, depth: depth + 1 }, told);
    } else if (format === "tar") {
      for await (const { name: inner, size, other, data } of tarFiles(reader.rest(), name, notify)) {
        if (other) skip({ name: `${excerpt(inner)} of ${name}`, bytes: size, why: other });
        else yield* open(inner, data, size) ?? [];
      }
    } else {
      const at = isSliceable(file.data) ? file.data : await reader.whole();
      const entries = at instanceof Uint8Array ? zipEntries(at, name, notify) : await zipPlaces(at, name, notify);
      for (const [what, first, hint] of ZIPPED) {
        if (entries.length > 0 && first.test(entries[0].name)) {
          return yield { reader: new ByteReader(new Uint8Array(), name), path, archived, own, refused: refuse("document", what, hint) };
        }
      }
      for (const entry of entries) yield* open(entry.name, unzipPieces(entry, at, name), entry.size) ?? [];
    }
  } finally {
    await reader.close();
  }
}
