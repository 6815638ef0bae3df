/**
 * `layout`: any pattern drawn, counted and checked.
 *
 * @module
 */

import { type AttentionConfig, type ModelAttention, preset, PRESETS } from "../../mod.ts";
import { encodePng, wrapText } from "../../data.ts";
import { MODEL_FIELDS, whole } from "../../files.ts";
import {
  type AttentionSet,
  buildLayout,
  checkReach,
  describeAttention,
  factorsOf,
  patternsIn,
  type Reach,
  rowsIn,
  type Schedule,
  scheduleOf,
} from "../../ops.ts";
import { DRAWN_LIMIT, type Panel, panelsOf, patternImage, type PatternMap, patternMap, patternSvg, tileImages } from "../../pictures.ts";
import { writeFile } from "../disk.ts";
import { drawPattern } from "../draw.ts";
import { type Args, byFlags, type Command, group, UsageError } from "../flags.ts";
import { percent, tableLines, thousands } from "../format.ts";
import { ATTENTION_FLAGS, attentionFrom, readConfig, wholeAttention } from "../model.ts";
import { colored, columns, Screen, write } from "../terminal.ts";

const columnsOf = (from: number, to: number) => to - from === 1 ? `column ${from}` : `columns ${from} … ${to - 1}`;

/** A set in words. */
function describe(set: AttentionSet): string {
  const mod = (from: number, to: number, l: number) => `j mod ${l} in ${from} … ${to - 1}`;
  switch (set.kind) {
    case "dense":
      return "every key";
    case "window":
      return `|i − j| ≤ ${set.l}`;
    case "column":
      return `(i − j) mod ${set.l} = 0${set.within ? `, |i − j| ≤ ${set.within}` : ""}`;
    case "strided": {
      const strides = [set.l, ...set.more ?? []];
      const far = strides.map((l, at) => `(i − j) mod ${l} = 0${at + 1 < strides.length ? ` and |i − j| ≤ ${strides[at + 1]}` : ""}`);
      return `|i − j| ≤ ${set.l} or ${far.join(" or ")}`;
    }
    case "segment":
      return `same window of ${set.l}${set.larger?.map((l) => ` in one of ${l}`).join("") ?? ""}`;
    case "summary": {
      const { l, from, to, larger } = set;
      if (!larger) return `${mod(from, to, l)}, or j = i`;
      const same = larger.length ? `the same one of ${larger[0]}` : "all";
      return `${columnsOf(from, to)} of the other windows of ${l} in ${same}, or j = i`;
    }
    case "fixed": {
      const { l, from, to, more = [] } = set, strides = [l, ...more];
      if (more.length === 0) return `same window of ${l}, or ${mod(from, to, l)}`;
      const far = strides.map((stride, at) =>
        `${columnsOf(from + stride - l, to + stride - l)} of windows of ${stride}${more[at] ? ` in the same one of ${more[at]}` : ""}`
      );
      return `same window of ${l}, or ${far.join(", or ")}`;
    }
    case "longformer":
      return `|i − j| ≤ ${set.l}, or one of the first ${set.globals}`;
    case "blocks":
      return `listed blocks of ${set.block}`;
    case "intervals":
      return "listed intervals";
    case "routed":
      return `|i − j| ≤ ${set.window}, or one of ${set.top_k} blocks of ${set.block} chosen by content (drawn: evenly spread)`;
    case "chosen":
      return `copies of ${set.top_k} chosen blocks of ${set.block}`;
    case "past":
      return `means of past blocks of ${set.block}`;
  }
}

/** Layers that gaps are told from at most. */
const STARTS = 3;
/** Panels drawn at most: a schedule may have a set of its own for every layer and head. */
const PANELS = 8;

/** How large what is drawn is. */
interface Shape {
  readonly n: number;
  readonly layers: number;
  readonly heads: number;
}

/** What the flags ask to be drawn. */
interface Asked {
  readonly shape: Shape;
  readonly attention: ModelAttention;
  /** In words. */
  readonly name: string;
}

