/**
 * Makes what src/engines/webgpu/shader/ has of wgsl/*.wgsl: wgsl.gen.ts, wgsl_late.gen.ts and wgsl_matrices.gen.ts, their text, since bundlers and remote imports
 * need it inside a module, and kernels.gen.ts, the types of their interfaces.
 *
 * `deno run -A tools/gen_wgsl.ts` writes them; `--check` only says whether they are current.
 *
 * @module
 */

import { conditionsOf } from "../src/engines/webgpu/shader/conditions.ts";
import { gather } from "../src/engines/webgpu/shader/link.ts";
import { pasteAll } from "../src/engines/webgpu/shader/paste.ts";
import { fieldsOf, isBound, spaceOf } from "../src/engines/webgpu/shader/reflect.ts";
import { LATE, LATE_APART, LATE_MATRICES, pack, strip, VALUES } from "../src/engines/webgpu/shader/strip.ts";
import { type Declaration, declarations } from "../src/engines/webgpu/shader/tokens.ts";

/** The part of kernels that only weights of int8 take. */
const INT8 = "weights_i8";

const FOLDER = "src/engines/webgpu/shader/";

/** The text of all files by name. */
async function sources(): Promise<Map<string, string>> {
  const names: string[] = [], texts = new Map<string, string>();
  for await (const entry of Deno.readDir("wgsl")) if (entry.name.endsWith(".wgsl")) names.push(entry.name);
  for (const name of names.sort()) texts.set(name.slice(0, -5), await Deno.readTextFile(`wgsl/${name}`));
  return texts;
}

/** What the comments of wgsl/ say, for the types. */
class Comments {
  readonly #lines: ReadonlyMap<string, readonly string[]>;

  constructor(texts: ReadonlyMap<string, string>) {
    this.#lines = new Map([...texts].map(([file, text]) => [file, text.split("\n")]));
  }

