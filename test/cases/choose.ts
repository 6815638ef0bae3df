/**
 * Cases of choosing the next token: positions before, at and after the first that is chosen; ties; cuts that keep one token and all.
 *
 * @module
 */

import { Case } from "../case.ts";

const cases: Case[] = [];

for (
  const [batch, vocabulary, temperature, topK, topP, minP = 0, penalty = 1] of [
    [1, 1, 1, 0, 1],
    [1, 2, 1, 0, 1],
    [3, 256, 1, 0, 1],
    [3, 257, 0, 0, 1],
    [5, 256, 0.7, 40, 1],
    [5, 256, 1.3, 0, 0.9],
    [5, 255, 1, 100, 0.5],
    [2, 1000, 1, 1, 1],
    [2, 1000, 1, 0, 1e-6],
    [2, 1000, 1e-20, 0, 1],
    [2, 4096, 2, 5000, 0.99],
    // A least probability: alone, with the other cuts, of the likeliest itself; a penalty: greater and less than 1, alone and with cuts.
    [3, 256, 1, 0, 1, 0.05],
    [5, 255, 0.8, 100, 0.9, 0.02, 1.3],
    [2, 1000, 1, 0, 1, 1],
    [1, 1, 1, 0, 1, 0.5, 2],
    [3, 2, 0.9, 0, 1, 0, 4],
    [3, 257, 0, 0, 1, 0, 1.3],
    [4, 64, 0, 0, 1, 0.9, 100],
    [2, 257, 1.3, 40, 0.95, 0.1, 0.5],
    [2, 4096, 1, 0, 1, 0, 5],
  ]
) {
  for (const at of [6, 7, 11]) {
    const name = `choose ${batch}×${vocabulary} at ${at}, temperature ${temperature}, top ${topK}, ${topP}${
      minP > 0 || penalty !== 1 ? `, least ${minP}, penalty ${penalty}` : ""
    }`;
    cases.push(
      new Case(name, { op: "choose", batch, vocabulary, position: at, temperature, topK, topP, minP, penalty }, (c) => {
        const logits = c.f32("logits", [batch, vocabulary], 2), values = c.inputs.get(logits)!;
        for (let at = 0; at < vocabulary; at += 3) values[at] = Math.round(values[at]);
        const choice = c.values("choice", temperature, topK, topP, minP, penalty);
        const tape = c.u32("tape", [12, batch], () => penalty === 1 ? 7 : c.below(vocabulary)), position = c.u32("position", [1], () => at);
        for (const t of [tape, position]) c.update(t);
        c.ops.push({ op: "choose", logits, tape, position, given: c.u32("given", [1], () => 7), choice, seeds: c.seeds() });
      }),
    );
  }
}

export default cases;