/** @throws {UsageError} where flags contradict each other */
function askedOf(args: Args): Asked {
  const file = args.text("config"), name = args.text("preset");
  if (file && name) throw new UsageError("Cannot use --preset and --config together: give one of them");
  const base = file ? readConfig(file) : name ? preset(name).model : undefined;
  const whole = wholeAttention(args), given = whole ?? base?.attention, listed = Array.isArray(given) ? given.length : undefined;
  const shape = {
    n: args.number("n") ?? base?.n_ctx ?? 64,
    layers: args.number("layers") ?? (whole ? listed : base?.n_layer) ?? 4,
    heads: args.number("heads") ?? base?.n_head ?? 4,
  };
  const changed = !whole && args.given(ATTENTION_FLAGS.map(({ name }) => name)).length > 0;
  if (given && !changed && !("pattern" in given)) {
    return { shape, attention: given, name: listed ? "a pattern per layer" : describeAttention(given) };
  }
  const attention = whole ? given as AttentionConfig : attentionFrom(args, given && patternsIn(given)[0]);
  const { pattern, integration } = attention,
    several = (name: string, value: unknown) => value !== undefined && `${name} ${[value].flat().join(", ")}`;
  const factors = /strided|fixed/.test(pattern) ? [integration ?? "merged"] : [];
  const sizes = [
    several("l", attention.stride),
    several("c", attention.c),
    several("memory", attention.memory),
    several("within", attention.within),
  ];
  return { shape, attention, name: [pattern, ...factors, ...sizes.filter(Boolean)].join(", ") };
}

/** The first of some layers. */
const some = (layers: readonly number[]) => layers.slice(0, 4).join(", ") + (layers.length > 4 ? ", …" : "");

/** @param repeats whether the pattern goes on as it begins */
function reachLines(reach: Reach, repeats: boolean): string[] {
  const { n, checked, allowed, steps, starts, layersNeeded, valid, pairs } = reach,
    count = (k: number) => `${k} layer${k === 1 ? "" : "s"}`;
  const lines: string[] = [], longer = starts.filter((start) => start.steps > steps);
  if (valid) {
    const fewer = layersNeeded !== undefined && layersNeeded < steps ? ` (from layer 0, ${layersNeeded} will do)` : "";
    lines.push(`Valid: every earlier position reaches every later one within ${count(steps)}${fewer}.`);
    for (const { layers, steps } of longer) {
      lines.push(`From layer ${some(layers)}, where a round of the ${allowed - 1} factors has begun: within ${count(steps)}.`);
    }
  } else {
    const after = layersNeeded === undefined
      ? "all layers together do not reach them either"
      : `${count(layersNeeded)} from the first reach them`;
    lines.push(`Not valid: some positions do not reach others within ${count(steps)} (p + 1 = ${allowed}); ${after}.`);
  }
  const gaps = starts.filter(({ missing }) => missing > 0);
  for (const { layers, missing, examples, reason } of gaps.slice(0, STARTS)) {
    lines.push(
      `From layer ${some(layers)}: ${thousands(missing)} of ${thousands(pairs)} pairs, such as ${
        examples.map(([i, j]) => `${j} → ${i}`).join(", ")
      }.`,
      `Why: ${reason}.`,
    );
  }
  if (gaps.length > STARTS) lines.push(`From ${gaps.length - STARTS} other layers there are gaps too.`);
  if (checked < n) {
    lines.push(
      `Checked exactly on the first ${thousands(checked)} of ${thousands(n)} positions${
        repeats ? "; the pattern repeats by its stride" : ""
      }.`,
    );
  }
  return lines;
}

/** A set of the schedule, and what it costs. */
interface Counted extends Panel {
  /** Pairs of one head. */
  readonly pairs: number;
  readonly tiles: number;
}

/** A pattern, counted and checked. */
interface Found extends Asked {
  readonly schedule: Schedule;
  readonly panels: readonly Counted[];
  /** Rows of a sequence: its positions, and memory tokens where it has some. */
  readonly n: number;
  /** Positions along the side of a tile. */
  readonly tile: number;
  readonly causal: boolean;
  /** Pairs of one head that sees everything. */
  readonly dense: number;
  /** Pairs of all layers and heads. */
  readonly pairs: number;
  /** Of those that dense attention would have. */
  readonly share: number;
  readonly reach: Reach;
  /** The same in sentences. */
  readonly reached: readonly string[];
}

/** Pairs of a head with summaries: position i has ⌊i / block⌋. */
function pairsWithPast(n: number, block: number): number {
  const whole = Math.floor(n / block);
  return block * whole * (whole - 1) / 2 + whole * (n - whole * block);
}

