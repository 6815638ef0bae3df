/**
 * Layouts as the kernels of attention read them: lists in tables, kept for the next program that has the same set.
 *
 * @module
 */

import { buildLayout, type Layout } from "../../pattern/layout.ts";
import { type AttentionSet, setKey } from "../../pattern/sets.ts";
import { Table } from "./plan.ts";

/** Queries and keys of a tile of attention. */
export const TILE = { q: 64, k: 64 } as const;

/** A part of a layout with its lists as tables. */
export interface PlacedPart {
  readonly keys: number;
  readonly queryRows: Table | null;
  readonly keyRows: Table | null;
  readonly lo: Table;
  readonly hi: Table;
  readonly forward: { readonly starts: Table; readonly list: Table };
  readonly backward: { readonly starts: Table; readonly list: Table };
}

const table = (words: Uint32Array) => new Table(words);

function placed({ keys, queryRows, keyRows, lo, hi, forward, backward }: Layout["parts"][number]): PlacedPart {
  const rows = queryRows && table(queryRows);
  return {
    keys,
    queryRows: rows,
    keyRows: keyRows === queryRows ? rows : keyRows && table(keyRows),
    lo: table(lo),
    hi: table(hi),
    forward: { starts: table(forward.starts), list: table(forward.list) },
    backward: { starts: table(backward.starts), list: table(backward.list) },
  };
}

/** Sets that an engine remembers: more than a model has, for callers of attention alone may come with another each time. */
const KEPT = 64;

/** The layouts of an engine, that asked for last at the end. */
export class Layouts {
  readonly #made = new Map<string, readonly PlacedPart[]>();

  /** The parts of a set over n positions. */
  async of(set: AttentionSet, n: number): Promise<readonly PlacedPart[]> {
    const key = `${n} ${setKey(set)}`, made = this.#made.get(key) ?? (await buildLayout(set, n, TILE)).parts.map(placed);
    this.#made.delete(key);
    this.#made.set(key, made);
    for (const oldest of this.#made.keys()) {
      if (this.#made.size <= KEPT) break;
      this.#made.delete(oldest);
    }
    return made;
  }

  /** Forgets them all. */
  clear(): void {
    this.#made.clear();
  }
}
