/**
 * Byte-pair encoding.
 *
 * Plan. Learning and encoding against a plain program that does what the definition says, on text, on repeats, on any bytes; the same tokens
 * as Hugging Face's library makes from `tokenizer.json`; every file comes back; what a damaged file says.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Tokenizer as HuggingFace } from "@huggingface/tokenizers";
import { CheckpointError, ConfigError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";
import { parseTokenizer, Tokenizer } from "../src/data/tokenizer.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const TEXT = "The sea, the sea! 1,234 ships; naïve café — 日本語\r\n\n   it's theirs: ".repeat(9) + "aaaaaaaaaaaaa  \t x½\u00a0y";

/** One character a byte, so that a regular expression can cut pieces. */
const latin = (bytes: Uint8Array) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
const pieces = (bytes: Uint8Array) =>
  [...latin(bytes).matchAll(/ ?[A-Za-z\x80-\xff]+| ?[0-9]+| ?[^\t-\r A-Za-z0-9\x80-\xff]+|[\t-\r ]+/g)].map(([piece]) =>
    Array.from(piece, (character) => character.charCodeAt(0))
  );

function replace(tokens: number[], [a, b]: number[], made: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < tokens.length; i++) {
    if (tokens[i] === a && tokens[i + 1] === b) out.push(made), i++;
    else out.push(tokens[i]);
  }
  return out;
}

/** The definition: count all pairs, merge the most frequent everywhere, begin again. */
function plainLearn(bytes: Uint8Array, size: number): number[][] {
  let words = pieces(bytes);
  const merges: number[][] = [];
  while (256 + merges.length < size) {
    const counts = new Map<number, number>();
    for (const word of words) {
      for (let i = 1; i < word.length; i++) counts.set(word[i - 1] * 65536 + word[i], (counts.get(word[i - 1] * 65536 + word[i]) ?? 0) + 1);
    }
    const [best, count] = [...counts].sort(([a, m], [b, n]) => n - m || a - b)[0] ?? [0, 0];
    if (count < 2) break;
    const pair = [Math.floor(best / 65536), best % 65536];
    words = words.map((word) => replace(word, pair, 256 + merges.length));
    merges.push(pair);
  }
  return merges;
}

const plainEncode = (bytes: Uint8Array, merges: number[][]) =>
  pieces(bytes).flatMap((piece) => merges.reduce((tokens, pair, m) => replace(tokens, pair, 256 + m), piece));

const random = new Random(7, 1);
const anyBytes = (count: number, of: number) => Uint8Array.from({ length: count }, () => random.u32() % of);

for (
  const [name, bytes, size] of [
    ["text", encode(TEXT), 400],
    ["one letter again and again", new Uint8Array(500).fill(97), 300],
    ["any bytes", anyBytes(3000, 256), 300],
    ["few letters in long words", anyBytes(4000, 3).map((x) => 97 + x), 700],
    ["one byte", encode("a"), 300],
    ["nothing", new Uint8Array(0), 300],
  ] as const
) {
  Deno.test(`tokenizer: learns and encodes as the definition says: ${name}`, async () => {
    const merges = plainLearn(bytes, size), learnt = await Tokenizer.learn(bytes, size);
    assertEquals(Array.from(learnt.merges), merges.flat());
    assertEquals(learnt.size, 256 + merges.length);
    for (const given of [bytes, encode(TEXT), anyBytes(2000, 256), anyBytes(1000, 128)]) {
      const tokens = await learnt.encode(given);
      assertEquals(Array.from(tokens), plainEncode(given, merges));
      assertEquals(learnt.decode(tokens), given);
    }
  });
}

Deno.test("tokenizer: pieces longer than what is encoded at a time, and cut by its end, come back", async () => {
  const learnt = await Tokenizer.learn(encode("aab aab abab  cc".repeat(30)), 270);
  // A run of letters over three chunks; then words, of which one lies on every chunk's end.
  for (const given of [new Uint8Array(3 * 2 ** 20 + 5).fill(97), encode("aab ccab  ".repeat(300_000))]) {
    const tokens = await learnt.encode(given), back = learnt.decode(tokens);
    assertEquals(back.length, given.length);
    assertEquals(back.every((byte, i) => byte === given[i]), true);
  }
  const words = encode("aab ccab  ".repeat(300_000)), some = words.subarray(0, 10_000);
  assertEquals((await learnt.encode(words)).subarray(0, 4000), (await learnt.encode(some)).subarray(0, 4000));
});