async function measure(asked: Asked, tile: number): Promise<Found> {
  const { shape, attention } = asked,
    { layers, heads } = shape,
    n = rowsIn(attention, shape.n),
    schedule = byFlags(() => scheduleOf(attention, shape)),
    panels: Counted[] = [];
  const causal = schedule.flat().every((set) => set.causal), dense = causal ? n * (n + 1) / 2 : n * n;
  for (const panel of panelsOf(schedule)) {
    const { pairs, tiles } = await buildLayout(panel.set, n, { q: tile, k: tile });
    panels.push({ ...panel, pairs, tiles });
  }
  const pairs = panels.reduce((sum, { pairs, uses }) => sum + pairs * uses, 0), reach = await checkReach(schedule, n, factorsOf(attention));
  const reached = reachLines(reach, patternsIn(attention).every(({ stride }) => stride !== undefined));
  const routed = schedule.flat().filter((set) => set.kind === "routed"), past = routed.filter(({ compressed }) => compressed);
  if (routed.length > 0) {
    reached.push(
      "What routed attention chooses shows when it runs: drawn, counted and checked is an even choice; any other has as many pairs.",
    );
  }
  if (past.length > 0) {
    const more = past.reduce((sum, { block }) => sum + pairsWithPast(n, block), 0);
    reached.push(`On top come ${thousands(more)} pairs with the means of past blocks.`);
  }
  return { ...asked, schedule, panels, n, tile, causal, dense, pairs, share: pairs / (dense * layers * heads), reach, reached };
}

/** The same for programs. */
function inJson({ shape, n, attention, panels, tile, causal, dense, pairs, share, reach }: Found): string {
  const sets = panels.map(({ title, set, layers, heads, pairs, tiles }) => ({
    title,
    set: set.kind === "blocks" ? { ...set, blocks: undefined } : set,
    layers,
    heads,
    pairs,
    share: pairs / dense,
    tiles,
  }));
  return JSON.stringify({ ...shape, rows: n, causal, attention, sets, pairs, share, tile, reach }) + "\n";
}

/** Positions drawn where none are asked for: four strides, so that the pattern shows. */
function drawnOf({ n, attention }: Found, asked: number | undefined): number {
  const [{ stride, block }] = patternsIn(attention), l = Math.max(...[stride ?? 0].flat());
  return Math.min(n, asked ?? Math.max(64, 4 * (l || block || n)), DRAWN_LIMIT);
}

/** A picture per set, and one of all together. */
async function mapsOf({ schedule, panels }: Found, drawn: number, cells: number): Promise<PatternMap[]> {
  const made = await Promise.all(panels.slice(0, PANELS).map(({ title, set }) => patternMap(title, [set], drawn, cells)));
  if (panels.length > 1) made.push(await patternMap("all layers and heads together", schedule.flat(), drawn, cells));
  return made;
}

function headingOf({ name, n: rows, shape: { n, layers, heads }, causal }: Found): string {
  const several = (count: number, what: string) => `${thousands(count)} ${what}${count === 1 ? "" : "s"}`;
  const more = rows > n ? ` and ${thousands(rows - n)} memory tokens` : "";
  return `${name}: n ${thousands(n)}${more}, ${several(layers, "layer")} × ${several(heads, "head")}${causal ? "" : ", bidirectional"}`;
}

/** Draws on the terminal, as many pictures side by side as it has room for. */
async function draw(screen: Screen, found: Found, drawn: number): Promise<void> {
  const { panels, n } = found, width = Math.min(columns(), 200), color = colored(Deno.stdout);
  const fit = panels.length === 1 ? 1 : Math.max(1, Math.min(3, Math.floor(width / 36)));
  const made = await mapsOf(found, drawn, Math.max(8, Math.min(64, Math.floor(width / fit) - 2)));
  const scale = Math.max(1, Math.floor(32 / made[0].cells)), side = made[0].cells * scale;
  const across = Math.max(1, Math.min(fit, Math.floor((width - 1) / (side + 2))));
  // Titles stand in one line where that leaves as many pictures side by side.
  const longest = Math.max(side, ...made.map(({ title }) => title.length)),
    column = Math.min(longest, Math.floor((width - 1) / across) - 2);
  const titles = made.map(({ title }) => wrapText(title, column)), pictures = made.map((map) => drawPattern(map, color, scale));
  const beside = (texts: readonly string[]) => screen.show(`  ${texts.join("  ").trimEnd()}`), fill = " ".repeat(column - side);
  for (let at = 0; at < pictures.length; at += across) {
    const row = pictures.slice(at, at + across), above = titles.slice(at, at + across);
    // They end where their pictures begin.
    for (let line = Math.max(...above.map(({ length }) => length)); line > 0; line--) {
      beside(above.map((lines) => (lines.at(-line) ?? "").padEnd(column)));
    }
    for (let line = 0; line < row[0].length; line++) beside(row.map((picture) => picture[line] + fill));
    screen.print("");
  }
  const legend = color ? "; blue is near (window), orange far (stride, summary, global)" : "";
  const part = drawn < n ? ` 0 … ${thousands(drawn - 1)} of ${thousands(n)} (--positions N draws more)` : "";
  screen.print(screen.faint(`Down: queries${part}; across: keys${legend}.`), "  ");
  screen.print("");
  if (panels.length > PANELS) screen.show(screen.faint(`  ${panels.length - PANELS} more sets are not drawn.\n`));
}

