/**
 * How much workgroup memory a variant takes, as its text declares it.
 *
 * @module
 */

import { bodyOf, type Node } from "./body.ts";
import { type Constants, evaluate } from "./constants.ts";
import { fieldsOf, spaceOf } from "./reflect.ts";
import { kernelKey, type Values, variantOf } from "./specialise.ts";
import type { Declaration, Token } from "./tokens.ts";

/** Adds the names in a function's text, of choices in the branch that holds. */
function addNames(nodes: readonly Node[], constants: Constants, names: Set<string>): void {
  for (const node of nodes) {
    if (typeof node === "string") { for (const [name] of node.matchAll(/[A-Za-z_]\w*/g)) names.add(name); }
    else if (node.is === "loop") addNames(node.body, constants, names);
    else if (node.is === "subscript") addNames(node.inner, constants, names);
    else if (node.is === "element") addNames(node.subscripts, constants, names);
    else if (node.is === "choice") {
      const known = constants.get(node.name);
      if (known !== node.value) addNames(node.otherwise, constants, names);
      if (known === undefined || known === node.value) addNames(node.then, constants, names);
    }
  }
}

/** Names that `main` and what it calls use. */
function usedNames(module: readonly Declaration[], constants: Constants): ReadonlySet<string> {
  const functions = new Map(module.filter(({ kind }) => kind === "fn").map((one) => [one.name, one])), used = new Set(["main"]);
  // What is added meanwhile is visited too.
  for (const name of used) {
    const called = functions.get(name);
    if (called) addNames(bodyOf(called), constants, used);
  }
  return used;
}

const SCALAR = 4;

/** Bytes of a type of scalars of four bytes. */
function bytesOf(type: readonly Token[], module: readonly Declaration[], constants: Constants): number {
  const [{ text }] = type;
  if (text === "array") {
    // The last that is not within parentheses, as of max(a, b).
    let comma = type.length - 1, depth = 0;
    do depth += { ")": 1, "(": -1 }[type[--comma].text] ?? 0; while (depth || type[comma].text !== ",");
    return evaluate(type, constants, comma + 1, type.length - 1)! * bytesOf(type.slice(2, comma), module, constants);
  }
  if (text === "buffer") return evaluate(type, constants, 2, type.length - 1)!;
  const own = module.find(({ kind, name }) => name === text && (kind === "alias" || kind === "struct"));
  if (own?.kind === "alias") return bytesOf(own.tokens.slice(3, -1), module, constants);
  if (own) return fieldsOf(own).reduce((sum, { type }) => sum + bytesOf(type, module, constants), 0);
  return SCALAR * Number(/^vec(\d)/.exec(text)?.[1] ?? 1);
}

const known = new Map<string, number>();

/**
 * Bytes of workgroup memory that a kernel takes with some values: of the arrays that are left once branches by constants are chosen.
 *
 * @throws {KernelError} as `specialised`
 */
export function memoryOf(kernel: string, values: Values): number {
  const key = kernelKey(kernel, values);
  let bytes = known.get(key);
  if (bytes === undefined) {
    const { module, constants } = variantOf(kernel, values), used = usedNames(module, constants);
    bytes = module.filter((one) => spaceOf(one) === "workgroup" && used.has(one.name))
      .reduce((sum, { tokens }) => sum + Math.ceil(bytesOf(tokens.slice(6, -1), module, constants) / 16) * 16, 0);
    known.set(key, bytes);
  }
  return bytes;
}
