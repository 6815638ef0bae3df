/**
 * `layout`: any pattern drawn, counted and checked.
 *
 * @module
 */

import { ConfigError, preset, PRESETS } from "../../mod.ts";
import { encodePng, wrapText } from "../../data.ts";
import { type AttentionSet, buildLayout, checkReach, factorsOf, type Reach, scheduleOf } from "../../ops.ts";
import { DRAWN_LIMIT, panelsOf, patternImage, patternMap, patternSvg, tileImages } from "../../pictures.ts";
import { ATTENTION_FLAGS, attentionFrom, readConfig, writeOut } from "../common.ts";
import type { Args, Command } from "../flags.ts";
import { colored, columns, drawPattern, percent, Screen, whole, write } from "../terminal.ts";

/** A set in words. */
function describe(set: AttentionSet): string {
  const mod = (from: number, to: number, l: number) => `j mod ${l} in ${from} … ${to - 1}`;
  switch (set.kind) {
    case "dense":
      return "every key";
    case "window":
      return `|i − j| ≤ ${set.l}`;
    case "column":
      return `(i − j) mod ${set.l} = 0`;
    case "strided":
      return `|i − j| ≤ ${set.l} or (i − j) mod ${set.l} = 0`;
    case "segment":
      return `same window of ${set.l}`;
    case "summary":
      return `${mod(set.from, set.to, set.l)}, or j = i`;
    case "fixed":
      return `same window of ${set.l}, or ${mod(set.from, set.to, set.l)}`;
    case "longformer":
      return `|i − j| ≤ ${set.l}, or one of the first ${set.globals}`;
    case "blocks":
      return `listed blocks of ${set.block}`;
  }
}

/** Layers that gaps are told from at most. */
const STARTS = 3;
/** Panels drawn at most: a schedule may have a set of its own for every layer and head. */
const PANELS = 8;

interface Shape {
  readonly n: number;
  readonly layers: number;
  readonly heads: number;
}

function shapeOf(args: Args): { shape: Shape; attention: Parameters<typeof scheduleOf>[0]; name: string } {
  const file = args.text("config"), name = args.text("preset");
  if (file && name) throw new ConfigError("Cannot use --preset and --config together: give one of them");
  const base = file ? readConfig(file) : name ? preset(name).model : undefined;
  const shape = {
    n: args.number("n") ?? base?.n_ctx ?? 64,
    layers: args.number("layers") ?? base?.n_layer ?? 4,
    heads: args.number("heads") ?? base?.n_head ?? 4,
  };
  const changed = args.given(ATTENTION_FLAGS.map(({ name }) => name)).length > 0, given = base?.attention;
  if (Array.isArray(given) && !changed) return { shape, attention: given, name: "a pattern per layer" };
  const attention = attentionFrom(args, Array.isArray(given) ? given[0] : given), { pattern, integration } = attention;
  const sizes = [attention.stride !== undefined && `l ${attention.stride}`, attention.c !== undefined && `c ${attention.c}`].filter(
    Boolean,
  );
  const factors = factorsOf(attention) === 2 ? [integration ?? "merged"] : [];
  return { shape, attention, name: [pattern, ...factors, ...sizes].join(", ") };
}

