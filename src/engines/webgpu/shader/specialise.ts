/**
 * Turns a kernel file into the text that is compiled for one set of values: module constants are rewritten, loops
 * marked `// @unroll` are unrolled, and local arrays become one variable an element.
 *
 * naga unrolls nothing and keeps local arrays in memory: a matrix product with its accumulators in an array indexed
 * by a loop ran at 2 TFLOP/s where named registers ran at 26 to 31.
 *
 * A choice between two texts by a constant, `if (NAME == 1u) { … } else { … }`, is made here.
 *
 * What a file may use is deliberately narrow, and anything else throws: constant expressions are whole numbers with
 * `+ - * / %`, `min` and `max`; `@unroll` stands above `for (var i = a; i < b; i++)`; every local `array` is indexed
 * by constants once its loops are unrolled.
 *
 * @module
 */

import { KernelError } from "../../../base/errors.ts";
import { WGSL } from "./wgsl.gen.ts";

/** How a kernel's activations lie in memory: a file storage_*.wgsl. */
export type Storage = "f32" | "f32x4" | "f16x4";

/** Values for a kernel's `override` and `const` declarations, and the storage of its activations where it is not the file's own. */
export type Values = Readonly<Record<string, number | boolean | Storage>>;

/** A canonical string for a kernel with values: the key of pipelines. */
export function kernelKey(kernel: string, values: Values): string {
  const pairs = Object.keys(values).sort().map((name) => `${name}=${values[name]}`);
  return pairs.length ? `${kernel}(${pairs.join(",")})` : kernel;
}

/**
 * A kernel's file with its `// @import` lines replaced by the files they name, each once. Files it imports may name
 * another storage than its own, so that they stand alone; all get the kernel's, or the one asked for. Bindings are numbered in
 * the order in which they stand.
 */
export function kernelSource(kernel: string, storage = /@import storage_(\w+)\.wgsl/.exec(WGSL[kernel] ?? "")?.[1]): string {
  const seen = new Set<string>();
  const gather = (name: string): string => {
    if (seen.has(name)) return "";
    seen.add(name);
    const text = WGSL[name];
    if (text === undefined) throw new KernelError(`Cannot find kernel ${name}: there is no wgsl/${name}.wgsl`);
    return text.replace(
      /^\/\/ @import (\w+)\.wgsl$/gm,
      (_, other: string) => gather(other.startsWith("storage_") && storage ? `storage_${storage}` : other),
    );
  };
  let binding = 0;
  return gather(kernel).replace(/^var<(?=storage|uniform)/gm, (start) => `@group(0) @binding(${binding++}) ${start}`);
}

/**
 * The text to compile.
 *
 * @param kernel a file of wgsl/, without its ending
 * @param values by name, for `override` and `const` declarations of the file and its imports
 * @throws {KernelError} where a value has no declaration, or the text goes beyond what this module understands
 */
export function specialise(kernel: string, values: Values): string {
  const fail = (what: string): never => {
    throw new KernelError(`Cannot specialise kernel ${kernelKey(kernel, values)}: ${what}`);
  };
  const { STORAGE: storage, ...rest } = values;
  let text = kernelSource(kernel, storage as Storage | undefined);

  const left = new Set(Object.keys(rest)), constants = new Map<string, number>();
  text = text.replace(/^(?:override|const) (\w+)(:\w+)?=([^;]+);/gm, (_, name: string, type: string | undefined, initial: string) => {
    let value = initial;
    if (left.delete(name)) {
      const given = rest[name];
      const f32 = type?.endsWith("f32") && Number.isInteger(given);
      value = typeof given === "boolean" ? String(given) : f32 ? `${given}.0` : type?.endsWith("u32") ? `${given}u` : String(given);
    }
    const number = evaluate(value, constants);
    if (number !== undefined) constants.set(name, number);
    return `const ${name}${type ?? ""}=${number !== undefined && type?.endsWith("u32") ? `${number}u` : value};`;
  });
  if (left.size) fail(`it declares no ${[...left].join(", ")}`);

  text = choose(text, constants);
  text = unroll(text, constants, fail);
  text = foldIndices(text, constants);
  text = eachFunction(text, (body) => scalarise(body, constants, fail));
  return text.replace(/[ \t]+$/gm, "").replace(/\n{2,}/g, "\n").trim() + "\n";
}

