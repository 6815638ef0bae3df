/**
 * What `attention` of a model may be: patterns per layer and head, in rounds, with memory tokens.
 *
 * Plan. Each form is written, read and resolved to the sets that it means; what it cannot mean is a typed error that names it; two that
 * differ are told apart when a run goes on; memory tokens are rows and entries of a table.
 */

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { ConfigError } from "../src/base/errors.ts";
import { checkConfig, formatConfig, type ModelConfig, parseConfig, setsOf } from "../src/files/model_config.ts";
import { parameterShapes } from "../src/files/parameter_shapes.ts";
import { phasesOf } from "../src/files/phases.ts";
import { presetFor, PRESETS } from "../src/files/presets.ts";
import { checkTrain } from "../src/files/train_config.ts";
import { initialWeights } from "../src/model/initial_weights.ts";
import { describeAttention } from "../src/pattern/describe.ts";
import { CachePlan } from "../src/pattern/cache.ts";
import { memoryOf, placesOf, rowOfToken, rowsOf } from "../src/pattern/memory.ts";
import { factorsOf, layersIn, mapPatterns, patternsIn } from "../src/pattern/patterns_in.ts";
import type { AttentionConfig, LayerAttention, ModelAttention } from "../src/pattern/sets.ts";
import { checkResume } from "../src/run/resume.ts";
import { SMALL } from "./model.ts";

const LAYERS = 5, HEADS = 4;
const model = (attention: ModelAttention): ModelConfig => ({ ...SMALL, n_layer: LAYERS, n_head: HEADS, attention });
const local: AttentionConfig = { pattern: "local", stride: 3 }, column: AttentionConfig = { pattern: "column", stride: 4 };
const fixed: AttentionConfig = { pattern: "fixed", stride: 8, c: 2 }, summary: AttentionConfig = { pattern: "summary", stride: 8, c: 2 };

/** Kinds of the sets of each layer's heads. */
const kinds = (attention: ModelAttention) => {
  const config = parseConfig(formatConfig(checkConfig(model(attention))), "config.json");
  return Array.from({ length: LAYERS }, (_, layer) => setsOf(config, layer).map(({ kind }) => kind).join(" "));
};

Deno.test("attention: each form is read as it was written, and means what it says", () => {
  const w = "window window window window", c = "column column column column", mixed = "window column window column";
  assertEquals(kinds(local), [w, w, w, w, w]);
  assertEquals(kinds([local, column, local, local, column]), [w, c, w, w, c]);
  assertEquals(kinds({ layers: [local, local, column] }), [w, w, c, w, w]);
  assertEquals(kinds({ heads: [local, column] }), [mixed, mixed, mixed, mixed, mixed]);
  assertEquals(kinds({ layers: [{ heads: [local, column] }, local] }), [mixed, w, mixed, w, mixed]);
  assertEquals(kinds([local, { heads: [local, column] }, local, column, { heads: [fixed] }]), [w, mixed, w, c, "fixed fixed fixed fixed"]);
  // Multihead goes by the place among the heads that have the pattern, interleaved by the layer among all.
  const multihead: AttentionConfig = { ...fixed, integration: "multihead" },
    interleaved: AttentionConfig = { ...fixed, integration: "interleaved" };
  assertEquals(kinds({ heads: [local, multihead] })[0], "window segment window summary");
  assertEquals(kinds({ layers: [local, { heads: [interleaved, local] }] })[3], "summary window summary window");
  const three: AttentionConfig = { pattern: "strided", stride: [2, 6], integration: "interleaved" };
  assertEquals(kinds(three), [w, c, c, w, c]);
  assertEquals(setsOf(model(three), 1)[0], { kind: "column", l: 2, within: 6, causal: true });
  assertEquals(setsOf(model({ ...three, stride: [6] }), 1)[0], { kind: "column", l: 6, causal: true });
});

