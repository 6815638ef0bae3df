/**
 * `maps`: what chosen heads of chosen layers attend to, as pictures.
 *
 * @module
 */

import { join } from "node:path";
import { encodeText, type ModelConfig } from "../../mod.ts";
import { byteLabels, checkDataset, type Codec, encodePng, excerpt, type Image, type ImageShape, type TokenArray } from "../../data.ts";
import { codecOf, mustBe, whole } from "../../files.ts";
import {
  attentionImage,
  type AttentionMap,
  attentionMaps,
  attentionOverImage,
  attentionOverImageSvg,
  attentionSvg,
  tileImages,
} from "../../pictures.ts";
import { dataFor, READ_FLAGS } from "../dataset.ts";
import { makeFolder, writeFile } from "../disk.ts";
import { ENGINE_FLAGS, engineOf, place } from "../engine.ts";
import { type Args, type Command, group, NUMBERS, numbersOf, UsageError } from "../flags.ts";
import { thousands } from "../format.ts";
import { type NamedModel, readModel } from "../model.ts";
import { Report } from "../report.ts";

/** Layers and heads shown where none are named. */
const SHOWN = 4;

/** Bytes of pixels that one sheet of all maps may have. */
const SHEET_LIMIT = 2 ** 27;

/** Pairs that the maps of a sheet in SVG may have, 8 bytes each: they are held until it is drawn. */
const PAIRS_LIMIT = 2 ** 24;

/** Some of `count`, spread evenly, first and last among them. */
function spread(count: number): number[] {
  const shown = Math.min(SHOWN, count);
  return Array.from({ length: shown }, (_, at) => shown === 1 ? 0 : Math.round(at * (count - 1) / (shown - 1)));
}

/** What is looked at. */
interface Looked {
  /** The sequence. */
  readonly tokens: TokenArray;
  /** Where it is from, for people. */
  readonly from: string;
  /** Of what image it is. */
  readonly shape?: ImageShape;
  /** Characters of a text. */
  readonly labels?: readonly string[];
}

async function promptOf(prompt: string, codec: Codec, { n_ctx }: ModelConfig): Promise<TokenArray> {
  const tokens = await codec.encode(encodeText(prompt)), what = codec.size > 256 ? "tokens" : "bytes";
  if (tokens.length > 0 && tokens.length <= n_ctx) return tokens;
  throw new UsageError(`Cannot map attention: the prompt must have 1 to ${thousands(n_ctx)} ${what}, it has ${thousands(tokens.length)}`);
}

/** What stands for each token of a text: the characters that begin in it. */
function labelsOf(tokens: TokenArray, codec: Codec): string[] {
  const labels = byteLabels(codec.decode(tokens));
  let at = 0;
  return Array.from(tokens, (token) => labels.slice(at, at += codec.decode([token]).length).join(""));
}

/**
 * The prompt, or a context of what training has not seen.
 *
 * @throws {UsageError} where it does not fit the model, or there are not so many contexts
 */
async function sequenceOf(args: Args, { name, model, state }: NamedModel): Promise<Looked> {
  const { config } = model, codec = codecOf(model, "map attention");
  const { n_ctx, position } = config, prompt = args.text("prompt");
  const own = position.kind === "data" && position.shape.length === 3 ? position.shape as unknown as ImageShape : undefined;
  if (prompt !== undefined) {
    const tokens = await promptOf(prompt, codec, config);
    return { tokens, from: excerpt(prompt), shape: own, labels: labelsOf(tokens, codec) };
  }
  const data = await dataFor(args, name, state), { dataset } = data, unseen = await codec.encode(data.unseen);
  const at = args.number("at") ?? 0, count = Math.ceil(unseen.length / n_ctx);
  if (dataset.shape) checkDataset(dataset, config);
  if (at >= count) throw new UsageError(`Cannot map attention: ${mustBe("--at", whole(0, count - 1), at)}`);
  const tokens = unseen.subarray(at * n_ctx, (at + 1) * n_ctx), from = `${dataset.name}, ${dataset.shape ? "image" : "context"} ${at}`;
  return { tokens, from, shape: dataset.shape ?? own, labels: dataset.kind === "text" ? labelsOf(tokens, codec) : undefined };
}

/**
 * The pixel that `--query` names.
 *
 * @throws {UsageError} where the sequence has no such
 */
function pixelOf(args: Args, { tokens, shape }: Looked, { n_ctx }: ModelConfig): number[] | undefined {
  const query = numbersOf(args, "query");
  if (!query || (shape && tokens.length === n_ctx && query.length === 2 && query[0] < shape[0] && query[1] < shape[1])) return query;
  const wanted = shape ? `it must be ROW,COL below ${shape[0]},${shape[1]}` : "the model is not one of images";
  throw new UsageError(`Cannot use --query ${args.text("query")}: ${wanted}`);
}