Deno.test("tokenizer: tokenizer.json gives Hugging Face's library the same tokens, and comes back", async () => {
  const learnt = await Tokenizer.learn(encode(TEXT), 350), text = learnt.toJson(), theirs = new HuggingFace(JSON.parse(text), {});
  for (const given of [TEXT, "  a", " 'tis\u0085x \u007f\u001c 99 ships", "日本 12日 😀😀"]) {
    assertEquals(theirs.encode(given, { add_special_tokens: false }).ids, Array.from(await learnt.encode(encode(given))));
  }
  const again = parseTokenizer(text, "tokenizer.json");
  assertEquals(again.merges, learnt.merges);
  assertEquals(again.toJson(), text);
});

Deno.test("tokenizer: what a file that is not ours says", async () => {
  const json = JSON.parse((await Tokenizer.learn(encode(TEXT), 300)).toJson());
  // deno-lint-ignore no-explicit-any
  const damaged = (change: (json: any) => void) => {
    const copy = structuredClone(json);
    change(copy);
    return JSON.stringify(copy);
  };
  for (
    const [text, says] of [
      ["{", "not valid JSON"],
      ["null", "no byte-pair encoding: its model is nothing"],
      ["version https://git-lfs.github.com/spec/v1\noid", "it is a Git LFS pointer in place of the file"],
      ["<!doctype html>", "it is a web page in place of the file"],
      [damaged((j) => j.model.type = "WordPiece"), `its model is "WordPiece"`],
      [damaged((j) => j.pre_tokenizer = { type: "ByteLevel" }), "cuts text into other pieces"],
      [damaged((j) => j.model.type = { toString: 1, valueOf: 1 }), "its model is {"],
      [damaged((j) => j.pre_tokenizer.pretokenizers[0].pattern.Regex = { toString: 1, valueOf: 1 }), "cuts text into other pieces: {"],
      [damaged((j) => j.model.merges[3] = ["a"]), "merge 3 must be a pair"],
      [damaged((j) => j.model.merges[3] = ["a", null]), "merge 3 is of null, which is no token"],
      [damaged((j) => j.model.vocab["!"] = "y".repeat(1000)), `found "${"y".repeat(60)}"… (1000 characters)`],
      [damaged((j) => j.model.merges[3] = ["zz", "zz"]), `merge 3 is of "zz", which is no token`],
      [damaged((j) => j.model.merges.pop()), "one for each of its merges"],
      [damaged((j) => j.model.vocab["!"] = 7), "byte 33 must be token 33, found 7"],
      [damaged((j) => [j.model.merges[0], j.model.merges[1]] = [j.model.merges[1], j.model.merges[0]]), "merge 0 must make token 256"],
    ] as const
  ) assertThrows(() => parseTokenizer(text, "tokenizer.json"), CheckpointError, says);
});

Deno.test("tokenizer: bad arguments, tokens outside the vocabulary, stopping", async () => {
  const learnt = await Tokenizer.learn(encode(TEXT), 300), stop = new AbortController();
  assertThrows(() => learnt.decode([300]), ConfigError, "Cannot decode token 300 at place 0");
  assertThrows(() => learnt.decode([1.5]), ConfigError, "Cannot decode the tokens: token 0 must be a whole number");
  assertThrows(() => new Tokenizer(Uint16Array.of(1, 256)), ConfigError, "token 256, which does not exist before it");
  await assertRejects(() => Tokenizer.learn(encode(TEXT), 5000), ConfigError, "size must be a whole number from 256 to 4096");
  await assertRejects(
    () => Tokenizer.learn(anyBytes(9000, 200), 4096, { signal: stop.signal, progress: () => stop.abort() }),
    DOMException,
  );
});