Deno.test("attention: heads that read columns of equal windows take distinct sub-blocks, whichever pattern they are of", () => {
  const of = (attention: ModelAttention) => setsOf(model(attention), 0).map((set) => "from" in set ? set.from : undefined);
  assertEquals(of({ heads: [fixed, summary] }), [6, 4, 2, 0]);
  assertEquals(of({ heads: [fixed, local] }), [6, undefined, 4, undefined]);
  assertEquals(of({ heads: [fixed, { ...summary, c: 4 }] }), [6, 4, 4, 0]);
  assertEquals(of({ ...fixed, integration: "multihead" }), [undefined, 6, undefined, 4]);
});

Deno.test("attention: what none can mean is named", () => {
  const bad = (attention: unknown, includes: string) => {
    assertThrows(() => checkConfig(model(attention as ModelAttention)), ConfigError, includes);
  };
  bad([local, local], "attention lists 2 layers, n_layer is 5");
  bad([local, local, local, local, 3], "attention[4] must be an object");
  bad({ layers: [] }, "layers of attention must be a whole number from 1");
  bad({ layers: 3 }, "layers must be a list");
  bad({ layers: [local], heads: [local] }, 'unknown field "heads"');
  bad({ heads: [local, local, local] }, "heads lists 3 patterns, their number must divide that of the heads, 4");
  bad({ heads: [] }, "heads lists 0 patterns");
  bad({ heads: [local, { pattern: "sparse" }] }, "pattern must be one of");
  bad({ heads: [local, 3] }, "must be an object");
  bad({ heads: [local], stride: 3 }, 'unknown field "stride"');
  bad({ heads: [{ heads: [local] }] }, "pattern must be one of");
  bad({ pattern: "local", stride: 4, casual: false }, 'a pattern has no field "casual", known are pattern, causal, stride');
  assertThrows(() => patternsIn({ layers: [{ heads: [{ ...local, l: 3 } as AttentionConfig] }] }), ConfigError, 'no field "l"');
  assertThrows(() => layersIn({ layers: [local], stride: 4 } as unknown as ModelAttention), ConfigError, 'unknown field "stride"');
  bad({ pattern: "strided", stride: [4, 4] }, "strides must ascend, found 4, 4");
  bad({ pattern: "strided", stride: [] }, "number of strides");
  bad({ pattern: "strided", stride: [0, 4] }, "stride[0] must be a whole number from 1");
  bad({ pattern: "column", stride: [4, 8] }, "stride must be a whole number from 1");
  bad({ pattern: "column", stride: 4, within: 3 }, "within must be a whole number from 4");
  bad({ pattern: "summary", stride: 4, c: 1, within: 4 }, "within must be a whole number from 5");
  bad({ pattern: "fixed", stride: [4, 9], c: 5 }, "c must be a whole number from 1 to 4");
  bad({ pattern: "fixed", stride: [4, 9], memory: 2 }, "memory goes with one stride");
  bad({ pattern: "fixed", stride: 4, memory: 2, c: 3 }, "c must be a whole number from 1 to 2");
  bad({ pattern: "fixed", stride: 4, memory: 1.5 }, "memory must be a whole number");
  bad({ pattern: "fixed", stride: 4, memory: -1 }, "memory must be a whole number");
  bad({ pattern: "local", stride: 4, memory: 2 }, "only fixed has memory");
  bad({ heads: [{ ...fixed, memory: 2 }, { ...fixed, memory: 3 }] }, "must have the stride and the memory of the first");
  bad({ layers: [{ ...fixed, memory: 2 }, { ...fixed, stride: 4, memory: 2 }] }, "must have the stride and the memory of the first");
});