/** The value of a constant whole-number expression, or undefined where it is none. */
function evaluate(expression: string, constants: ReadonlyMap<string, number>): number | undefined {
  const tokens = expression.match(/\d+u?\b(?!\.)|[A-Za-z_]\w*|\S/g) ?? [];
  let at = 0;
  // A token outside the little grammar makes the whole expression NaN, and so undefined.
  const atom = (): number => {
    const token = tokens[at++] ?? "";
    if (token === "(") {
      const value = sum();
      return tokens[at++] === ")" ? value : NaN;
    }
    if (token === "min" || token === "max") {
      if (tokens[at++] !== "(") return NaN;
      const a = sum();
      if (tokens[at++] !== ",") return NaN;
      const b = sum();
      return tokens[at++] === ")" ? Math[token](a, b) : NaN;
    }
    if (/^\d+u?$/.test(token)) return parseInt(token);
    return constants.get(token) ?? NaN;
  };
  const product = (): number => {
    let value = atom();
    while (tokens[at] === "*" || tokens[at] === "/" || tokens[at] === "%") {
      const operator = tokens[at++], other = atom();
      value = operator === "*" ? value * other : operator === "/" ? Math.floor(value / other) : value % other;
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    while (tokens[at] === "+" || tokens[at] === "-") value = tokens[at++] === "+" ? value + product() : value - product();
    return value;
  };
  const value = sum();
  return at === tokens.length && Number.isInteger(value) && value >= 0 ? value : undefined;
}

/** The index of the bracket that closes the one at `open`. */
function closing(text: string, open: number): number {
  const opener = text[open], closer = { "{": "}", "[": "]", "(": ")", "<": ">" }[opener];
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === opener) depth++;
    else if (text[at] === closer && --depth === 0) return at;
  }
  return -1;
}

