/**
 * Byte-pair encoding in WASM beside plain JavaScript that does the same, without and with a table of the pieces seen before, and Hugging
 * Face's library. Tokens are compared before anything is timed.
 *
 *     deno run -A bench/tokenizer.ts [--json]
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { Tokenizer as HuggingFace } from "@huggingface/tokenizers";
import { Random } from "../src/base/random.ts";
import { Tokenizer } from "../src/data/tokenizer.ts";
import { QUICK, report, timeInTurn } from "./lib.ts";

/** Words of few letters more often than of many, the first ones far the most often (Zipf): text as far as pieces go. */
function text(bytes: number): string {
  const random = new Random(3, 0), letters = "etaoinshrdlucmfwypvbgkqjxz";
  const words = Array.from({ length: 20_000 }, () => {
    const length = 1 + random.below(3) + random.below(8);
    return Array.from({ length }, () => letters[Math.floor(26 * random.uniform() ** 2)]).join("");
  });
  let out = "";
  while (out.length < bytes) {
    out += words[Math.floor(words.length ** random.uniform()) - 1];
    out += random.below(12) === 0 ? ", " : random.below(15) === 0 ? `. ${random.below(2000)} ` : random.below(80) === 0 ? ".\n\n" : " ";
  }
  return out;
}

const PIECES = / ?[A-Za-z\x80-\xff]+| ?[0-9]+| ?[^\t-\r A-Za-z0-9\x80-\xff]+|[\t-\r ]+/g;

/** Encoders in JavaScript: the lowest merge of a piece first, until none is left. */
function plain({ merges }: Tokenizer, remember: boolean): (text: string) => number[] {
  const made = new Map<number, number>(), seen = new Map<string, number[]>();
  for (let m = 0; m < merges.length / 2; m++) made.set(merges[2 * m] * 65536 + merges[2 * m + 1], 256 + m);
  const encode = (piece: string) => {
    const tokens = Array.from(piece, (character) => character.charCodeAt(0));
    for (;;) {
      let first = Infinity;
      for (let i = 1; i < tokens.length; i++) first = Math.min(first, made.get(tokens[i - 1] * 65536 + tokens[i]) ?? Infinity);
      if (first === Infinity) return tokens;
      for (let i = 1; i < tokens.length; i++) {
        if (made.get(tokens[i - 1] * 65536 + tokens[i]) === first) tokens.splice(i - 1, 2, first);
      }
    }
  };
  return (text) => {
    const out: number[] = [];
    for (const [piece] of text.matchAll(PIECES)) {
      let tokens = seen.get(piece);
      if (!tokens) {
        tokens = encode(piece);
        if (remember) seen.set(piece, tokens);
      }
      for (const token of tokens) out.push(token);
    }
    return out;
  };
}

const given = text(QUICK ? 20_000 : 1_000_000), bytes = new TextEncoder().encode(given);
const learnt = await Tokenizer.learn(bytes, QUICK ? 300 : 1024), theirs = new HuggingFace(JSON.parse(learnt.toJson()), {});
const works = [
  ["WASM", () => learnt.encode(bytes)],
  ["plain JS", () => plain(learnt, false)(given)],
  ["plain JS with a table of pieces", () => plain(learnt, true)(given)],
  ["@huggingface/tokenizers", () => theirs.encode(given, { add_special_tokens: false }).ids],
] as const;
const tokens = Array.from(await learnt.encode(bytes));
for (const [, run] of works) assertEquals(Array.from(await run()), tokens);
const timed = await timeInTurn(works.map(([, run]) => run));
report(
  `encoding ${bytes.length} bytes by ${learnt.size} tokens`,
  works.map(([what], i) => ({
    what,
    "ns per byte": timed[i].best * 1e6 / bytes.length,
    "× WASM": timed[i].best / timed[0].best,
    "× by median wall time": timed[i].wall / timed[0].wall,
  })),
);