/** @param repeats whether the pattern goes on as it begins */
function reachLines(reach: Reach, repeats: boolean): string[] {
  const { n, checked, allowed, steps, starts, layersNeeded, valid, pairs } = reach,
    count = (k: number) => `${k} layer${k === 1 ? "" : "s"}`;
  const lines: string[] = [];
  if (valid) {
    const fewer = layersNeeded !== undefined && layersNeeded < steps ? ` (from layer 0, ${layersNeeded} will do)` : "";
    lines.push(`Valid: every earlier position reaches every later one within ${count(steps)}${fewer}.`);
  } else {
    const after = layersNeeded === undefined
      ? "all layers together do not reach them either"
      : `${count(layersNeeded)} from the first reach them`;
    lines.push(`Not valid: some positions do not reach others within ${count(steps)} (p + 1 = ${allowed}); ${after}.`);
  }
  const gaps = starts.filter(({ missing }) => missing > 0);
  for (const { layers, missing, examples, reason } of gaps.slice(0, STARTS)) {
    const from = layers.slice(0, 4).join(", ") + (layers.length > 4 ? ", …" : "");
    lines.push(
      `From layer ${from}: ${whole(missing)} of ${whole(pairs)} pairs, such as ${examples.map(([i, j]) => `${j} → ${i}`).join(", ")}.`,
      `Why: ${reason}.`,
    );
  }
  if (gaps.length > STARTS) lines.push(`From ${gaps.length - STARTS} other layers there are gaps too.`);
  if (checked < n) {
    lines.push(
      `Checked exactly on the first ${whole(checked)} of ${whole(n)} positions${repeats ? "; the pattern repeats by its stride" : ""}.`,
    );
  }
  return lines;
}