/** What each set attends to and costs, and what all reach together. */
function describeSets(screen: Screen, { panels, tile, dense, pairs, share, reached }: Found): void {
  const rows = panels.slice(0, 2 * PANELS).map((
    { title, set, pairs, tiles },
  ) => [title, describe(set), thousands(pairs), percent(pairs / dense), thousands(tiles)]);
  const [heading, ...lines] = tableLines([["", "attends to", "pairs", "of dense", `tiles ${tile}×${tile}`], ...rows], 2, columns() - 3);
  for (const line of heading) screen.show(`  ${screen.faint(line)}`);
  for (const line of lines.flat()) screen.show(`  ${line}`);
  if (panels.length > 2 * PANELS) screen.show(`  … and ${panels.length - 2 * PANELS} more sets`);
  screen.print("");
  screen.print(`${thousands(pairs)} pairs in all layers and heads: ${percent(share)} of dense (${thousands(dense)} per head).`);
  for (const line of reached) screen.print(line);
}

/** The command. */
export const layout: Command = {
  name: "layout",
  about: "draw an attention pattern, count its pairs, check that everything reaches everything",
  flags: [
    ...group("Model", [
      {
        name: "preset",
        value: "NAME",
        allowed: { oneOf: Object.keys(PRESETS) },
        about: `a preset's pattern: ${Object.keys(PRESETS).join(", ")}`,
      },
      { name: "config", value: "FILE", about: "the pattern of a config.json" },
    ]),
    ...ATTENTION_FLAGS,
    ...group("Model", [
      { name: "n", value: "N", allowed: MODEL_FIELDS.n_ctx, about: "positions (default: 64)" },
      { name: "layers", value: "N", allowed: MODEL_FIELDS.n_layer, about: "layers (default: 4)" },
      { name: "heads", value: "N", allowed: MODEL_FIELDS.n_head, about: "heads (default: 4)" },
    ]),
    ...group("Output", [
      { name: "tile", value: "N", allowed: whole(8, 1024), about: "positions per tile when counting tiles (default: 64)" },
      {
        name: "positions",
        value: "N",
        allowed: whole(1, DRAWN_LIMIT),
        about: "draw the first N positions (default: four strides, so that the pattern shows)",
      },
      { name: "png", value: "FILE", about: "write the pictures as PNG" },
      { name: "svg", value: "FILE", about: "write the pictures as SVG, with titles" },
      { name: "json", about: "one JSON object on stdout instead of pictures" },
    ]),
  ],
  examples: [
    "layout --pattern strided --stride 8 --integration interleaved --n 48",
    "layout --pattern fixed --stride 16 --c 4 --integration multihead",
    "layout --preset enwik8 --svg enwik8.svg",
    "layout --pattern strided --stride 4,16 --n 64 --integration interleaved",
    "layout --attention attention.json --layers 6 --n 4096",
  ],
  async execute(args) {
    const found = await measure(askedOf(args), args.number("tile") ?? 64), { n, pairs, share, reached } = found;
    const json = args.on("json"), png = args.text("png"), svg = args.text("svg");
    if (json) write(Deno.stdout, inJson(found));
    const drawn = drawnOf(found, args.number("positions")), heading = headingOf(found);
    if (png) writeFile(png, encodePng(tileImages((await mapsOf(found, drawn, 480)).map((map) => patternImage(map)), 3)));
    if (svg) {
      const notes = [`${thousands(pairs)} pairs in all layers and heads, ${percent(share)} of dense`, ...reached];
      if (drawn < n) notes.push(`drawn: the first ${thousands(drawn)} positions`);
      writeFile(svg, patternSvg(await mapsOf(found, drawn, 480), heading, notes));
    }
    if (json) return 0;
    const screen = new Screen(Deno.stdout);
    screen.print(`${screen.bold(heading)}\n`);
    await draw(screen, found, drawn);
    describeSets(screen, found);
    for (const file of [png, svg]) if (file) screen.print(`Wrote ${file}.`);
    return 0;
  },
};
