/** Cases of embedding and its gradient: one table and several, indices repeated by batch; and of a decoded position. @module */

import { Case, type Problem } from "../case.ts";

const cases: Case[] = [];

// Rows, positions, width, entries of each table; the last has activations of more than 128 KiB.
const SIZES = [
  [1, 1, 4, [3]],
  [37, 37, 20, [257]],
  [96, 48, 16, [257, 4, 4, 3]],
  [6, 6, 7, [9, 5]],
  [130, 65, 132, [257, 9, 8]],
  [390, 65, 132, [257, 9, 8]],
] as const;

/** Tables of f32, or of int8 with their scales. */
function tablesOf(c: Problem, sizes: readonly number[], d: number, isInt8: boolean) {
  const tables = sizes.map((size, t) => isInt8 ? c.i8(`table${t}`, [size, d]) : c.f32(`table${t}`, [size, d]));
  return isInt8 ? { tables, scales: sizes.map((size, t) => c.f32(`scale${t}`, [size], 1 / 73)) } : { tables };
}

for (const [rows, n, d, tables] of SIZES) {
  const sizes = { rows, n, d, tables: tables.length };
  for (const isInt8 of [false, true]) {
    const name = `embedding ${rows}×${d}, ${tables.length} tables${isInt8 ? ", int8" : ""}`;
    cases.push(
      new Case(name, { op: "embedding", ...sizes, ...isInt8 && { weights: "i8" } }, (c) => {
        c.ops.push({
          op: "embedding",
          indices: tables.map((size, t) => c.u32(`index${t}`, [t === 0 ? rows : n], () => c.below(size))),
          ...tablesOf(c, tables, d, isInt8),
          y: c.out("y", [rows, d]),
        });
      }),
    );
  }
  for (const accumulate of [false, true]) {
    const name = `embedding_backward ${rows}×${d} into ${tables[0]}${accumulate ? ", accumulate" : ""}`;
    cases.push(
      new Case(name, { op: "embedding_backward", rows, d, accumulate }, (c) => {
        const entries = tables[0], index = Array.from({ length: rows }, () => c.below(entries));
        const order = index.map((_, r) => r).sort((a, b) => index[a] - index[b] || a - b);
        c.ops.push({
          op: "embedding_backward",
          dy: c.f32("dy", [rows, d]),
          order: c.u32("order", [rows], (i) => order[i]),
          starts: c.u32("starts", [entries + 1], (i) => index.filter((x) => x < i).length),
          dTable: accumulate ? c.inOut("dTable", [entries, d]) : c.out("dTable", [entries, d]),
          accumulate,
        });
      }),
    );
  }
}

// The first position and the last; a row per sequence.
for (const [rows, n, d, tables] of SIZES) {
  for (const [position, batch] of rows === 390 ? [[0, 2], [n - 1, 5]] : [[0, 1], [n - 1, 3]]) {
    const name = `embedding_decode position ${position} of ${n}, ${batch}×${d}, ${tables.length} tables`;
    const fields = { op: "embedding_decode", position, n, batch, d, tables: tables.length } as const;
    for (const isInt8 of [false, true]) {
      // A quarter of the bytes fits.
      const more = isInt8 ? { weights: "i8" } : { tags: d === 132 ? ["whole"] : [] };
      cases.push(
        new Case(isInt8 ? `${name}, int8` : name, { ...fields, ...more }, (c) => {
          c.ops.push({
            op: "embedding_decode",
            tape: c.u32("tape", [n, batch], () => c.below(tables[0] - 1)),
            position: c.u32("position", [1], () => position),
            start: tables[0] - 1,
            rows: tables.slice(1).map((size, t) => c.u32(`rows${t}`, [n], () => c.below(size))),
            ...tablesOf(c, tables, d, isInt8),
            y: c.out("y", [batch, d]),
          });
        }),
      );
    }
  }
}

export default cases;
