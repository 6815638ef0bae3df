/**
 * `sample`: text from a trained model, as it comes.
 *
 * @module
 */

import { type BackendName, encodeText, openModel, TextStream, visible } from "../mod.ts";
import { ENGINE_FLAGS } from "./common.ts";
import { loadModel } from "./files.ts";
import type { Command } from "./flags.ts";
import { bytes, percent, Screen, whole, write } from "./terminal.ts";

/** The command. */
export const sample: Command = {
  name: "sample",
  about: "write text with a trained model",
  operands: { name: "RUN", least: 1, most: 1 },
  flags: [
    { name: "prompt", value: "TEXT", about: "text to go on from (default: none)" },
    { name: "length", value: "N", kind: "whole", low: 0, about: "bytes to write (default: 500)" },
    { name: "batch", value: "N", kind: "whole", low: 1, high: 65536, about: "texts to write at once, each of that length (default: 1)" },
    {
      name: "temperature",
      value: "T",
      kind: "number",
      low: 0,
      about: "1 draws as the model predicts, less is more careful, 0 takes the likeliest (default: 0.9)",
    },
    { name: "top-k", value: "K", kind: "whole", low: 0, about: "only the K likeliest bytes (default: 0, all)" },
    {
      name: "top-p",
      value: "P",
      kind: "number",
      low: 0,
      high: 1,
      about: "only the likeliest bytes that together reach probability P (default: 1, all)",
    },
    { name: "seed", value: "N", kind: "whole", low: 0, high: 2 ** 32 - 1, about: "same seed, same text on one engine (default: 0)" },
    ...ENGINE_FLAGS,
    { name: "json", about: "one JSON object a byte on stdout: its value, and the text that it completes; with --batch which text" },
  ],
  examples: [
    "sample runs/my-run",
    "sample runs/my-run --batch 8 --length 200",
    `sample runs/my-run --prompt "The climate is " --length 1000 --temperature 0.7 --seed 4`,
  ],
  async run(args) {
    const [path] = args.operands, json = args.on("json") ?? false, notes = new Screen(Deno.stderr);
    const model = await openModel(loadModel(path), {
      backend: args.text("backend") as BackendName | undefined,
      threads: args.number("threads"),
    });
    try {
      const { kept, dense } = model.cacheBytes, prompt = args.text("prompt") ?? "", { config } = model;
      notes.print(notes.faint(`${model.engine.name}: ${model.engine.description} (${model.why})`));
      notes.print(
        notes.faint(
          `keys and values kept: ${bytes(kept)}, ${percent(kept / dense)} of the ${bytes(dense)} of all ${whole(config.n_ctx)} positions`,
        ),
      );
      const batch = args.number("batch") ?? 1, streams = Array.from({ length: batch }, () => new TextStream());
      // One text is shown as it comes, several one after another at the end.
      const texts = streams.map(() => ""), live = batch === 1 && !json, begun = performance.now();
      const put = (which: number, text: string, token?: number) => {
        if (json) {
          if (token !== undefined || text) write(Deno.stdout, JSON.stringify({ ...batch > 1 && { sample: which }, token, text }) + "\n");
        } else if (live) write(Deno.stdout, text);
        else texts[which] += text;
      };
      if (live && prompt) write(Deno.stdout, notes.bold(visible(prompt)));
      let count = 0, open = live;
      const samples = model.samples({
        batch,
        prompt: encodeText(prompt),
        length: args.number("length") ?? 500,
        temperature: args.number("temperature") ?? 0.9,
        topK: args.number("top-k"),
        topP: args.number("top-p"),
        seed: args.number("seed"),
      });
      try {
        for await (const tokens of samples) {
          tokens.forEach((token, which) => put(which, streams[which].push(Uint8Array.of(token)), token));
          count += batch;
          if (count % (64 * batch) === 0) await new Promise((resume) => setTimeout(resume, 0));
        }
        streams.forEach((stream, which) => put(which, stream.end()));
        if (open) write(Deno.stdout, "\n");
        open = false;
      } finally {
        if (open && Deno.stdout.isTerminal()) write(Deno.stdout, "\n");
      }
      if (!live && !json) {
        texts.forEach((text, which) => {
          notes.print(notes.faint(`text ${which + 1} of ${batch}`));
          write(Deno.stdout, notes.bold(visible(prompt)) + text + "\n");
        });
      }
      const seconds = (performance.now() - begun) / 1000;
      notes.print(notes.faint(`${whole(count)} bytes in ${seconds.toFixed(1)} s: ${whole(count / seconds)} a second`));
    } finally {
      model.dispose();
    }
    return 0;
  },
};
