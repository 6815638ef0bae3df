/**
 * A function's tokens as what the last passes look at: text that stays as it is, and between it loops, choices, arrays and indices. Each
 * function is read once, however many variants are made of it.
 *
 * @module
 */

import { closing, type Declaration, find, gap, reads, type Token } from "./tokens.ts";

/** `if (NAME == 1u) { … } else { … }`. */
export interface Choice {
  readonly is: "choice";
  readonly name: string;
  readonly value: number;
  /** The text up to the first block. */
  readonly head: string;
  readonly then: readonly Node[];
  readonly otherwise: readonly Node[];
}

/** A loop marked `// @unroll`. */
export interface Loop {
  readonly is: "loop";
  readonly token: Token;
  readonly index: string;
  readonly low: readonly Token[];
  readonly high: readonly Token[];
  readonly body: readonly Node[];
}

/** A word that is the index of some such loop. */
export interface Index {
  readonly is: "index";
  readonly name: string;
}

/** `[…]`. */
export interface Subscript {
  readonly is: "subscript";
  readonly tokens: readonly Token[];
  readonly inner: readonly Node[];
}

/** `var name: array<array<T, 4>, 2>;`: its sizes, outermost first. */
export interface LocalArray {
  readonly is: "array";
  readonly token: Token;
  readonly name: string;
  readonly sizes: readonly (readonly Token[])[];
  readonly element: string;
}

/** An element of a local array, with subscripts of that element where there are more. */
export interface Element {
  readonly is: "element";
  readonly token: Token;
  readonly subscripts: readonly Subscript[];
}

/** What a function's text is made of. */
export type Node = string | Choice | Loop | Index | Subscript | LocalArray | Element;

/** Whether `if (NAME == 1u) {` stands there, which may be a choice by a constant. */
export const isChoice = (tokens: readonly Token[], at: number): boolean =>
  tokens[at + 3].text === "==" && tokens[at + 4].value !== undefined && reads(tokens, at + 5, ")", "{");

/** Sizes and element of an array's type. */
function typeOf(type: readonly Token[]): Pick<LocalArray, "sizes" | "element"> {
  const sizes: Token[][] = [];
  let first = 0, end = type.length;
  while (type[first].text === "array") {
    let comma = end - 2;
    while (type[comma].text !== ",") comma--;
    sizes.push(type.slice(comma + 1, end - 1));
    [first, end] = [first + 2, comma];
  }
  return { sizes, element: type.slice(first, end).map(({ text }) => text).join("") };
}

/** One function in the reading. */
class Reader {
  /** Names of loops' indices, and of local arrays. */
  readonly #indices = new Set<string>();
  readonly #arrays = new Set<string>();
  #last: Token | undefined;
  /** Of parentheses: the semicolons in them are of a loop's head. */
  #depth = 0;

  constructor(readonly tokens: readonly Token[], readonly marks: boolean) {
    tokens.forEach(({ text }, at) => {
      if (text === "@unroll") this.#indices.add(tokens[at + 4]?.text);
      if (text === "var" && reads(tokens, at + 2, ":", "array")) this.#arrays.add(tokens[at + 1].text);
    });
  }

  /** What stands before a token: a new line where a statement or a block begins. */
  #before(token: Token): string {
    const last = this.#last?.text ?? ";", begins = this.#depth === 0 && (last === ";" || last === "{" || last === "}");
    const lead = begins ? `${this.#last ? "\n" : ""}${this.marks ? `/*${token.file}:${token.line}*/` : ""}` : gap(last, token.text);
    this.#last = token;
    this.#depth += token.text === "(" ? 1 : token.text === ")" ? -1 : 0;
    return lead;
  }

  read(from: number, to: number): Node[] {
    const { tokens } = this, nodes: Node[] = [];
    let text = "";
    const add = (node: Node) => {
      if (text) nodes.push(text);
      text = "";
      nodes.push(node);
    };
    for (let at = from; at < to; at++) {
      const token = tokens[at], isField = tokens[at - 1]?.text === ".";
      if (token.text === "@unroll") {
        // for ( var i = low ; i < high ; i ++ ) {
        const middle = find(tokens, at + 3, ";"), end = find(tokens, middle + 1, ";"), close = closing(tokens, end + 4);
        add({
          is: "loop",
          token,
          index: tokens[at + 4].text,
          low: tokens.slice(at + 6, middle),
          high: tokens.slice(middle + 3, end),
          body: this.read(end + 4, close + 1),
        });
        at = close;
        continue;
      }
      text += this.#before(token);
      if (token.text === "if" && isChoice(tokens, at)) {
        at = this.#choice(at, add);
      } else if (token.text === "[") {
        const subscript = this.#subscript(at);
        add(subscript);
        at += subscript.tokens.length + 1;
      } else if (this.#indices.has(token.text) && !isField) add({ is: "index", name: token.text });
      else if (token.text === "var" && reads(tokens, at + 2, ":", "array")) {
        const end = find(tokens, at, ";");
        add({ is: "array", token, name: tokens[at + 1].text, ...typeOf(tokens.slice(at + 3, end)) });
        at = end;
      } else if (this.#arrays.has(token.text) && !isField) {
        const subscripts: Subscript[] = [];
        while (tokens[at + 1].text === "[") {
          subscripts.push(this.#subscript(at + 1));
          at += subscripts.at(-1)!.tokens.length + 2;
        }
        add({ is: "element", token, subscripts });
      } else text += token.text;
    }
    if (text) nodes.push(text);
    return nodes;
  }

  #subscript(open: number): Subscript {
    const close = closing(this.tokens, open);
    this.#last = this.tokens[open];
    const inner = this.read(open + 1, close);
    this.#last = this.tokens[close];
    return { is: "subscript", tokens: this.tokens.slice(open + 1, close), inner };
  }

  #choice(at: number, add: (node: Node) => void): number {
    const { tokens } = this, name = tokens[at + 2].text, value = tokens[at + 4].value!, open = at + 6, close = closing(tokens, open);
    const isElse = tokens[close + 1]?.text === "else";
    this.#last = tokens[at + 5];
    const then = this.read(open, close + 1);
    if (!isElse) {
      add({ is: "choice", name, value, head: `if(${name}==${value}u)`, then, otherwise: [] });
      return close;
    }
    const end = closing(tokens, close + 2);
    add({ is: "choice", name, value, head: `if(${name}==${value}u)`, then, otherwise: this.read(close + 2, end + 1) });
    return end;
  }
}

/**
 * The text of a function in its parts.
 *
 * @param marks whether each line begins with a comment that says where it comes from
 */
export const read = (tokens: readonly Token[], marks = false): readonly Node[] => new Reader(tokens, marks).read(0, tokens.length);

const bodies = new WeakMap<Declaration, readonly Node[]>();

/** {@linkcode read} of a function, once. */
export function bodyOf(one: Declaration): readonly Node[] {
  let body = bodies.get(one);
  if (!body) bodies.set(one, body = read(one.tokens));
  return body;
}
