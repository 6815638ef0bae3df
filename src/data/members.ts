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
import { ByteReader, type DataFile, isSliceable, type Sliceable } from "./reader.ts";
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
  /** Where all of its bytes can be read at any place. */
  readonly place?: Sliceable;
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

/** Why files are left out whose names say that nobody means them. */
export const OF_SYSTEM = "hidden or the system's";

/** Where a file is that is looked into: what {@linkcode Member} says of it, and how many archives it is in. */
interface Place {
  readonly path: string;
  readonly archived: boolean;
  readonly own: boolean;
  readonly depth: number;
}

const refusal = (as: Refused, name: string, what: string, hint: string) => ({
  as,
  error: new DataError(`Cannot read ${name}: it is ${what}, which is not supported; ${hint}${INSIST}`),
});

/**
 * What a file is by its first bytes: of a format that is read, of one that is not, or neither.
 *
 * @throws {DataError} where something stands in its place, or its name promises another format
 */
function recognise(head: Uint8Array, path: string, name: string): { format?: Format; refused?: Member["refused"] } {
  const format = (Object.keys(FORMATS) as Format[]).find((one) => FORMATS[one].begins(head));
  if (format) return { format };
  for (const as of Object.keys(REFUSED) as Refused[]) {
    const found = REFUSED[as].find(([, begins]) => typeof begins === "string" ? starts(head, begins) : begins(head));
    if (found) return { refused: refusal(as, name, `${found[0]} by its first bytes`, found[2]) };
  }
  const instead = standIn(new TextDecoder("latin1").decode(head.subarray(0, 256)));
  // A web page may be what is to be learnt; not so in place of another format.
  if (instead?.includes("pointer")) throw new DataError(`Cannot read ${name}: it is ${instead}${INSIST}`);
  for (const { want, ending } of Object.values(FORMATS)) {
    if (!ending.test(path)) continue;
    const found = Array.from(head.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw new DataError(
      `Cannot read ${name}: by its name it begins with ${want}, found ${found || "nothing"} at byte 0${
        instead ? `: it is ${instead}` : ""
      }`,
    );
  }
  return {};
}

/**
 * The files with samples in what was given, one after another: of an archive those in it, of anything else itself.
 *
 * @param path of the file in the folder it came from, or its name
 * @param own whether it was given by itself
 */
export async function* members(file: DataFile, path: string, own: boolean, told: Told): AsyncGenerator<Member> {
  yield* look(file, { path, archived: false, own, depth: 0 }, told);
}

async function* look(file: DataFile, place: Place, told: Told): AsyncGenerator<Member> {
  const { name } = file,
    { path, archived, own, depth } = place,
    reader = new ByteReader(file.data, name),
    at = isSliceable(file.data) ? { place: file.data } : {};
  try {
    if (told.plain) return yield { reader, path, archived, own, ...at };
    const { format, refused } = recognise(await reader.peek(HEAD), path, name);
    if (refused) return yield { reader, path, archived, own, refused };
    if (format === undefined || format === "png" || format === "wav") return yield { reader, format, path, archived, own, ...at };
    if (depth === DEPTH) throw new DataError(`Cannot read ${name}: it is an archive in ${DEPTH} archives, unpack it first`);
    yield* open(file, reader, format, place, told);
  } finally {
    await reader.close();
  }
}

/** Looks into the files of an archive. */
async function* open(
  { name, data: source }: DataFile,
  reader: ByteReader,
  format: "gzip" | "tar" | "zip",
  { path, archived, own, depth }: Place,
  told: Told,
): AsyncGenerator<Member> {
  const { notify, skip } = told;
  const file = (inner: string, data: DataFile["data"], size: number) => {
    const canonical = canonicalPath(inner), label = `${excerpt(inner)} of ${name}`;
    if (HIDDEN.test(canonical)) return skip({ name: label, bytes: size, why: OF_SYSTEM });
    const place = { path: archived ? `${path}/${canonical}` : canonical, archived: true, own: false, depth: depth + 1 };
    return look({ name: label, data }, place, told);
  };
  if (format === "gzip") {
    // One file, without a name of its own, and so no archive of many.
    const inner = path.replace(/\.tgz$/i, ".tar").replace(/\.gz$/i, "");
    yield* look(
      { name, data: gunzipPieces(reader.rest(), name, Infinity, notify) },
      { path: inner, archived, own, depth: depth + 1 },
      told,
    );
  } else if (format === "tar") {
    for await (const { name: inner, size, other, data } of tarFiles(reader.rest(), name, notify)) {
      if (other) skip({ name: `${excerpt(inner)} of ${name}`, bytes: size, why: other });
      else yield* file(inner, data, size) ?? [];
    }
  } else {
    const at = isSliceable(source) ? source : await reader.whole();
    const entries = at instanceof Uint8Array ? zipEntries(at, name, notify) : await zipPlaces(at, name, notify);
    const document = entries.length > 0 ? ZIPPED.find(([, first]) => first.test(entries[0].name)) : undefined;
    if (document) {
      const [what, , hint] = document, empty = new ByteReader(new Uint8Array(), name);
      return yield { reader: empty, path, archived, own, refused: refusal("document", name, what, hint) };
    }
    for (const entry of entries) yield* file(entry.name, unzipPieces(entry, at, name), entry.size) ?? [];
  }
}
