/**
 * The pass of the build that finds which bindings only some variants of a kernel use. Nothing that runs imports it.
 *
 * @module
 */

import { isChoice } from "./body.ts";
import { spaceOf } from "./reflect.ts";
import { closing, type Declaration, type Token } from "./tokens.ts";

/** The names that a function declares itself: parameters and locals, which hide bindings. */
const ownNames = (tokens: readonly Token[]): ReadonlySet<string> =>
  new Set(
    tokens.filter((_, at) => /^(let|var)$/.test(tokens[at - 1]?.text) || tokens[at + 1]?.text === ":").map(({ text }) => text),
  );

/**
 * By binding, the constants without which no variant uses it, in words: overrides, and what a choice compares.
 *
 * @param module with its functions pasted
 */
export function conditionsOf(module: readonly Declaration[]): Map<string, string> {
  const named = (wanted: string) => new Set(module.filter(({ kind }) => kind === wanted).map(({ name }) => name));
  const overrides = named("override"), constants = named("const");
  const bindings = new Set(module.filter((one) => spaceOf(one) === "storage").map(({ name }) => name));
  /** The conditions of each use; none where it is always. */
  const found = new Map<string, Set<string>>();
  const visit = (tokens: readonly Token[], hidden: ReadonlySet<string>, guards: readonly string[]) => {
    for (let at = 0; at < tokens.length; at++) {
      const { text } = tokens[at];
      if (bindings.has(text) && !hidden.has(text) && tokens[at - 1]?.text !== ".") {
        found.set(text, (found.get(text) ?? new Set()).add(guards.join(" and ")));
      }
      if (text !== "if") continue;
      const close = closing(tokens, at + 1), end = closing(tokens, close + 1), condition = tokens.slice(at + 2, close);
      const isKnown = isChoice(tokens, at) && constants.has(condition[0].text);
      // `NAME == 1u`, `NAME`, or `NAME && …`.
      const name = isKnown
        ? condition.map(({ text }) => text).join(" ")
        : condition.some((one) => one.text === "||")
        ? undefined
        : condition.find((one) => overrides.has(one.text))?.text;
      visit(condition, hidden, guards);
      visit(tokens.slice(close + 1, end), hidden, name ? [...guards, name] : guards);
      at = end;
      if (tokens[end + 1]?.text !== "else" || tokens[end + 2].text !== "{") continue;
      const last = closing(tokens, end + 2);
      const isWhole = isKnown || condition.length === 1;
      visit(tokens.slice(end + 2, last), hidden, name && isWhole ? [...guards, `not ${name}`] : guards);
      at = last;
    }
  };
  for (const { kind, tokens } of module) if (kind === "fn") visit(tokens, ownNames(tokens), []);
  const made = new Map<string, string>();
  for (const [name, guards] of found) {
    const isAlways = [...guards].some((guard) => guard === "" || guards.has(`not ${guard}`));
    if (!isAlways) made.set(name, [...guards].join(" or "));
  }
  return made;
}
