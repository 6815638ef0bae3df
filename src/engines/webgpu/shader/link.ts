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

/**
 * Values that choose among files: how activations lie in memory (storage_*.wgsl), and how weights do (weights_*.wgsl); the skeleton of matrix
 * products (product_*.wgsl), and what subgroup matrices are (matrices_*.wgsl).
 */
export interface Parts {
  readonly STORAGE?: string;
  readonly WEIGHTS?: string;
  readonly PRODUCT?: string;
  readonly MATRICES?: string;
}

/** A file among which a value chooses. */
const CHOSEN = /^(weights|product|matrices)_/;

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
 * storage than the kernel's own, so that they stand alone; all get the first that is named, or the one asked for. Others are as asked for.
 */
export function gather(
  kernel: string,
  { STORAGE: storage, ...others }: Parts,
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
      else if (one.name.startsWith("storage_")) add(`storage_${storage ??= one.name.slice(8)}`, one.tokens[0]);
      else {
        const family = CHOSEN.exec(one.name)?.[1], chosen = family && others[family.toUpperCase() as keyof typeof others];
        add(chosen ? `${family}_${chosen}` : one.name, one.tokens[0]);
      }
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
 * @param parts where they are not the file's own
 * @throws {KernelError} with file, line and reason
 */
export function link(kernel: string, parts: Parts = {}): readonly Declaration[] {
  const key = JSON.stringify([kernel, parts]);
  let module = linked.get(key);
  if (!module) {
    const all = gather(kernel, parts, declarationsOf);
    linked.set(key, module = [...all.filter(first), ...all.filter((one) => !first(one))]);
  }
  return module;
}
