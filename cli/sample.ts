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
    { name: "json", about: "one JSON object a byte on stdout: its value, and the text that it completes" },
  ],
  examples: ["sample runs/my-run", `sample runs/my-run --prompt "The climate is " --length 1000 --temperature 0.7 --seed 4`],
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
      if (!json && prompt) write(Deno.stdout, notes.bold(visible(prompt)));
      const stream = new TextStream(), begun = performance.now();
      let count = 0, open = !json;
      const tokens = model.tokens({
        prompt: encodeText(prompt),
        length: args.number("length") ?? 500,
        temperature: args.number("temperature") ?? 0.9,
        topK: args.number("top-k"),
        topP: args.number("top-p"),
        seed: args.number("seed"),
      });
      try {
        for await (const token of tokens) {
          const text = stream.push(Uint8Array.of(token));
          write(Deno.stdout, json ? JSON.stringify({ token, text }) + "\n" : text);
          count++;
          if (count % 64 === 0) await new Promise((resume) => setTimeout(resume, 0));
        }
        const rest = stream.end();
        if (rest) write(Deno.stdout, json ? JSON.stringify({ text: rest }) + "\n" : rest);
        if (open) write(Deno.stdout, "\n");
        open = false;
      } finally {
        if (open && Deno.stdout.isTerminal()) write(Deno.stdout, "\n");
      }
      const seconds = (performance.now() - begun) / 1000;
      notes.print(notes.faint(`${whole(count)} bytes in ${seconds.toFixed(1)} s: ${whole(count / seconds)} a second`));
    } finally {
      model.dispose();
    }
    return 0;
  },
};