  /** The comment at the end of a declaration's line, or of a field's. */
  of({ file, line }: { file: string; line: number }): string | undefined {
    return / \/\/ (.+)$/.exec(this.#lines.get(file)![line - 1])?.[1];
  }

  /** The lines that a file begins with, up to its directives. */
  head(file: string): string[] {
    const lines = this.#lines.get(file)!, end = lines.findIndex((line) => !line.startsWith("// ") || line.startsWith("// @"));
    return lines.slice(0, end).map((line) => line.slice(3));
  }

  /** The constants that planning sets: those from `// @values` to the next empty line. */
  values(file: string): Set<string> {
    const found = new Set<string>();
    let isOpen = false;
    for (const line of this.#lines.get(file)!) {
      isOpen = line === VALUES || (isOpen && line !== "");
      const name = isOpen ? /^const (\w+)/.exec(line)?.[1] : undefined;
      if (name) found.add(name);
    }
    return found;
  }
}

/** The members of an interface, with what is said of them. */
function members(list: readonly { name: string; type: string; says?: string; optional?: boolean }[], indent: string): string {
  if (list.length === 0) return "Record<never, never>";
  const lines = list.map(({ name, type, says, optional }) =>
    `${says ? `${indent}  /** ${says.replaceAll("*/", "*\\/")} */\n` : ""}${indent}  readonly ${name}${optional ? "?" : ""}: ${type};\n`
  );
  return `{\n${lines.join("")}${indent}}`;
}

/** The type of a kernel's interface. */
function interfaceOf(kernel: string, module: readonly Declaration[], comments: Comments): string {
  const conditions = conditionsOf(module), isOther = ({ file }: { file: string }) => file === INT8;
  const bindings = module.filter((one) => spaceOf(one) === "storage").map(({ name, tokens }) => {
    const when = conditions.get(name), where = isOther(tokens[0]) ? "weights are int8" : when;
    const says = [comments.of(tokens[0]), where && `Used where ${where}.`].filter(Boolean).join(". ");
    return {
      name,
      type: JSON.stringify(`${tokens[4].text} ${tokens.slice(8, -1).map(({ text }) => text).join("")}`),
      says,
      optional: !!when || isOther(tokens[0]),
    };
  });
  const params = module.find(({ kind, name }) => kind === "struct" && name === "Params")!;
  const uniforms = fieldsOf(params).map(({ name, type }) => ({ name, type: `"${type[0].text}"`, says: comments.of(type[0]) }));
  const values = module.filter(({ kind, name, tokens }) =>
    kind === "override" || (kind === "const" && comments.values(tokens[0].file).has(name))
  )
    .map(({ name, tokens }): Parameters<typeof members>[0][number] => ({
      name,
      type: tokens[3].text === "bool" ? "boolean" : "number",
      says: comments.of(tokens[0]),
    }));
  if (values.some(({ name }) => name === "MATRIX")) {
    values.push({ name: "MATRICES", type: "Matrices", says: "What multiplies where MATRIX is not 0.", optional: true });
  }
  const isStored = module.some((one) => isBound(one) && one.tokens.some(({ text }) => text === "Stored" || text === "Value"));
  if (isStored) values.push({ name: "STORAGE", type: "Storage", says: "How its activations lie in memory." });
  const head = comments.head(kernel).map((line) => `   * ${line}\n`).join("");
  return `  /**\n${head}   */\n  readonly ${kernel}: {\n    readonly bindings: ${members(bindings, "    ")};\n` +
    `    readonly uniforms: ${members(uniforms, "    ")};\n    readonly values: ${members(values, "    ")};\n  };\n`;
}

const HEAD = "// Generated by `deno task gen` from wgsl/. Do not edit.\n// deno-fmt-ignore-file\n\n";

/** The files that generation writes, by path from the project's root. */
export async function generateWgsl(): Promise<Map<string, string>> {
  const texts = await sources(), comments = new Comments(texts);
  const files = new Map([...texts].map(([file, text]) => [file, declarations(strip(text, file))])), pasted = pasteAll(files);
  const lines = [...texts.values()].map((text) => text.split("\n")),
    entries = [...pasted].map(([name, tokens]) =>
      `  ${JSON.stringify(name)}: \`${pack(tokens, name).replaceAll("\\", "\\\\").replaceAll("`", "\\`").replaceAll("${", "\\${")}\`,\n`
    );
  const textOf = (which: string, late?: string) =>
    `${HEAD}/** The text of each file of wgsl/ ${which}, comments left out, by its name without the ending. */\n` +
    `export const WGSL: Readonly<Record<string, string>> = {\n${
      entries.filter((_, at) => [LATE, LATE_MATRICES, LATE_APART].find((mark) => lines[at].includes(mark)) === late).join("")
    }};\n`;

  const made = new Map([...pasted].map(([name, tokens]) => [name, declarations(tokens)]));
  const parts = new Set([...made.values()].flat().filter(({ kind }) => kind === "import").map(({ name }) => name));
  const kernels = [...made.keys()].filter((name) => !parts.has(name) && !/^(storage|weights|product|matrices)_/.test(name));
  const types = kernels.map((kernel) => interfaceOf(kernel, gather(kernel, { WEIGHTS: "i8" }, (file) => made.get(file)), comments));
  const interfaces = `${HEAD}import type { Matrices, Storage } from "./specialise.ts";\n\n` +
    "/**\n * The kernels of wgsl/ by name: their storage bindings, with access and elements, the fields of their uniforms, and their constants. " +
    "A binding\n * that only some variants use is optional.\n */\n" +
    `export interface Kernels {\n${types.join("")}}\n\n` +
    "/** A kernel of wgsl/. */\nexport type Kernel = keyof Kernels;\n\n/** A kernel's constants by name. */\n" +
    `export type Constants<K extends Kernel> = Kernels[K]["values"];\n`;
  return new Map([
    ["wgsl", textOf("but those that sampling does without")],
    ["wgsl_late", textOf("that sampling does without", LATE)],
    ["wgsl_apart", textOf("that most models do without", LATE_APART)],
    ["wgsl_matrices", textOf("that only a device with subgroup matrices takes", LATE_MATRICES)],
    ["kernels", interfaces],
  ].map(([name, text]) => [`${FOLDER}${name}.gen.ts`, text]));
}

if (import.meta.main) {
  const check = Deno.args.includes("--check");
  for (const [path, content] of await generateWgsl()) {
    if (await Deno.readTextFile(path).catch(() => "") === content) continue;
    if (!check) {
      await Deno.writeTextFile(path, content);
      continue;
    }
    console.error(`${path} is stale: run deno task gen and commit it`);
    Deno.exit(1);
  }
}
