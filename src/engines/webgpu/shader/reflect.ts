/**
 * The pass that looks: what a module says about its bindings and its uniforms. memory.ts has the workgroup memory it takes.
 *
 * @module
 */

import { as, type Declaration, find, type Token } from "./tokens.ts";

/** A storage binding of a kernel. */
export interface Binding {
  readonly name: string;
  readonly number: number;
  readonly writes: boolean;
}

/** Fields of the uniform struct, in order, and its binding. */
export interface Uniforms {
  readonly number: number;
  readonly fields: readonly { readonly name: string; readonly type: string }[];
}

/** Where a variable is, as in `var<storage, read>`: `storage`, `uniform`, `workgroup` or `private`. */
export const spaceOf = ({ kind, tokens }: Declaration): string | undefined => kind === "var" ? tokens[2].text : undefined;

/** Whether a declaration is a binding. Bindings are numbered in the order in which they stand. */
export const isBound = (one: Declaration): boolean => /^(storage|uniform)$/.test(spaceOf(one) ?? "");

/** The storage bindings of a module. */
export function bindingsOf(module: readonly Declaration[]): Binding[] {
  return module.filter(isBound).map((one, number) => ({ one, name: one.name, number, writes: one.tokens[4].text === "read_write" }))
    .filter(({ one }) => spaceOf(one) === "storage").map(({ name, number, writes }) => ({ name, number, writes }));
}

/** A module with some read-only bindings declared read_write. */
export function written(module: readonly Declaration[], names: readonly string[]): readonly Declaration[] {
  const write = (token: Token, at: number) => at === 4 ? as(token, "read_write") : token;
  return module.map((one) => isBound(one) && names.includes(one.name) ? { ...one, tokens: one.tokens.map(write) } : one);
}

/** Fields of a struct, each with its type. */
export function fieldsOf({ tokens }: Declaration): { name: string; type: readonly Token[] }[] {
  const fields: { name: string; type: readonly Token[] }[] = [];
  for (let at = 3; at < tokens.length - 1;) {
    const end = Math.min(find(tokens, at, ","), tokens.length - 1);
    fields.push({ name: tokens[at].text, type: tokens.slice(at + 2, end) });
    at = end + 1;
  }
  return fields;
}

/** The uniforms of a module: those of its `struct Params`. */
export function uniformsOf(module: readonly Declaration[]): Uniforms {
  const params = module.find(({ kind, name }) => kind === "struct" && name === "Params")!;
  return {
    number: module.filter(isBound).findIndex((one) => spaceOf(one) === "uniform"),
    fields: fieldsOf(params).map(({ name, type }) => ({ name, type: type[0].text })),
  };
}
