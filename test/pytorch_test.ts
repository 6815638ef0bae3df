/**
 * The example for PyTorch, both ways.
 *
 * Plan. Logits of the golden models by PyTorch in float32; each pattern's sets by its definition here; what PyTorch saves holds the same
 * weights.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { attends } from "../src/pattern/attends.ts";
import { type AttentionConfig, type HeadsAttention, resolveSets } from "../src/pattern/sets.ts";
import { readModel } from "../src/files/weights.ts";
import { modelChunks } from "../src/files/write_weights.ts";
import { parseSafetensors } from "../src/files/safetensors.ts";
import { likeClone, runBlocks } from "../tools/tutorial.ts";
import { needing } from "./needs.ts";
import { FACTORS } from "./patterns.ts";
import { copyFolder, recipe } from "./recipes.ts";

const GOLDEN = new URL("golden/", import.meta.url), EXAMPLE = fileURLToPath(new URL("../examples/pytorch/", import.meta.url));
const MODELS = ["model-audio-strided-interleaved", "model-image-strided-multihead", "model-text-fixed-merged"];

const PYTHON = Deno.env.get("LONGSTRIDE_PYTHON") ?? "python3";

/** Where that is: a wrapper on the path may be one that looks at its own name. */
async function pythonPath(): Promise<string> {
  const { stdout } = await new Deno.Command(PYTHON, { args: ["-c", "import sys; print(sys.executable)"] }).output();
  return new TextDecoder().decode(stdout).trim();
}

/** What a program in Python prints, as JSON; `given` comes in as JSON. */
async function python(code: string, given: unknown): Promise<unknown> {
  const child = new Deno.Command(PYTHON, {
    args: [
      "-c",
      `import json, sys\nsys.path.insert(0, ${JSON.stringify(EXAMPLE)})\nfrom longstride import *\ngiven = json.load(sys.stdin)\n${code}`,
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(given)));
  await writer.close();
  const { success, stdout, stderr } = await child.output(), decoder = new TextDecoder();
  assert(success, decoder.decode(stderr));
  return JSON.parse(decoder.decode(stdout));
}

needing(["torch"], "pytorch: logits of the golden models, and files that come back", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const errors = await python(
      `out = []
for at, name in enumerate(given["models"]):
    model, want = load(name), read_safetensors(name + "/expected.safetensors")
    with torch.no_grad():
        got = model(want["tokens"][0].to(torch.int64))
    out.append(((got - want["logits"].view_as(got)).norm() / want["logits"].norm()).item())
    save(model, given["folder"] + f"/{at}")
print(json.dumps(out))`,
      { models: MODELS.map((name) => fileURLToPath(new URL(name, GOLDEN))), folder },
    ) as number[];
    for (const [at, error] of errors.entries()) assert(error < 5e-6, `${MODELS[at]}: ${error}`);
    for (const [at, name] of MODELS.entries()) {
      const weights = async (path: string | URL) => parseSafetensors(await Deno.readFile(path), "weights").tensors;
      assertEquals(
        await weights(join(folder, `${at}`, "model.safetensors")),
        await weights(new URL(`${name}/model.safetensors`, GOLDEN)),
      );
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

needing(["torch"], "pytorch: the recipe trains a run's model on, and what it saves writes here", async () => {
  const folder = await likeClone();
  try {
    await copyFolder(fileURLToPath(new URL("model-text-fixed-merged", GOLDEN)), join(folder, "runs/text"));
    const [printed] = await runBlocks(await recipe("pytorch"), folder, { programs: { python3: await pythonPath() } });
    assertEquals(printed.match(/^step \d: \d\.\d{3} nats$/gm)?.length, 3);
    assert(printed.split("\n")[3].startsWith("It was"), printed);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

needing(["torch"], "pytorch: int8 weights as the numbers that they stand for", async () => {
  const folder = await Deno.makeTempDir(), golden = new URL(`${MODELS[2]}/`, GOLDEN);
  try {
    const config = await Deno.readTextFile(new URL("config.json", golden));
    const model = readModel(config, await Deno.readFile(new URL("model.safetensors", golden)));
    const file = join(folder, "model.safetensors");
    await Deno.writeTextFile(join(folder, "config.json"), config);
    await Deno.writeFile(file, ReadableStream.from(modelChunks(model, "I8")));
    await python("save(load(given), given + '/wide')\nprint(0)", folder);
    const { weights } = readModel(config, await Deno.readFile(file));
    const { weights: wide } = readModel(config, await Deno.readFile(join(folder, "wide/model.safetensors")));
    for (const [name, numbers] of wide) {
      const own = weights.get(name)!, scales = weights.get(`${name}_scale`), width = numbers.length / (scales?.length ?? 1);
      assertEquals(numbers, scales ? Float32Array.from(own, (x, at) => x * scales[Math.floor(at / width)]) : own, name);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

needing(["torch"], "pytorch: sets of every pattern", async () => {
  const n = 50, heads = 6, integrations = ["merged", "interleaved", "multihead"] as const;
  const configs: (AttentionConfig | HeadsAttention)[] = [
    ...FACTORS.map(({ config }) => config),
    { pattern: "fixed", stride: 8, memory: 3, integration: "multihead" },
    { pattern: "fixed", stride: 8, memory: 4, c: 2 },
    { heads: [{ pattern: "summary", stride: 8, c: 2 }, { pattern: "fixed", stride: 8, c: 2 }, { pattern: "local", stride: 3 }] },
    { pattern: "dense" },
    { pattern: "local", stride: 5 },
    ...integrations.flatMap((integration): AttentionConfig[] => [
      { pattern: "strided", stride: 7, integration },
      { pattern: "fixed", stride: 8, c: 3, integration },
    ]),
    { pattern: "longformer", stride: 4, globals: 3 },
    { pattern: "bigbird", block: 4, random: 2, seed: 9 },
    { pattern: "bigbird", block: 4, window: 0, globals: 2 },
    { pattern: "blocks", block: 16, blocks: [[0], [0, 1], [2], [1, 3]] },
  ];
  const given = configs.flatMap((attention) =>
    [true, false].flatMap((causal) =>
      [0, 1].map((layer) => ({ attention: "heads" in attention ? attention : { ...attention, causal }, layer }))
    )
  );
  const got = await python(
    `i, h = torch.arange(${n}), torch.arange(${heads})[:, None, None]
print(json.dumps([
    attends(one, one["layer"], ${n}, ${heads})(h, i[:, None], i[None, :]).expand(${heads}, ${n}, ${n}).int().flatten().tolist() for one in given
]))`,
    given,
  );
  const row = Array.from({ length: n }, (_, i) => i);
  const want = given.map(({ attention, layer }) =>
    resolveSets(attention, { n, layer, heads }).flatMap((set) => row.flatMap((i) => row.map((j) => Number(attends(set, i, j)))))
  );
  assertEquals(got, want);
});
