/**
 * Short names for what kernels declare, in the bundle alone: what a page loads of wgsl/ is a tenth smaller by gzip. Names by which planning
 * speaks of a kernel stay (bindings, uniforms, values), and lines do, so that an error of the compiler still says where it is.
 *
 * @module
 */

import { pack } from "../src/engines/webgpu/shader/strip.ts";
import { type Token, tokenise } from "../src/engines/webgpu/shader/tokens.ts";

const FOLDER = "../src/engines/webgpu/shader/";

/** Files of kernels' text, which {@linkcode shrunkWgsl} makes again. */
export const WGSL_MODULES = /shader\/(wgsl(?:_late|_apart)?\.gen\.ts)$/;

/** Names that the passes of the room for shaders look for. */
const LOOKED_FOR = ["main", "Params", "Stored", "Value", "STORAGE"];

const isName = (text: string | undefined): text is string => /^[A-Za-z_]\w*$/.test(text ?? "");

/** The place of what stands before a variable's template, `var<workgroup>`, that ends at `end`. */
function beforeTemplate(tokens: readonly Token[], end: number): number {
  let at = end;
  while (at > 0 && tokens[at].text !== "<") at--;
  return at - 1;
}

/** Names that some tokens declare: of functions, structures, constants and variables, and of fields and parameters, which a colon follows. */
function declared(tokens: readonly Token[]): string[] {
  return tokens.flatMap(({ text }, at) => {
    const last = tokens[at - 1]?.text === ">" ? beforeTemplate(tokens, at - 1) : at - 1, before = tokens[last]?.text ?? "";
    const isDeclared = last === at - 1 ? /^(fn|struct|const|let|var|alias)$/.test(before) : before === "var";
    return isName(text) && (isDeclared || tokens[at + 1]?.text === ":") ? [text] : [];
  });
}

/** Names of a letter and a digit, which no keyword is. */
function* short(): Generator<string> {
  const letters = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"];
  yield* letters;
  for (let digit = 0; digit < 100; digit++) for (const letter of letters) yield `${letter}${digit}`;
}

/** The texts of kernels by module and file, with short names. Every name has the same one everywhere, since files are put together. */
async function shrunk(): Promise<Map<string, Map<string, readonly Token[]>>> {
  const modules = new Map<string, Map<string, readonly Token[]>>();
  for (const name of ["wgsl.gen.ts", "wgsl_late.gen.ts", "wgsl_apart.gen.ts", "wgsl_matrices.gen.ts"]) {
    const { WGSL } = await import(new URL(`${FOLDER}${name}`, import.meta.url).href) as { WGSL: Readonly<Record<string, string>> };
    modules.set(name, new Map(Object.entries(WGSL).map(([file, text]) => [file, tokenise(text, file)])));
  }
  const all = [...modules.values()].flatMap((files) => [...files.values()]).flat();
  const interfaces = await Deno.readTextFile(new URL(`${FOLDER}kernels.gen.ts`, import.meta.url));
  const kept = new Set([...LOOKED_FOR, ...[...interfaces.matchAll(/readonly (\w+)\??:/g)].map(([, name]) => name)]);
  const counts = new Map<string, number>();
  for (const { text } of all) if (isName(text)) counts.set(text, (counts.get(text) ?? 0) + 1);
  const names = [...new Set(declared(all))].filter((name) => name.length > 2 && !kept.has(name));
  const free = short().filter((name) => !counts.has(name)), given = new Map<string, string>();
  for (const name of names.sort((a, b) => counts.get(b)! - counts.get(a)!)) given.set(name, free.next().value!);
  const renamed = (tokens: readonly Token[]) => tokens.map((token) => ({ ...token, text: given.get(token.text) ?? token.text }));
  return new Map([...modules].map(([name, files]) => [name, new Map([...files].map(([file, tokens]) => [file, renamed(tokens)]))]));
}

let made: ReturnType<typeof shrunk> | undefined;

/** A module of {@linkcode WGSL_MODULES} with short names in its kernels, as JavaScript. */
export async function shrunkWgsl(module: string): Promise<string> {
  const texts = [...(await (made ??= shrunk())).get(module)!].map(([file, tokens]) => [file, pack(tokens, file)]);
  return `export const WGSL = ${JSON.stringify(Object.fromEntries(texts))};`;
}