/** The command. */
export const maps: Command = {
  name: "maps",
  about: "draw what heads of a trained model attend to, as PNG and as SVG with axes and the text's characters",
  operands: { name: "RUN", least: 1, most: 1 },
  flags: [
    ...group("Model", [
      { name: "layers", value: "N,…", allowed: NUMBERS, about: "layers, from 0 (default: 4 of them, spread evenly)" },
      { name: "heads", value: "N,…", allowed: NUMBERS, about: "heads, from 0 (default: 4 of them, spread evenly)" },
    ]),
    ...group("Data", [
      { name: "prompt", value: "TEXT", about: "the sequence to look at, of a model of text" },
      { name: "data", value: "FILE", about: "where the sequence is from otherwise (default: what it was trained on, its held-out part)" },
      { name: "at", value: "N", allowed: whole(0), about: "the N-th context, or image, of that part, from 0 (default: 0)" },
    ]),
    ...READ_FLAGS,
    ...group("Output", [
      {
        name: "query",
        value: "ROW,COL",
        allowed: NUMBERS,
        about: "of a model of images: draw what this pixel's first channel attends to, over the image",
      },
      { name: "out", value: "DIR", about: "the folder for the pictures (default: RUN/maps; of a model at an address, maps)" },
      { name: "json", about: "one JSON object per picture on stdout" },
    ]),
    ...ENGINE_FLAGS,
  ],
  examples: [
    "maps runs/my-run --layers 0,3 --heads 0,1",
    `maps runs/my-run --prompt "The climate is"`,
    "maps runs/cifar --at 7 --query 16,16",
  ],
  async execute(args) {
    if (args.text("prompt") !== undefined && args.given(["data", "at"]).length > 0) {
      throw new UsageError("Cannot use --prompt with --data or --at: the sequence is one");
    }
    const asked = { layers: numbersOf(args, "layers"), heads: numbersOf(args, "heads") };
    const named = await readModel(args.operands[0]), { model, folder } = named, { config } = model;
    const { layers = spread(config.n_layer), heads = spread(config.n_head) } = asked;
    for (const [flag, given, count] of [["--layers", layers, config.n_layer], ["--heads", heads, config.n_head]] as const) {
      const wrong = given.find((one) => one >= count);
      if (wrong !== undefined) throw new UsageError(`Cannot map attention: ${mustBe(flag, whole(0, count - 1), wrong)}`);
    }
    const looked = await sequenceOf(args, named), { tokens, shape } = looked, query = pixelOf(args, looked, config);
    const queries = query && [(query[0] * shape![1] + query[1]) * shape![2]], suffix = query ? `-query-${query.join("-")}` : "";
    const out = args.text("out") ?? join(folder ?? "", "maps");
    makeFolder(out);
    const report = new Report(args.on("json") ?? false, "the pictures are drawn all the same"), pictures: Image[] = [];
    const heading = `${named.name}: ${looked.from}`, { labels } = looked, held: AttentionMap[] = [];
    let pairs = 0;
    const picked = await engineOf(args), { engine, why } = picked;
    try {
      report.say(report.screen.faint(`${engine.name}: ${engine.description} (${why})`));
      for await (const map of attentionMaps(engine, place(picked, model), tokens, { layers, heads, queries })) {
        const { layer, head } = map, picture = query ? attentionOverImage(map.rows[0], tokens, shape!) : attentionImage(map);
        const [file, svg] = ["png", "svg"].map((ending) => join(out, `layer-${layer}-head-${head}${suffix}.${ending}`));
        writeFile(file, encodePng(picture));
        const over = query && attentionOverImageSvg(map.rows[0], tokens, shape!, `${heading}, layer ${layer}, head ${head}`);
        writeFile(svg, over ?? attentionSvg([map], heading, { labels }));
        pictures.push(picture);
        if ((pairs += map.rows.reduce((sum, { keys }) => sum + keys.length, 0)) <= PAIRS_LIMIT) held.push(map);
        else held.length = 0;
        report.event("map", { layer, head, file, svg, n: map.n, queries: map.rows.length, width: picture.width, height: picture.height });
        report.say(`layer ${layer}, head ${head}: ${file} and .svg`);
      }
    } finally {
      engine.dispose();
    }
    const across = new Set(heads).size;
    if (pictures.length > 1 && pictures.length * pictures[0].rgb.length <= SHEET_LIMIT) {
      const file = join(out, `sheet${suffix}.png`), svg = !query && held.length > 0 ? join(out, "sheet.svg") : undefined;
      writeFile(file, encodePng(tileImages(pictures, across, 8)));
      if (svg) writeFile(svg, attentionSvg(held, heading, { labels, columns: across }));
      report.event("sheet", { file, svg, columns: across });
      report.say(`all of them, one row per layer, one column per head: ${file}${svg ? " and .svg" : ""}`);
    }
    return report.code(`The pictures are in ${out}`);
  },
};
