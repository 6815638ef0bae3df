/**
 * `data inspect`: what a file is, how long in tokens, how well simple codes do on it, and what it looks like.
 *
 * @module
 */

import { type Dataset, encodePng, entropyOf, excerpt, histogram, loadDataset, visible } from "../../data.ts";
import { whole } from "../../files.ts";
import { contactSheet, waveformImage, waveformSvg } from "../../pictures.ts";
import { openFiles } from "../data_files.ts";
import { DATA_FLAGS, dataOptions, describeLevels, gzipBits } from "../dataset.ts";
import { writeFile } from "../disk.ts";
import { drawImage } from "../draw.ts";
import { type Args, type Command, group, UsageError } from "../flags.ts";
import { soundLength, tableLines, thousands } from "../format.ts";
import { colored, columns, Screen, write } from "../terminal.ts";

/** gzip works on at most this many bytes: it takes about 5 s for them. */
const GZIP_LIMIT = 2 ** 25;

/** What is known of some tokens. */
async function measure(tokens: Uint8Array, dataset: Dataset) {
  const head = tokens.subarray(0, GZIP_LIMIT);
  return {
    tokens: tokens.length,
    ...(dataset.kind === "image" ? { images: tokens.length / dataset.unit } : {}),
    ...(dataset.rate ? { seconds: tokens.length / dataset.rate } : {}),
    entropy0: entropyOf(await histogram(tokens)),
    gzip: gzipBits(head),
    ...(head.length < tokens.length ? { gzipOfFirst: head.length } : {}),
  };
}

type Measured = Awaited<ReturnType<typeof measure>>;

/** Images spread evenly over the training part. */
function some({ train, unit }: Dataset, count: number): Uint8Array {
  const images = train.length / unit, shown = Math.min(count, images), rows = new Uint8Array(shown * unit);
  for (let i = 0; i < shown; i++) {
    const at = Math.floor(i * images / shown) * unit;
    rows.set(train.subarray(at, at + unit), i * unit);
  }
  return rows;
}

function lengthOf(part: Measured): string {
  const of = part.images !== undefined
    ? ` (${thousands(part.images)} images)`
    : part.seconds !== undefined
    ? ` (${soundLength(part.seconds)})`
    : "";
  return thousands(part.tokens) + of;
}

/** What is known of a data set's parts. */
type Parts = Readonly<Partial<Record<"train" | "heldOut" | "test", Measured>>>;

/** What is told of a data set to people. */
function describe(dataset: Dataset, parts: Parts, screen: Screen): void {
  const { name, about, levels, notices, kind, train } = dataset, names = { train: "train", heldOut: "held out", test: "test" };
  screen.print(`${screen.bold(visible(name))}: ${visible(about)}\n`);
  const rows = Object.entries(parts).map(([name, part]) => [
    names[name as keyof typeof names],
    lengthOf(part),
    part.entropy0.toFixed(3),
    part.gzip.toFixed(3) + (part.gzipOfFirst ? "*" : ""),
  ]);
  const [heading, ...lines] = tableLines([["", "tokens", "order-0, bits/byte", "gzip −9, bits/byte"], ...rows], 1, columns() - 3);
  for (const line of heading) screen.show(`  ${screen.faint(line)}`);
  for (const line of lines.flat()) screen.show(`  ${line}`);
  if (rows.some((row) => row[3].endsWith("*"))) screen.print(screen.faint(`* of the first ${thousands(GZIP_LIMIT)} bytes`), "  ");
  if (levels) screen.print("");
  if (levels) screen.print(`${describeLevels(levels)}.`, "  Levels: ");
  if (notices.length > 0) screen.print("");
  for (const notice of notices) screen.print(`${visible(notice)}.`, "  Note: ");
  if (kind === "text") screen.show(`\n${visible(new TextDecoder().decode(train.subarray(0, 400)))}…`);
}

/** Whether images of that shape can be drawn. */
const isDrawable = (shape: Dataset["shape"]) => shape !== undefined && (shape[2] === 1 || shape[2] === 3);

/**
 * Writes the pictures that were asked for.
 *
 * @returns their files
 * @throws {UsageError} where there are none of such data
 * @throws {ConfigError} where a file cannot be written
 */
function writePictures(args: Args, dataset: Dataset): string[] {
  const { kind, shape, train, rate, name } = dataset, png = args.text("png"), svg = args.text("svg");
  if (svg && kind !== "audio") throw new UsageError(`Cannot write ${svg}: waveforms are of sound, this is ${kind}`);
  if (png && kind !== "image" && kind !== "audio") {
    throw new UsageError(`Cannot write ${png}: pictures are of images or sound, this is ${kind}`);
  }
  if (png && kind === "image" && !isDrawable(shape)) {
    throw new UsageError(`Cannot write ${png}: images of ${shape![2]} channels cannot be drawn, 1 or 3 can`);
  }
  if (png) {
    const picture = kind === "image" ? contactSheet(some(dataset, args.number("images") ?? 64), shape!) : waveformImage(train);
    writeFile(png, encodePng(picture));
  }
  if (svg) writeFile(svg, waveformSvg(train, rate!, `${name}, ${rate} Hz`));
  return [png, svg].filter((path) => path !== undefined);
}

/** The command. */
export const data: Command = {
  name: "data",
  about: "say what a data file is: tokens, split, entropy, gzip, and a picture of it",
  operands: { name: "inspect FILE…", least: 2, most: Infinity },
  flags: [
    ...DATA_FLAGS,
    ...group("Output", [
      { name: "images", value: "N", allowed: whole(1, 10000), about: "images on the contact sheet (default: 64)" },
      { name: "png", value: "FILE", about: "write the contact sheet or waveform as PNG" },
      { name: "svg", value: "FILE", about: "write the waveform as SVG, with an axis" },
      { name: "json", about: "one JSON object on stdout" },
    ]),
  ],
  examples: [
    "data inspect cifar-10-binary.tar.gz --png sheet.png",
    "data inspect patches64.bin --shape 64x64x3 --held-out 20",
    "data inspect piano.wav --svg piano.svg",
    "data inspect enwik8.zip --json",
  ],
  async execute(args) {
    const [what, ...paths] = args.operands;
    if (what !== "inspect") throw new UsageError(`Cannot run data ${excerpt(what)}: it must be data inspect FILE…`);
    const dataset = await loadDataset(openFiles(paths), dataOptions(args), paths.length === 1 ? paths[0] : undefined);
    const { name, kind, about, unit, shape, rate, levels, skipped, notices, train, heldOut, test } = dataset;
    const written = writePictures(args, dataset),
      parts = {
        train: await measure(train, dataset),
        heldOut: await measure(heldOut, dataset),
        ...(test ? { test: await measure(test, dataset) } : {}),
      };
    if (args.on("json")) {
      const tokens = Object.values(parts).reduce((sum, part) => sum + part.tokens, 0);
      write(
        Deno.stdout,
        JSON.stringify({ name, kind, about, tokens, unit, shape, rate, ...parts, levels, skipped, notices, written }) + "\n",
      );
      return 0;
    }
    const screen = new Screen(Deno.stdout);
    describe(dataset, parts, screen);
    const picture = isDrawable(shape)
      ? contactSheet(some(dataset, 8), shape!, 4)
      : kind === "audio"
      ? waveformImage(train, 144, 24)
      : undefined;
    if (picture && colored(Deno.stdout)) {
      screen.print("");
      for (const line of drawImage(picture, Math.min(72, columns() - 3))) screen.show(`  ${line}`);
    }
    for (const path of written) screen.print(`\nWrote ${path}.`);
    return 0;
  },
};