Deno.test("attention: a run tells whether it goes on with another, also where words are few", () => {
  const train = checkTrain({ steps: 9 }), before = (attention: ModelAttention) => ({ config: model(attention), train, step: 3 });
  const changes = (from: ModelAttention, to: ModelAttention) => checkResume(before(from), { config: model(to), train }, "a run");
  assertEquals(changes({ layers: [local, column] }, { layers: [column, local] }).length, 1);
  assertEquals(changes({ pattern: "local", stride: 3 }, { stride: 3, pattern: "local" }), []);
  assertEquals(changes([local, column, local, column, local], [local, column, local, column, { ...column, within: 8 }]).length, 1);
  assertEquals(changes({ pattern: "bigbird", block: 8, seed: 1 }, { pattern: "bigbird", block: 8, seed: 2 }).length, 1);
  assertEquals(
    describeAttention({ layers: [local, { heads: [fixed, column] }] }),
    "rounds of local l 3, then heads of fixed l 8 c 2 | column l 4",
  );
  assertEquals(describeAttention({ pattern: "strided", stride: [2, 6], integration: "multihead" }), "strided multihead l 2, 6");
  assertEquals(describeAttention({ pattern: "fixed", stride: 8, memory: 2 }), "fixed l 8 memory 2");
});

Deno.test("attention: patterns are listed and changed wherever they are", () => {
  const attention: ModelAttention = { layers: [local, { heads: [fixed, column] }] };
  assertEquals(patternsIn(attention), [local, fixed, column]);
  assertEquals(mapPatterns(attention, (one) => ({ ...one, stride: 5 })), {
    layers: [{ ...local, stride: 5 }, { heads: [{ ...fixed, stride: 5 }, { ...column, stride: 5 }] }],
  } as ModelAttention);
  const p = (attention: LayerAttention) => factorsOf(attention);
  assertEquals([p(local), p(column), p(fixed), p({ ...fixed, stride: [4, 8, 16] }), p({ heads: [local, summary] })], [1, 2, 2, 4, 2]);
});

Deno.test("memory: rows, their places, and the entries they have of the token table", () => {
  const attention: ModelAttention = { pattern: "fixed", stride: 8, memory: 2 }, memory = memoryOf(attention)!, config = model(attention);
  for (const n of [1, 7, 8, 9, 16, 17, 32]) {
    const places = [...placesOf(n, memory)], tokens = places.flatMap(([token, k]) => k === undefined ? [token] : []);
    assertEquals(tokens, Array.from({ length: n }, (_, i) => i));
    assertEquals(places.length, rowsOf(n, memory));
    tokens.forEach((token) => assertEquals(places[rowOfToken(token, memory)], [token]));
    // Two after every eighth token that another follows.
    assertEquals(places.length - n, 2 * Math.floor((n - 1) / 8));
  }
  assertEquals(setsOf(config, 0)[3], { kind: "fixed", l: 10, from: 8, to: 10, causal: true });
  assertEquals(setsOf(model({ pattern: "fixed", stride: 8, memory: 2, c: 1 }), 0).map((set) => "from" in set && set.from), [9, 8, 9, 8]);
  assertEquals(parameterShapes(config).get("embed.token.weight"), [256 + 1 + 2, 16]);
  assertEquals(initialWeights(config, 1).get("embed.token.weight")!.length, 259 * 16);
  const phases = [{ until: 0.5, n_ctx: 16 }];
  assertEquals(phasesOf(config, { phases })[0].config.n_ctx, 16);
  assertThrows(
    () => phasesOf(config, { phases: [{ until: 0.5, attention: fixed }] }),
    ConfigError,
    "phases[0].attention must have the memory",
  );
});

Deno.test("memory: what decoding keeps is a window, its memory and that of the windows before", async () => {
  const config = model({ pattern: "fixed", stride: 8, memory: 2 }), rows = rowsOf(32, memoryOf(config.attention));
  // A window of 8 with its memory, and the memory of three windows before.
  assertEquals((await CachePlan.create(setsOf(config, 0), rows)).slots, 8 + 3 * 2);
});

Deno.test("presets: those with patterns of their own are models, and images of another size keep lists of strides", () => {
  for (const name of ["sound-three", "text-memory"]) checkConfig(PRESETS[name].model);
  assertNotEquals(presetFor("image", [16, 16, 3]).preset.model.attention, PRESETS.image.model.attention);
  assert(factorsOf(PRESETS["sound-three"].model.attention) === 3);
});
