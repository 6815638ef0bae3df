/**
 * The cases of the conformance suite, and how some of them are picked: by their fields, as a query of the GPU's conformance suite names
 * what it wants, not by their names.
 *
 * An operation's cases are in `cases/<op>.ts`; a file more there is a file more here, after `deno task gen`.
 *
 * @module
 */

import type { Case, Fields, Value } from "./case.ts";
import { CASES } from "./cases/index.gen.ts";

/** Which cases: those whose fields all have this value, or one of these. Of `tags` one is enough. */
export type Query = Readonly<Record<string, Value | readonly Value[]>> & { readonly op?: Fields["op"] | readonly Fields["op"][] };

function fits({ fields }: Case, query: Query): boolean {
  return Object.entries(query).every(([name, wanted]) => {
    const found = [fields[name] ?? []].flat(), values = [wanted].flat();
    return found.some((value) => values.includes(value));
  });
}

function picked(query: Query): Case[] {
  const { dtype = ["f32", "f16"], ...rest } = query, cases = CASES.filter((c) => fits(c, rest));
  return [...cases, ...cases.flatMap((c) => c.half ?? [])].filter((c) => fits(c, { dtype }));
}

/**
 * The cases that fit one of the queries, each once; all cases where there is none. Those whose operation has activations come in f32 and
 * in f16.
 *
 *     pick({ op: "attention", pattern: ["dense", "strided"], dtype: "f16" }, { op: "linear", tags: "norm" })
 *
 * @throws {Error} where a query fits no case: what it asks for is misspelt, or gone
 */
export function pick(...queries: readonly Query[]): readonly Case[] {
  const found = queries.length > 0 ? queries : [{}];
  return [
    ...new Set(found.flatMap((query) => {
      const cases = picked(query);
      if (cases.length === 0) throw new Error(`No case has ${JSON.stringify(query)}`);
      return cases;
    })),
  ];
}

/**
 * The one case that fits.
 *
 * @throws {Error} where there is none, or several
 */
export function only(query: Query): Case {
  const cases = pick(query);
  if (cases.length > 1) throw new Error(`${cases.length} cases have ${JSON.stringify(query)}: ${cases[0].name}; ${cases[1].name}`);
  return cases[0];
}

/**
 * Queries from text, as an environment's variable has them: fields apart by spaces, values by commas, queries by semicolons.
 *
 *     op=attention pattern=dense,strided dtype=f16; op=linear tags=norm
 *
 * @throws {Error} where a part has no `=`
 */
export function parseQueries(text: string): Query[] {
  const value = (word: string): Value => word === "true" ? true : word === "false" ? false : word !== "" && isFinite(+word) ? +word : word;
  return text.split(";").map((query) => query.trim()).filter(Boolean).map((query) =>
    Object.fromEntries(
      query.split(/\s+/).map((part) => {
        const [, name, list] = /^(\w+)=(.+)$/.exec(part) ?? [];
        if (name === undefined) throw new Error(`Cannot read "${part}" of a query of cases: it must be FIELD=VALUE[,VALUE]`);
        return [name, list.split(",").map(value)];
      }),
    )
  );
}
