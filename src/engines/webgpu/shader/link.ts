/**
 * The pass that makes one module of several files: import.
 *
 * @module
 */

import { KernelError } from "../../../base/errors.ts";
import { type Declaration, declarations, type Token, tokenise, wrong } from "./tokens.ts";
import { WGSL } from "./wgsl.gen.ts";

const known = new Map(Object.entries(WGSL));

/** The text of each file of wgsl/ that is loaded, by its name without the ending. */
export const texts: ReadonlyMap<string, string> = known;

const files = new Map<string, readonly Declaration[]>(), linked = new Map<string, readonly Declaration[]>();

/** Adds texts of files that are loaded later than this module. */
export function addKernels(more: Readonly<Record<string, string>>): void {
  for (const [file, text] of Object.entries(more)) known.set(file, text);
}

/** The declarations of a file of wgsl/, read once. */
function declarationsOf(file: string): readonly Declaration[] | undefined {
  let made = files.get(file);
  const text = texts.get(file);
  if (!made && text !== undefined) files.set(file, made = declarations(tokenise(text, file)));
  return made;
}

/**
 * Import: a file's declarations with those of the files it imports in the place of their directives, each once. Files may name another
 * storage than the kernel's own, so that they stand alone; all get the first that is named, or the one asked for.
 */
export function gather(
  kernel: string,
  storage: string | undefined,
  declarationsOf: (file: string) => readonly Declaration[] | undefined,
): Declaration[] {
  const seen = new Set<string>(), module: Declaration[] = [];
  const add = (file: string, from?: Token) => {
    if (seen.has(file)) return;
    seen.add(file);
    const own = declarationsOf(file), missing = `there is no wgsl/${file}.wgsl`;
    if (!own) throw from ? wrong(from, missing) : new KernelError(missing);
    for (const one of own) {
      if (one.kind !== "import") module.push(one);
      else if (!one.name.startsWith("storage_")) add(one.name, one.tokens[0]);
      else add(`storage_${storage ??= one.name.slice(8)}`, one.tokens[0]);
    }
  };
  add(kernel);
  return module;
}

/** Directives of WGSL itself, which stand before all declarations. */
const first = ({ kind }: Declaration) => kind === "enable" || kind === "requires" || kind === "diagnostic";

/**
 * A kernel with all that it imports, as one module.
 *
 * @param storage of its activations, where it is not the file's own
 * @throws {KernelError} with file, line and reason
 */
export function link(kernel: string, storage?: string): readonly Declaration[] {
  const key = `${kernel} ${storage}`;
  let module = linked.get(key);
  if (!module) {
    const all = gather(kernel, storage, declarationsOf);
    linked.set(key, module = [...all.filter(first), ...all.filter((one) => !first(one))]);
  }
  return module;
}
