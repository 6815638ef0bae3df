/**
 * `data inspect`: what a file is, how long in tokens, how well simple codes do on it, and what it looks like.
 *
 * @module
 */

import { type Dataset, encodePng, entropyOf, histogram, openDataset, TokenRange, type TokenSource, visible } from "../../data.ts";
import { whole } from "../../files.ts";
import { contactSheet, waveformImage, waveformSvg } from "../../pictures.ts";
import { openFiles } from "../data_files.ts";
import { DATA_FLAGS, dataOptions, describeLevels, gzipBits } from "../dataset.ts";
import { writeFile } from "../disk.ts";
import { drawImage } from "../draw.ts";
import { type Args, type Command, group, UsageError } from "../flags.ts";
import { soundLength, tableLines, thousands } from "../format.ts";
import { colored, columns, Screen, write } from "../terminal.ts";
import { tokenFile } from "../token_file.ts";

/** gzip works on at most this many bytes: it takes about 5 s for them. */
const GZIP_LIMIT = 2 ** 25;

/** The first tokens, read. */
const headOf = async (tokens: TokenSource, most: number) =>
  tokens instanceof TokenRange ? await tokens.read(0, most) : tokens.subarray(0, most);

/** What is known of some tokens. */
async function measure(tokens: TokenSource, dataset: Dataset<TokenSource>) {
  const head = await headOf(tokens, GZIP_LIMIT), counts = new Float64Array(256);
  const pieces = tokens instanceof TokenRange ? tokens.pieces() : [tokens];
  for await (const piece of pieces) (await histogram(piece)).forEach((count, token) => counts[token] += count);
  return {
    tokens: tokens.length,
    ...(dataset.kind === "image" ? { images: tokens.length / dataset.unit } : {}),
    ...(dataset.rate ? { seconds: tokens.length / dataset.rate } : {}),
    entropy0: entropyOf(counts),
    gzip: gzipBits(head),
    ...(head.length < tokens.length ? { gzipOfFirst: head.length } : {}),
  };
}

type Measured = Awaited<ReturnType<typeof measure>>;

/** Images spread evenly over the training part. */
async function some({ train, unit }: Dataset<TokenSource>, count: number): Promise<Uint8Array> {
  const images = train.length / unit, shown = Math.min(count, images), rows = new Uint8Array(shown * unit);
  for (let i = 0; i < shown; i++) {
    const at = Math.floor(i * images / shown) * unit;
    rows.set(train instanceof TokenRange ? await train.read(at, at + unit) : train.subarray(at, at + unit), i * unit);
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
async function describe(dataset: Dataset<TokenSource>, parts: Parts, screen: Screen): Promise<void> {
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
  if (kind === "text") screen.show(`\n${visible(new TextDecoder().decode(await headOf(train, 400)))}…`);
}

/** Sound as it is drawn: of what is read by range the first six hours. */
const drawn = (tokens: TokenSource) => headOf(tokens, 2 ** 28);

/** Whether images of that shape can be drawn. */
const isDrawable = (shape: Dataset["shape"]) => shape !== undefined && (shape[2] === 1 || shape[2] === 3);

/**
 * Writes the pictures that were asked for.
 *
 * @returns their files
 * @throws {UsageError} where there are none of such data
 * @throws {ConfigError} where a file cannot be written
 */
async function writePictures(args: Args, dataset: Dataset<TokenSource>): Promise<string[]> {
  const { kind, shape, train, rate, name } = dataset, png = args.text("png"), svg = args.text("svg");
  if (svg && kind !== "audio") throw new UsageError(`Cannot write ${svg}: waveforms are of sound, this is ${kind}`);
  if (png && kind !== "image" && kind !== "audio") {
    throw new UsageError(`Cannot write ${png}: pictures are of images or sound, this is ${kind}`);
  }
  if (png && kind === "image" && !isDrawable(shape)) {
    throw new UsageError(`Cannot write ${png}: images of ${shape![2]} channels cannot be drawn, 1 or 3 can`);
  }
  if (png) {
    const picture = kind === "image"
      ? contactSheet(await some(dataset, args.number("images") ?? 64), shape!)
      : waveformImage(await drawn(train));
    writeFile(png, encodePng(picture));
  }
  if (svg) writeFile(svg, waveformSvg(await drawn(train), rate!, `${name}, ${rate} Hz`));
  return [png, svg].filter((path) => path !== undefined);
}

/** The command. */
export const data: Command = {
  name: "data",
  about: "say what a data file is: tokens, split, entropy, gzip, and a picture of it",
  operands: { name: "inspect FILE…", least: 2, most: Infinity, words: ["inspect"] },
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
    const [, ...paths] = args.operands;
    const options = { ...dataOptions(args), store: tokenFile() };
    const dataset = await openDataset(openFiles(paths), options, paths.length === 1 ? paths[0] : undefined);
    const { name, kind, about, unit, shape, rate, levels, skipped, notices, train, heldOut, test } = dataset;
    const written = await writePictures(args, dataset),
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
    await describe(dataset, parts, screen);
    const picture = isDrawable(shape)
      ? contactSheet(await some(dataset, 8), shape!, 4)
      : kind === "audio"
      ? waveformImage(await drawn(train), 144, 24)
      : undefined;
    if (picture && colored(Deno.stdout)) {
      screen.print("");
      for (const line of drawImage(picture, Math.min(72, columns() - 3))) screen.show(`  ${line}`);
    }
    for (const path of written) screen.print(`\nWrote ${path}.`);
    return 0;
  },
};
