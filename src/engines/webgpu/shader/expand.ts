/**
 * The passes that make a function's text for some constants, in one walk, since they make it up to ten times longer:
 *
 * - choose: of `if (NAME == 1u) { … } else { … }` over a constant the branch that holds. Workgroup memory that only the other names is then not
 *   counted against the device's limit.
 * - unroll: `// @unroll` loops become their bodies once an index, since naga unrolls nothing.
 * - fold: constant indices are written as one number.
 * - scalarise: each element of a local array becomes a variable of its own. naga keeps arrays in memory: a matrix product with its
 *   accumulators in one ran at a tenth of the speed that it has with named registers.
 *
 * @module
 */

import type { Choice, Element, LocalArray, Loop, Node, Subscript } from "./body.ts";
import { type Constants, evaluate } from "./constants.ts";
import { wrong } from "./tokens.ts";

/** Sizes of a local array, its elements' type, and what they are called, the last index fastest. */
interface Elements {
  readonly sizes: readonly number[];
  readonly element: string;
  readonly names: readonly string[];
}

class Expansion {
  readonly #indices = new Map<string, number>();
  readonly #arrays = new Map<string, Elements>();
  readonly #known: Constants;
  text = "";

  constructor(readonly constants: Constants) {
    // Bounds and indices may name the indices of the loops around.
    this.#known = { get: (name) => this.#indices.get(name) ?? constants.get(name) };
  }

  add(nodes: readonly Node[]): void {
    for (const node of nodes) {
      if (typeof node === "string") this.text += node;
      else if (node.is === "index") {
        const value = this.#indices.get(node.name);
        this.text += value === undefined ? node.name : `${value}u`;
      } else if (node.is === "element") this.#scalarise(node);
      else if (node.is === "subscript") this.#fold(node);
      else if (node.is === "loop") this.#unroll(node);
      else if (node.is === "choice") this.#choose(node);
      else this.#declare(node);
    }
  }

  #choose({ name, value, head, then, otherwise }: Choice): void {
    const known = this.constants.get(name);
    if (known !== undefined) return this.add(known === value ? then : otherwise);
    this.text += head;
    this.add(then);
    if (otherwise.length) this.text += "else";
    this.add(otherwise);
  }

  #unroll({ token, index, low, high, body }: Loop): void {
    const first = evaluate(low, this.#known), end = evaluate(high, this.#known);
    if (first === undefined || end === undefined) throw wrong(token, `the bounds of the loop over ${index} are not constant`);
    for (let value = first; value < end; value++) {
      this.#indices.set(index, value);
      this.add(body);
    }
    this.#indices.delete(index);
  }

  #fold({ tokens, inner }: Subscript): void {
    const value = evaluate(tokens, this.#known);
    this.text += value === undefined ? "[" : `[${value}u`;
    if (value === undefined) this.add(inner);
    this.text += "]";
  }

  #declare({ token, name, sizes: given, element }: LocalArray): void {
    const sizes = given.map((size) => {
      const value = evaluate(size, this.#known);
      if (value === undefined) throw wrong(token, `the size of local array ${name} is not constant`);
      return value;
    });
    const before = this.#arrays.get(name);
    if (before && (before.element !== element || `${before.sizes}` !== `${sizes}`)) {
      throw wrong(token, `local array ${name} is declared twice, differently`);
    }
    const names = before?.names ??
      sizes.reduce((names, size) => names.flatMap((name) => Array.from({ length: size }, (_, i) => `${name}_${i}`)), [name]);
    this.#arrays.set(name, { sizes, element, names });
    // naga zeroes a variable without an initialiser once per call and not, as WGSL says, once per iteration.
    for (const one of names) this.text += `var ${one}=${element}();`;
  }

  #scalarise({ token, subscripts }: Element): void {
    const array = this.#arrays.get(token.text);
    if (!array) throw wrong(token, `${token.text} is not declared before it is used`);
    let element = 0;
    array.sizes.forEach((size, at) => {
      const index = subscripts[at] && evaluate(subscripts[at].tokens, this.#known);
      if (index === undefined || index >= size) {
        throw wrong(token, `local array ${token.text} is used by no constant index within its sizes, ${array.sizes}`);
      }
      element = element * size + index;
    });
    this.text += array.names[element];
    for (const more of subscripts.slice(array.sizes.length)) this.#fold(more);
  }
}

/** The text of a function for some constants. */
export function expand(nodes: readonly Node[], constants: Constants): string {
  const expansion = new Expansion(constants);
  expansion.add(nodes);
  return expansion.text;
}
