/** Names and shapes on disk. */

import { assertEquals } from "@std/assert";
import { parameterCount, parameterShapes } from "../src/checkpoint.ts";
import { preset } from "../src/config.ts";

Deno.test("checkpoint: parameter counts of the paper's presets", () => {
  const counts = { cifar10: 59_196_928, enwik8: 94_949_888, imagenet64: 151_645_184 };
  for (const [name, count] of Object.entries(counts)) assertEquals(parameterCount(preset(name).model), count, name);
});

Deno.test("checkpoint: parameters of rank 2 come first, in a stable order", () => {
  const ranks = [...parameterShapes(preset("text").model).values()].map((shape) => shape.length);
  assertEquals(ranks, ranks.toSorted((a, b) => b - a));
  assertEquals([...parameterShapes(preset("text").model).keys()].slice(0, 4), [
    "embed.token.weight",
    "embed.position.0.weight",
    "embed.position.1.weight",
    "layers.0.attn.q.weight",
  ]);
});
