/**
 * Short names for what kernels declare, in the bundle alone: what a page loads of wgsl/ is a tenth smaller by gzip. Names by which planning
 * speaks of a kernel stay (bindings, uniforms, values), and lines do, so that an error of the compiler still says where it is.
 *
 * @module
 */

import { pack } from "../src/engines/webgpu/shader/strip.ts";
import { type Declaration, declarations, type Token, tokenise } from "../src/engines/webgpu/shader/tokens.ts";

const FOLDER = "../src/engines/webgpu/shader/";

/** Files of kernels' text, which {@linkcode shrunkWgsl} makes again. */
export const WGSL_FILES = ["wgsl.gen.ts", "wgsl_late.gen.ts", "wgsl_apart.gen.ts", "wgsl_matrices.gen.ts"] as const;

/** The path of such a file, and its name. */
export const WGSL_MODULES = /shader\/(wgsl(?:_\w+)?\.gen\.ts)$/;

/** Names that the passes of the room for shaders look for. */
const LOOKED_FOR = ["main", "Params", "Stored", "Value", "STORAGE"];

const isName = (text: string | undefined): text is string => /^[A-Za-z_]\w*$/.test(text ?? "");

/** The place of what stands before a variable's template, `var<workgroup>`, that ends at `end`. */
function beforeTemplate(tokens: readonly Token[], end: number): number {
  let at = end;
  while (at > 0 && tokens[at].text !== "<") at--;
  return at - 1;
}

/** Whether a token is a field that is asked for. */
const isField = (tokens: readonly Token[], at: number) => tokens[at - 1]?.text === ".";

/** Names that some tokens declare: of functions, structures, constants and variables, and of fields and parameters, which a colon follows. */
function declared(tokens: readonly Token[]): string[] {
  return tokens.flatMap(({ text }, at) => {
    const last = tokens[at - 1]?.text === ">" ? beforeTemplate(tokens, at - 1) : at - 1, before = tokens[last]?.text ?? "";
    const isDeclared = last === at - 1 ? /^(fn|struct|const|let|var|alias)$/.test(before) : before === "var";
    return isName(text) && (isDeclared || tokens[at + 1]?.text === ":") ? [text] : [];
  });
}

/** Declarations that give a name; others are of WGSL itself, such as `enable f16;`. */
const NAMING = /^(fn|struct|const|override|var|alias)$/;

/** Letters, and a letter with a digit, which no keyword is. */
const LETTERS = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"],
  NUMBERED = Array.from({ length: 100 }, (_, digit) => LETTERS.map((letter) => `${letter}${digit}`)).flat();

/** How often each name stands for something that all see, and for something of one function. */
interface Uses {
  readonly shared: Map<string, number>;
  readonly own: Map<string, number>;
  /** Each function's own names. */
  readonly functions: readonly ReadonlySet<string>[];
}

const count = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);

const mostFirst = (counts: ReadonlyMap<string, number>) => [...counts].sort(([, a], [, b]) => b - a).map(([name]) => name);

/** What a function declares and no declaration outside of functions is called. */
function ownOf({ kind, tokens }: Declaration, shared: ReadonlySet<string>): ReadonlySet<string> {
  return new Set(kind === "fn" ? declared(tokens).filter((name) => !shared.has(name)) : []);
}

/** Counts the names of some declarations. */
function usesOf(all: readonly Declaration[], shared: ReadonlySet<string>): Uses {
  const uses = { shared: new Map<string, number>(), own: new Map<string, number>(), functions: [] as ReadonlySet<string>[] };
  for (const one of all) {
    const own = ownOf(one, shared);
    one.tokens.forEach(({ text }, at) => {
      if (isName(text)) count(own.has(text) && !isField(one.tokens, at) ? uses.own : uses.shared, text);
    });
    uses.functions.push(own);
  }
  return uses;
}

/**
 * Short names for what functions have of their own, a letter mostly: each has the same one in all functions, and two have the same one where
 * no function has both. What all see is called otherwise, since passes and planning look for that by name.
 */
function ownNames({ shared, own, functions }: Uses, taken: ReadonlySet<string>): Map<string, string> {
  const given = new Map<string, string>(), free = [...LETTERS, ...NUMBERED].filter((name) => !shared.has(name) && !taken.has(name));
  for (const name of mostFirst(own)) {
    const beside = new Set(functions.filter((names) => names.has(name)).flatMap((names) => [...names].map((other) => given.get(other))));
    given.set(name, free.find((short) => !beside.has(short))!);
  }
  return given;
}

/** Short names for what all see but those that planning and passes speak of: the same one everywhere, since files are put together. */
function sharedNames(all: readonly Declaration[], { shared, own }: Uses, kept: ReadonlySet<string>): Map<string, string> {
  const free = NUMBERED.values().filter((name) => !shared.has(name) && !own.has(name));
  const made = new Set(
    all.filter(({ kind }) => NAMING.test(kind)).flatMap((one) => [one.name, ...one.kind === "struct" ? declared(one.tokens) : []]),
  );
  const names = mostFirst(shared).filter((name) => name.length > 2 && made.has(name) && !kept.has(name));
  return new Map(names.map((name) => [name, free.next().value!]));
}

/** The texts of kernels by module and file, with short names. */
async function shrunk(): Promise<Map<string, Map<string, readonly Token[]>>> {
  const modules = new Map<string, Map<string, readonly Declaration[]>>();
  for (const name of WGSL_FILES) {
    const { WGSL } = await import(new URL(`${FOLDER}${name}`, import.meta.url).href) as { WGSL: Readonly<Record<string, string>> };
    modules.set(name, new Map(Object.entries(WGSL).map(([file, text]) => [file, declarations(tokenise(text, file))])));
  }
  const all = [...modules.values()].flatMap((files) => [...files.values()]).flat().filter(({ kind }) => kind !== "import");
  const interfaces = await Deno.readTextFile(new URL(`${FOLDER}kernels.gen.ts`, import.meta.url));
  const kept = new Set([...LOOKED_FOR, ...[...interfaces.matchAll(/readonly (\w+)\??:/g)].map(([, name]) => name)]);
  const outside = new Set(all.map(({ name }) => name)), uses = usesOf(all, outside);
  const shared = sharedNames(all, uses, kept), own = ownNames(uses, new Set(shared.values()));
  const renamed = (one: Declaration) => {
    const inside = ownOf(one, outside);
    return one.tokens.map((token, at) => {
      const names = inside.has(token.text) && !isField(one.tokens, at) ? own : shared;
      return { ...token, text: names.get(token.text) ?? token.text };
    });
  };
  return new Map([...modules].map(([name, files]) => [name, new Map([...files].map(([file, own]) => [file, own.flatMap(renamed)]))]));
}

let made: ReturnType<typeof shrunk> | undefined;

/** A module of {@linkcode WGSL_MODULES} with short names in its kernels, as JavaScript. */
export async function shrunkWgsl(module: string): Promise<string> {
  const texts = [...(await (made ??= shrunk())).get(module)!].map(([file, tokens]) => [file, pack(tokens, file)]);
  return `export const WGSL = ${JSON.stringify(Object.fromEntries(texts))};`;
}
