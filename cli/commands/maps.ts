/**
 * `maps`: what chosen heads of chosen layers attend to, as pictures.
 *
 * @module
 */

import { join } from "node:path";
import { ConfigError, encodeText } from "../../mod.ts";
import { checkDataset, encodePng, type Image, type ImageShape } from "../../data.ts";
import { Parameters } from "../../ops.ts";
import { attentionImage, attentionMaps, attentionOverImage, tileImages } from "../../pictures.ts";
import { ENGINE_FLAGS, engineOf, writeOut } from "../common.ts";
import { dataFor, READ_FLAGS, readTrained } from "./data.ts";
import { numbersOf } from "./evaluate.ts";
import { runPath } from "../files.ts";
import { type Command, UsageError } from "../flags.ts";
import { Report } from "../report.ts";
import { whole } from "../terminal.ts";

/** Layers and heads shown where none are named. */
const SHOWN = 4;

/** Bytes of pixels that one sheet of all maps may have. */
const SHEET_LIMIT = 2 ** 27;

/** Some of `count`, spread evenly, first and last among them. */
function spread(count: number): number[] {
  const shown = Math.min(SHOWN, count);
  return Array.from({ length: shown }, (_, at) => shown === 1 ? 0 : Math.round(at * (count - 1) / (shown - 1)));
}

/** The command. */
export const maps: Command = {
  name: "maps",
  about: "draw what heads of a trained model attend to",
  operands: { name: "RUN", least: 1, most: 1 },
  flags: [
    { name: "layers", value: "N,…", about: "layers, from 0 (default: 4 of them, spread evenly)" },
    { name: "heads", value: "N,…", about: "heads, from 0 (default: 4 of them, spread evenly)" },
    { name: "prompt", value: "TEXT", about: "the sequence to look at, of a model of text" },
    { name: "data", value: "FILE", about: "where the sequence is from otherwise (default: what it was trained on, its held-out part)" },
    { name: "at", value: "N", kind: "whole", low: 0, about: "the N-th context, or image, of that part, from 0 (default: 0)" },
    ...READ_FLAGS,
    {
      name: "query",
      value: "ROW,COL",
      about: "of a model of images: draw what this pixel's first channel attends to, over the image",
    },
    { name: "out", value: "DIR", about: "the folder for the pictures (default: RUN/maps)" },
    ...ENGINE_FLAGS,
    { name: "json", about: "one JSON object a picture on stdout" },
  ],
  examples: [
    "maps runs/my-run --layers 0,3 --heads 0,1",
    `maps runs/my-run --prompt "The climate is"`,
    "maps runs/cifar --at 7 --query 16,16",
  ],
  async run(args) {
    const run = runPath(args.operands[0]),
      report = new Report(args.on("json") ?? false, "the pictures are drawn all the same"),
      out = args.text("out") ?? join(run, "maps");
    const list = (flag: string) => args.text(flag) === undefined ? undefined : numbersOf(flag, args.text(flag)!);
    const { model: { config, weights }, state } = readTrained(run), { n_ctx, position } = config, prompt = args.text("prompt");
    const layers = list("layers") ?? spread(config.n_layer), heads = list("heads") ?? spread(config.n_head), query = list("query");
    if (prompt !== undefined && args.given(["data", "at"]).length > 0) {
      throw new UsageError("Cannot use --prompt with --data or --at: the sequence is one");
    }
    let tokens: Uint8Array,
      shape = position.kind === "data" && position.shape.length === 3 ? position.shape as unknown as ImageShape : undefined;
    if (prompt !== undefined) {
      tokens = encodeText(prompt);
      if (tokens.length === 0 || tokens.length > n_ctx) {
        throw new ConfigError(`Cannot map attention: the prompt must have 1 to ${whole(n_ctx)} bytes, it has ${whole(tokens.length)}`);
      }
    } else {
      const { dataset, unseen } = await dataFor(args, run, state), at = args.number("at") ?? 0, count = Math.ceil(unseen.length / n_ctx);
      if (dataset.shape) checkDataset(dataset, config);
      shape = dataset.shape ?? shape;
      if (at >= count) {
        throw new ConfigError(`Cannot map attention: --at must be from 0 to ${whole(count - 1)}, current value is ${whole(at)}`);
      }
      tokens = unseen.subarray(at * n_ctx, (at + 1) * n_ctx);
    }
    if (query && !(shape && tokens.length === n_ctx && query.length === 2 && query[0] < shape[0] && query[1] < shape[1])) {
      const wanted = shape ? `it must be ROW,COL below ${shape[0]},${shape[1]}` : "the model is not one of images";
      throw new ConfigError(`Cannot use --query ${args.text("query")}: ${wanted}`);
    }
    const queries = query && [(query[0] * shape![1] + query[1]) * shape![2]];
    try {
      Deno.mkdirSync(out, { recursive: true });
    } catch (error) {
      throw new ConfigError(`Cannot write into ${out}: ${(error as Error).message}`, { cause: error });
    }
    const params = new Parameters(config), { engine, why } = await engineOf(args), pictures: Image[] = [];
    try {
      report.say(report.screen.faint(`${engine.name}: ${engine.description} (${why})`));
      engine.allocate(params.all);
      for (const t of params.all) engine.write(t, weights.get(t.name)!);
      for await (const map of attentionMaps(engine, params, tokens, { layers, heads, queries })) {
        const { layer, head } = map, picture = query ? attentionOverImage(map.rows[0], tokens, shape!) : attentionImage(map);
        const file = join(out, `layer-${layer}-head-${head}${query ? `-query-${query.join("-")}` : ""}.png`);
        writeOut(file, encodePng(picture));
        pictures.push(picture);
        report.event("map", { layer, head, file, n: map.n, queries: map.rows.length, width: picture.width, height: picture.height });
        report.say(`layer ${layer}, head ${head}: ${file}`);
      }
    } finally {
      engine.dispose();
    }
    const across = new Set(heads).size;
    if (pictures.length > 1 && pictures.length * pictures[0].rgb.length <= SHEET_LIMIT) {
      const file = join(out, query ? `sheet-query-${query.join("-")}.png` : "sheet.png");
      writeOut(file, encodePng(tileImages(pictures, across, 8)));
      report.event("sheet", { file, columns: across });
      report.say(`all of them, a row a layer, a column a head: ${file}`);
    }
    return report.code(`The pictures are in ${out}`);
  },
};
