/**
 * Modules that a bundler made, as text with a source map, and what is done to them: other texts in places of theirs, and none that only hand on
 * what another has.
 *
 * @module
 */

/** A module that was made: its text, and its source map. */
export interface Made {
  readonly text: string;
  readonly map: string;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The numbers of a segment of a source map's mappings: base 64, 5 bits per digit, the lowest first, and the sign in the lowest bit of all. */
export function numbersOf(segment: string): number[] {
  const numbers: number[] = [];
  let value = 0, shift = 0;
  for (const digit of segment) {
    const bits = DIGITS.indexOf(digit);
    value |= (bits & 31) << shift;
    shift += 5;
    if (bits & 32) continue;
    numbers.push(value & 1 ? -(value >> 1) : value >> 1);
    value = shift = 0;
  }
  return numbers;
}

/** The segment of some numbers. */
function segmentOf(numbers: readonly number[]): string {
  let made = "";
  for (const number of numbers) {
    let left = number < 0 ? 1 - 2 * number : 2 * number;
    for (; left > 31; left >>= 5) made += DIGITS[left & 31 | 32];
    made += DIGITS[left];
  }
  return made;
}

/**
 * A module with other texts in the places that match, its map moved along.
 *
 * @param other the text for a place, undefined where it stays
 */
export function replaced({ text, map }: Made, pattern: RegExp, other: (match: RegExpExecArray) => string | undefined): Made {
  const { mappings, ...rest } = JSON.parse(map) as { mappings: string }, lines = mappings.split(";");
  const made = text.split("\n").map((line, row) => {
    const edits: { end: number; by: number }[] = [];
    let to = "", from = 0;
    for (const match of line.matchAll(pattern)) {
      const text = other(match);
      if (text === undefined) continue;
      const end = match.index + match[0].length;
      edits.push({ end, by: text.length - match[0].length });
      to += line.slice(from, match.index) + text;
      from = end;
    }
    let column = 0;
    if (edits.length > 0 && lines[row]) {
      lines[row] = lines[row].split(",").map((segment) => {
        const [columns, ...others] = numbersOf(segment);
        column += columns;
        let by = 0;
        while (edits.length > 0 && edits[0].end <= column) by += edits.shift()!.by;
        return by === 0 ? segment : segmentOf([columns + by, ...others]);
      }).join(",");
    }
    return to + line.slice(from);
  });
  return { text: made.join("\n"), map: JSON.stringify({ ...rest, mappings: lines.join(";") }) };
}

/** `import{a as b}from"./chunk.js";import"./other.js";export{b as Name};` */
const HANDS_ON = /^import\{([^}]*)\}from"\.\/([^"]+)";((?:import"[^"]+";)*)export\{([^}]*)\};\s*(?:\/\/# .*\s*)?$/;

/** Modules that are there once a module is: itself, what it imports, and so on. */
function closureOf(name: string, modules: ReadonlyMap<string, Made>, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, other] of modules.get(name)?.text.matchAll(/(?:from|import)"\.\/([^"]+)"/g) ?? []) closureOf(other, modules, found);
  return found;
}

/**
 * The import of a chunk, with the names that a module which hands them on has for what it takes of it, and of what else that module imports for
 * what it does, as to register operations; undefined where the module does more.
 */
function throughTo(text: string, modules: ReadonlyMap<string, Made>): string | undefined {
  const [, taken, chunk, beside, given] = HANDS_ON.exec(text) ?? [];
  if (chunk === undefined) return undefined;
  const pairs = (list: string) => list.split(",").map((one) => one.split(" as ")).map(([from, to = from]) => [from, to] as const);
  const own = new Map(pairs(taken).map(([from, to]) => [to, from])), named = pairs(given).map(([from, to]) => `${to}:${from}`);
  const used = pairs(given).map(([from]) => own.get(from) === from ? from : `${own.get(from)}:${from}`), there = closureOf(chunk, modules);
  const others = [...beside.matchAll(/"\.\/([^"]+)"/g)].map(([, name]) => name).filter((name) => !there.has(name));
  const [all, first] = others.length === 0
    ? [`import("./${chunk}")`, `{${used}}`]
    : [`Promise.all([${[chunk, ...others].map((name) => `import("./${name}")`)}])`, `[{${used}}]`];
  return `${all}.then((${first})=>({${named}}))`;
}

/**
 * Modules by name, without those that only hand on what a chunk has: whoever imports one imports the chunk. esbuild makes one of each module
 * that is imported when it is needed and whose text other entries share; a page would ask for it, and then for the chunk.
 *
 * @param among which of them nobody else asks for
 */
export function withoutHandingOn(modules: ReadonlyMap<string, Made>, among: (name: string) => boolean): Map<string, Made> {
  const through = new Map(
    [...modules].filter(([name]) => among(name)).map(([name, { text }]) => [name, throughTo(text, modules)] as const),
  );
  return new Map(
    [...modules].filter(([name]) => through.get(name) === undefined)
      .map(([name, made]) => [name, replaced(made, /import\("\.\/([^"]+)"\)/g, ([, name]) => through.get(name))]),
  );
}