const CHOICE = /\bif\((\w+)==(\d+u)\)\{/g;

/**
 * Keeps of every `if (NAME == 1u) { … } else { … }` over a constant the branch that holds. Workgroup memory that only the
 * other branch names is then not counted against the device's limit.
 */
function choose(text: string, constants: ReadonlyMap<string, number>): string {
  let done = "";
  for (let found = CHOICE.exec(text); found; found = CHOICE.exec(text)) {
    const [head, name, value] = found, open = found.index + head.length - 1, close = closing(text, open);
    CHOICE.lastIndex = 0;
    if (!constants.has(name)) {
      done += text.slice(0, open);
      text = text.slice(open);
      continue;
    }
    const other = /^else(?=\{)/.exec(text.slice(close + 1)), otherOpen = close + 1 + (other?.[0].length ?? 0);
    const end = other ? closing(text, otherOpen) : close, holds = constants.get(name) === parseInt(value);
    done += text.slice(0, found.index);
    // What is kept may hold choices of its own.
    text = (holds ? text.slice(open, close + 1) : other ? text.slice(otherOpen, end + 1) : "") + text.slice(end + 1);
  }
  return done + text;
}

const LOOP = /\/\/ @unroll\s*for\(var (\w+)=([^;]+);\1<([^;]+);\1\+\+\)\{/;

/** Replaces every marked loop by its body, once a value, outermost first. */
function unroll(text: string, constants: ReadonlyMap<string, number>, fail: (what: string) => never): string {
  let done = "";
  for (let found = LOOP.exec(text); found; found = LOOP.exec(text)) {
    const [head, index, low, high] = found, open = found.index + head.length - 1, close = closing(text, open);
    const first = evaluate(low, constants), end = evaluate(high, constants);
    if (close < 0 || first === undefined || end === undefined) {
      return fail(`a loop over ${index} from ${low} to ${high} cannot be unrolled`);
    }
    const body = text.slice(open + 1, close), name = new RegExp(`(?<![\\w.])${index}\\b`, "g");
    if (new RegExp(`(var|let) ${index}\\b`).test(body)) return fail(`a loop over ${index} declares ${index} again`);
    const copies = Array.from({ length: end - first }, (_, i) => `{${body.replace(name, `${first + i}u`)}}`);
    // A copy holds the loops inside it, so the search goes on from where this loop began.
    done += text.slice(0, found.index);
    text = copies.join("\n") + text.slice(close + 1);
  }
  if (text.includes("@unroll")) return fail("an @unroll is not followed by a loop it understands");
  return done + text;
}

/** Writes constant indices, and sizes of arrays in workgroup memory, as one number. */
function foldIndices(text: string, constants: ReadonlyMap<string, number>): string {
  const folded = (all: string, before: string, expression: string, after: string) => {
    const value = evaluate(expression, constants);
    return value === undefined ? all : `${before}${value}u${after}`;
  };
  return text.replace(/(\[)([^\[\]]+)(\])/g, folded)
    .replace(/^var<workgroup>.*$/gm, (line) => line.replace(/(,)([^,<>]+)(>)/g, folded));
}

/** Rewrites the body of each function by itself, since a local name means nothing in another. */
function eachFunction(text: string, rewrite: (body: string) => string): string {
  let done = "";
  for (let at = text.search(/\bfn \w+\(/); at >= 0; at = text.search(/\bfn \w+\(/)) {
    const open = text.indexOf("{", closing(text, text.indexOf("(", at))), close = closing(text, open);
    done += text.slice(0, open) + rewrite(text.slice(open, close + 1));
    text = text.slice(close + 1);
  }
  return done + text;
}

/** Gives each element of each local array of a function a variable of its own. */
function scalarise(text: string, constants: ReadonlyMap<string, number>, fail: (what: string) => never): string {
  const arrays = new Map<string, { sizes: number[]; element: string }>();
  const declared = text.replace(/\bvar (\w+):(array<[^;=]+>);/g, (_, name: string, type: string) => {
    const sizes: number[] = [];
    let element = type;
    for (let part = /^array<(.+),([^,]+)>$/.exec(element); part; part = /^array<(.+),([^,]+)>$/.exec(element)) {
      const size = evaluate(part[2], constants);
      if (size === undefined) return fail(`the size of local array ${name} is not constant: ${part[2]}`);
      sizes.push(size);
      element = part[1];
    }
    const known = arrays.get(name);
    if (known && (known.element !== element || String(known.sizes) !== String(sizes))) {
      return fail(`local array ${name} is declared twice, differently`);
    }
    arrays.set(name, { sizes, element });
    // naga zeroes a variable without an initialiser once a call and not, as WGSL says, once an iteration.
    return elements(sizes).map((index) => `var ${name}_${index}=${element}();`).join("");
  });
  if (arrays.size === 0) return declared;
  const uses = new RegExp(`(?<![\\w.])(${[...arrays.keys()].join("|")})\\b((?:\\[\\d+u\\])*)`, "g");
  return declared.replace(uses, (all, name: string, indices: string) => {
    const { sizes } = arrays.get(name)!, given = indices.match(/\d+/g) ?? [];
    if (given.length < sizes.length || sizes.some((size, i) => Number(given[i]) >= size)) {
      return fail(`local array ${name} is used as ${all}, its sizes are ${sizes}`);
    }
    const rest = given.slice(sizes.length).map((index) => `[${index}u]`).join("");
    return `${name}_${given.slice(0, sizes.length).join("_")}${rest}`;
  });
}

/** Every index of an array of those sizes, as it stands in a variable's name. */
function elements(sizes: readonly number[]): string[] {
  return sizes.reduce<string[]>(
    (names, size) => names.flatMap((name) => Array.from({ length: size }, (_, i) => name ? `${name}_${i}` : `${i}`)),
    [""],
  );
}
