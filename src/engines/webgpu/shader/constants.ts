/**
 * Constants: expressions of them, and the pass that gives a module's constants their values.
 *
 * @module
 */

import { as, type Declaration, find, type Token, tokenise, wrong } from "./tokens.ts";

/** Whole numbers by the names of constants. */
export type Constants = Pick<ReadonlyMap<string, number>, "get">;

/** Reads the little grammar of constant expressions. A token outside of it makes the whole expression NaN. */
class Reader {
  constructor(readonly tokens: readonly Token[], readonly constants: Constants, public at: number, readonly end: number) {}

  #takes(text: string): boolean {
    return this.at < this.end && this.tokens[this.at].text === text && ++this.at > 0;
  }

  #atom(): number {
    if (this.at >= this.end) return NaN;
    const { text, value } = this.tokens[this.at++];
    if (value !== undefined) return value;
    if (text === "(") {
      const inner = this.sum();
      return this.#takes(")") ? inner : NaN;
    }
    if (text !== "min" && text !== "max") return this.constants.get(text) ?? NaN;
    const a = this.#takes("(") ? this.sum() : NaN, b = this.#takes(",") ? this.sum() : NaN;
    return this.#takes(")") ? Math[text](a, b) : NaN;
  }

  #product(): number {
    for (let value = this.#atom();;) {
      if (this.#takes("*")) value *= this.#atom();
      else if (this.#takes("/")) value = Math.floor(value / this.#atom());
      else if (this.#takes("%")) value %= this.#atom();
      else return value;
    }
  }

  sum(): number {
    for (let value = this.#product();;) {
      if (this.#takes("+")) value += this.#product();
      else if (this.#takes("-")) value -= this.#product();
      else return value;
    }
  }
}

/** The value of the tokens from `first` to `end` where they are a constant whole-number expression of `+ - * / %`, `min` and `max`. */
export function evaluate(tokens: readonly Token[], constants: Constants, first = 0, end = tokens.length): number | undefined {
  if (end === first + 1) return tokens[first].value ?? constants.get(tokens[first].text);
  const reader = new Reader(tokens, constants, first, end), value = reader.sum();
  return reader.at === end && Number.isInteger(value) && value >= 0 ? value : undefined;
}

/** A value as WGSL writes it for a type. */
function literal(value: number | boolean, type: string): string {
  if (typeof value === "number" && type === "u32") return `${value}u`;
  return typeof value === "number" && type === "f32" && Number.isInteger(value) ? `${value}.0` : `${value}`;
}

/**
 * Assign: constants get the values given, as `const` declarations; the whole numbers among them are what other passes know.
 *
 * @returns the module, its constants, and what was given but is not declared
 */
export function assign(module: readonly Declaration[], values: Readonly<Record<string, number | boolean>>) {
  const constants = new Map<string, number>(), unknown = new Set(Object.keys(values));
  const assigned = module.map((one): Declaration => {
    const { kind, name, tokens } = one;
    if (kind !== "const" && kind !== "override") return one;
    const equals = find(tokens, 0, "="), at = tokens[0], type = tokens[2].text === ":" ? tokens[3].text : "";
    let value = tokens.slice(equals + 1, -1);
    if (unknown.delete(name)) value = tokenise(literal(values[name], type), at.file).map((token) => ({ ...token, line: at.line }));
    else if (value.length === 0) throw wrong(at, `${name} has no value`);
    const known = evaluate(value, constants);
    if (known !== undefined) constants.set(name, known);
    if (known !== undefined && type === "u32") value = [as(at, `${known}u`)];
    const typed = type ? tokens.slice(2, 4) : [];
    return { ...one, kind: "const", tokens: [as(at, "const"), tokens[1], ...typed, as(at, "="), ...value, tokens.at(-1)!] };
  });
  return { module: assigned, constants, unknown };
}