/** The command. */
export const layout: Command = {
  name: "layout",
  about: "draw an attention pattern, count its pairs, check that everything reaches everything",
  flags: [
    { name: "preset", value: "NAME", kind: Object.keys(PRESETS), about: `a preset's pattern: ${Object.keys(PRESETS).join(", ")}` },
    { name: "config", value: "FILE", about: "the pattern of a config.json" },
    ...ATTENTION_FLAGS,
    { name: "n", value: "N", kind: "whole", low: 1, high: 2 ** 24, about: "positions (default: 64)" },
    { name: "layers", value: "N", kind: "whole", low: 1, high: 4096, about: "layers (default: 4)" },
    { name: "heads", value: "N", kind: "whole", low: 1, high: 4096, about: "heads (default: 4)" },
    { name: "tile", value: "N", kind: "whole", low: 8, high: 1024, about: "positions a tile when counting tiles (default: 64)" },
    {
      name: "positions",
      value: "N",
      kind: "whole",
      low: 1,
      high: DRAWN_LIMIT,
      about: "draw the first N positions (default: four strides, so that the pattern shows)",
    },
    { name: "png", value: "FILE", about: "write the pictures as PNG" },
    { name: "svg", value: "FILE", about: "write the pictures as SVG, with titles" },
    { name: "json", about: "one JSON object on stdout instead of pictures" },
  ],
  examples: [
    "layout --pattern strided --stride 8 --integration interleaved --n 48",
    "layout --pattern fixed --stride 16 --c 4 --integration multihead",
    "layout --preset enwik8 --svg enwik8.svg",
  ],
  async run(args) {
    const { shape, attention, name } = shapeOf(args), { n, layers, heads } = shape, schedule = scheduleOf(attention, shape);
    const panels = panelsOf(schedule), tile = args.number("tile") ?? 64, causal = schedule.flat().every((set) => set.causal);
    const dense = causal ? n * (n + 1) / 2 : n * n, counted = [];
    for (const panel of panels) {
      const { pairs, tiles } = await buildLayout(panel.set, n, { q: tile, k: tile });
      counted.push({ ...panel, pairs, tiles });
    }
    const all = counted.reduce((sum, { pairs, uses }) => sum + pairs * uses, 0);
    const reach = await checkReach(schedule, n, factorsOf(attention));
    const reached = reachLines(reach, [attention].flat().every(({ stride }) => stride !== undefined));
    if (args.on("json")) {
      const sets = counted.map(({ title, set, layers, heads, pairs, tiles }) => ({
        title,
        set: set.kind === "blocks" ? { ...set, blocks: undefined } : set,
        layers,
        heads,
        pairs,
        share: pairs / dense,
        tiles,
      }));
      write(
        Deno.stdout,
        JSON.stringify({ ...shape, causal, attention, sets, pairs: all, share: all / (dense * layers * heads), tile, reach }) + "\n",
      );
    }

    const one = [attention].flat()[0],
      drawn = Math.min(n, args.number("positions") ?? Math.max(64, 4 * (one.stride || one.block || n)), DRAWN_LIMIT);
    const heading = `${name}: n ${whole(n)}, ${whole(layers)} layer${layers === 1 ? "" : "s"} × ${whole(heads)} head${
      heads === 1 ? "" : "s"
    }${causal ? "" : ", bidirectional"}`;
    const maps = async (cells: number) => {
      const made = await Promise.all(panels.slice(0, PANELS).map(({ title, set }) => patternMap(title, [set], drawn, cells)));
      if (panels.length > 1) made.push(await patternMap("all layers and heads together", schedule.flat(), drawn, cells));
      return made;
    };
    const notes = [
      `${whole(all)} pairs in all layers and heads, ${percent(all / (dense * layers * heads))} of dense`,
      ...reached,
    ];
    const png = args.text("png"), svg = args.text("svg");
    if (png) writeOut(png, encodePng(tileImages((await maps(480)).map((map) => patternImage(map)), 3)));
    if (svg) {
      writeOut(svg, patternSvg(await maps(480), heading, [...notes, ...drawn < n ? [`drawn: the first ${whole(drawn)} positions`] : []]));
    }
    if (args.on("json")) return 0;

    const screen = new Screen(Deno.stdout), width = Math.min(columns(), 200);
    const fit = panels.length === 1 ? 1 : Math.max(1, Math.min(3, Math.floor(width / 36)));
    const made = await maps(Math.max(8, Math.min(64, Math.floor(width / fit) - 2))), scale = Math.max(1, Math.floor(32 / made[0].cells));
    const side = made[0].cells * scale, column = Math.max(side, ...made.map(({ title }) => title.length));
    const across = Math.max(1, Math.min(fit, Math.floor(width / (column + 2))));
    screen.print(`${screen.bold(heading)}\n`);
    const pictures = made.map((map) => drawPattern(map, colored(Deno.stdout), scale));
    for (let at = 0; at < pictures.length; at += across) {
      const row = pictures.slice(at, at + across), fill = " ".repeat(column - side);
      screen.print("  " + made.slice(at, at + across).map(({ title }) => title.padEnd(column)).join("  ").trimEnd());
      for (let line = 0; line < row[0].length; line++) {
        screen.print("  " + row.map((picture) => picture[line] + fill).join("  ").trimEnd());
      }
      screen.print("");
    }
    const legend = colored(Deno.stdout) ? "; blue is near (window), orange far (stride, summary, global)" : "";
    const part = drawn < n ? ` 0 … ${whole(drawn - 1)} of ${whole(n)} (--positions N draws more)` : "";
    for (const line of wrapText(`Down: queries${part}; across: keys${legend}.`, width - 3)) screen.print(screen.faint(`  ${line}`));
    screen.print("");
    if (panels.length > PANELS) screen.print(screen.faint(`  ${panels.length - PANELS} more sets are not drawn.\n`));
    const rows = counted.slice(0, 2 * PANELS).map((
      { title, set, pairs, tiles },
    ) => [title, describe(set), whole(pairs), percent(pairs / dense), whole(tiles)]);
    const table = [["", "attends to", "pairs", "of dense", `tiles ${tile}×${tile}`], ...rows];
    const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
    for (const row of table) {
      const line = row.map((text, column) => column < 2 ? text.padEnd(widths[column]) : text.padStart(widths[column])).join("  ");
      screen.print(`  ${row === table[0] ? screen.faint(line) : line}`);
    }
    if (counted.length > 2 * PANELS) screen.print(`  … and ${counted.length - 2 * PANELS} more sets`);
    screen.print("");
    screen.print(
      `${whole(all)} pairs in all layers and heads: ${percent(all / (dense * layers * heads))} of dense (${whole(dense)} a head).`,
    );
    for (const line of reached) screen.print(wrapText(line, width - 3).join("\n  "));
    for (const file of [png, svg]) if (file) screen.print(`Wrote ${file}.`);
    return 0;
  },
};
