/**
 * Byte-pair encoding: text as tokens of several bytes each (Sennrich et al., arXiv:1508.07909; over bytes, so that any file comes back
 * exactly), kept as the `tokenizer.json` that Hugging Face's tokenizers read and write. The work is done by asm/bpe.ts.
 *
 * @module
 */

import { expect, expectTokens, shown } from "../base/check.ts";
import { CheckpointError, ConfigError } from "../base/errors.ts";
import { jsonOf } from "../base/json.ts";
import { lazily, Scratch } from "../base/scratch.ts";
import type { Codec } from "./text.ts";

/** Most tokens of a vocabulary. */
export const VOCABULARY_LIMIT = 4096;

/** Bytes that a vocabulary is learnt from at most: it hardly changes with more, and they are held in memory. */
const LEARNT_LIMIT = 2 ** 26;

/** Bytes that are encoded at a time. */
const CHUNK = 2 ** 20;

/** Entries of the encoder's table of pieces seen, 16 bytes each. */
const SEEN = 2 ** 15;

/** Merges between two looks at the clock. */
const MERGES_AT_ONCE = 64;

/** How far learning has come. */
export interface Learnt {
  /** Tokens so far. */
  readonly tokens: number;
  /** Tokens wanted. */
  readonly of: number;
}

/** Options of {@linkcode Tokenizer.learn}. */
export interface LearnOptions {
  /** Stops it. */
  readonly signal?: AbortSignal;
  /** Told now and then. */
  readonly progress?: (learnt: Learnt) => void;
}

const encoderScratch = lazily(() => Scratch.create());

/** A vocabulary: the 256 bytes, and what each merge of two tokens makes. */
export class Tokenizer implements Codec {
  /** Bytes of all tokens, one after the other. */
  readonly #bytes: Uint8Array<ArrayBuffer>;
  /** Where each token's begin, and where the last one's end. */
  readonly #starts: Uint32Array<ArrayBuffer>;

  /**
   * A vocabulary of those merges.
   *
   * @param merges pairs of tokens, [merges, 2]: merge m makes token 256 + m of two below it
   * @throws {ConfigError} where a merge is of tokens that are not there yet, or there are too many
   */
  constructor(
    /** Pairs of tokens, [merges, 2], the most frequent first. */
    readonly merges: Uint16Array<ArrayBuffer>,
  ) {
    expect("Cannot make a tokenizer", { merges: [merges, "a typed array"] });
    const count = merges.length / 2;
    if (!Number.isInteger(count) || 256 + count > VOCABULARY_LIMIT) {
      throw new ConfigError(`Cannot make a tokenizer of ${count} merges: at most ${VOCABULARY_LIMIT - 256} pairs are allowed`);
    }
    const starts = new Uint32Array(256 + count + 1), sizes = new Uint32Array(256 + count).fill(1, 0, 256);
    for (let m = 0; m < count; m++) {
      for (const part of [merges[2 * m], merges[2 * m + 1]]) {
        if (part >= 256 + m) {
          throw new ConfigError(`Cannot make a tokenizer: merge ${m} is of token ${part}, which does not exist before it`);
        }
        sizes[256 + m] += sizes[part];
      }
    }
    sizes.forEach((size, token) => starts[token + 1] = starts[token] + size);
    const bytes = new Uint8Array(starts[256 + count]);
    for (let token = 0; token < 256; token++) bytes[token] = token;
    for (let m = 0; m < count; m++) {
      let at = starts[256 + m];
      for (const part of [merges[2 * m], merges[2 * m + 1]]) {
        bytes.copyWithin(at, starts[part], starts[part + 1]);
        at += sizes[part];
      }
    }
    this.#bytes = bytes;
    this.#starts = starts;
  }

  /** Number of tokens. */
  get size(): number {
    return this.#starts.length - 1;
  }

  /** The bytes of a token. */
  bytesOf(token: number): Uint8Array<ArrayBuffer> {
    expect("Cannot look up the token", { token: [token, [0, this.size - 1]] });
    return this.#bytes.slice(this.#starts[token], this.#starts[token + 1]);
  }

  /**
   * Learns a vocabulary: of all pairs of neighbouring tokens the most frequent becomes a token, again and again (the lowest pair of
   * equals), until there are `size` or no pair occurs twice.
   *
   * @param bytes to learn from; of more than 64 MiB, pieces from all over
   * @param size tokens of the vocabulary, 256 … 4,096
   */
  static async learn(bytes: Uint8Array, size: number, options: LearnOptions = {}): Promise<Tokenizer> {
    const cannot = "Cannot learn a vocabulary";
    expect(cannot, { bytes: [bytes, "an array of bytes"], size: [size, [256, VOCABULARY_LIMIT]], options: [options, "an object"] });
    const { signal, progress } = options;
    signal?.throwIfAborted();
    const text = spread(bytes), scratch = await Scratch.create(), { kernels } = scratch;
    const at = scratch.take(text.length);
    scratch.u8(at, text.length).set(text);
    const { table, mask } = countPieces(scratch, at, text.length);
    const length = kernels.bpe_symbols(at, table, mask, 0, 0), symbols = scratch.take(2 * length + 16), weights = scratch.take(4 * length);
    kernels.bpe_symbols(at, table, mask, symbols, weights);
    const counts = scratch.take(4 * size * size), best = scratch.take(8 * size);
    kernels.bpe_pairs(symbols, weights, length, counts, size, best);
    const merges = scratch.take(4 * size), state = scratch.take(8), most = size - 256;
    scratch.u32(state, 2).set([length, 0]);
    let done = 0;
    while (done < most) {
      const wanted = Math.min(MERGES_AT_ONCE, most - done);
      const made = kernels.bpe_merges(symbols, weights, state, counts, size, best, merges, done, wanted);
      done += made;
      progress?.({ tokens: 256 + done, of: size });
      if (made < wanted) break;
      await new Promise((resume) => setTimeout(resume, 0));
      signal?.throwIfAborted();
    }
    return new Tokenizer(new Uint16Array(scratch.u8(merges, 4 * done).slice().buffer));
  }

  /** Tokens of bytes. {@linkcode decode} of them are the same bytes. */
  async encode(bytes: Uint8Array): Promise<Uint16Array<ArrayBuffer>> {
    expect("Cannot encode", { bytes: [bytes, "an array of bytes"] });
    const scratch = await encoderScratch(), top = scratch.mark(), parts: Uint16Array[] = [];
    try {
      const count = this.merges.length / 2, mask = 2 ** Math.ceil(Math.log2(2 * count + 2)) - 1;
      const merges = scratch.take(4 * count), table = scratch.take(8 * (mask + 1)), seen = scratch.take(16 * SEEN), state = scratch.take(4);
      scratch.u8(merges, 4 * count).set(new Uint8Array(this.merges.buffer, this.merges.byteOffset, 4 * count));
      scratch.u8(table, 8 * (mask + 1)).fill(0);
      scratch.kernels.bpe_table(merges, count, table, mask);
      const buffers = scratch.mark();
      for (let from = 0, most = CHUNK; from < bytes.length;) {
        scratch.release(buffers);
        const piece = bytes.subarray(from, from + most), last = from + piece.length === bytes.length;
        const at = scratch.take(piece.length), tokens = scratch.take(2 * piece.length);
        scratch.u8(at, piece.length).set(piece);
        scratch.u8(seen, 16 * SEEN).fill(0);
        const taken = scratch.kernels.bpe_encode(at, piece.length, +last, table, mask, seen, SEEN - 1, tokens, state);
        const [written] = scratch.u32(state, 1);
        parts.push(new Uint16Array(scratch.u8(tokens, 2 * written).slice().buffer));
        // One run of letters as long as all that was given: more of it is needed to know where it ends.
        most = taken === 0 ? most * 2 : CHUNK;
        from += taken;
      }
    } finally {
      scratch.release(top);
    }
    const all = new Uint16Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /**
   * The bytes of tokens.
   *
   * @throws {ConfigError} where a token is not in the vocabulary
   */
  decode(tokens: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    expectTokens("Cannot decode the tokens", tokens);
    let length = 0;
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i];
      if (!(Number.isInteger(token) && token >= 0 && token < this.size)) {
        throw new ConfigError(`Cannot decode token ${token} at place ${i}: the vocabulary has ${this.size}, from 0`);
      }
      length += this.#starts[token + 1] - this.#starts[token];
    }
    const out = new Uint8Array(length);
    let at = 0;
    for (let i = 0; i < tokens.length; i++) {
      const from = this.#starts[tokens[i]], to = this.#starts[tokens[i] + 1];
      if (to - from === 1) out[at++] = this.#bytes[from];
      else for (let b = from; b < to; b++) out[at++] = this.#bytes[b];
    }
    return out;
  }

  /** `tokenizer.json`, for this class and for Hugging Face's tokenizers, which make the same tokens of the same text. */
  toJson(): string {
    const names = Array.from({ length: this.size }, (_, token) => nameOf(this.bytesOf(token)));
    const model = {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(names.map((name, token) => [name, token])),
      merges: Array.from({ length: this.merges.length / 2 }, (_, m) => [names[this.merges[2 * m]], names[this.merges[2 * m + 1]]]),
    };
    const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
    return JSON.stringify(
      {
        version: "1.0",
        truncation: null,
        padding: null,
        added_tokens: [],
        normalizer: null,
        pre_tokenizer: {
          type: "Sequence",
          pretokenizers: [{ type: "Split", pattern: { Regex: PIECES }, behavior: "Isolated", invert: false }, byteLevel],
        },
        post_processor: null,
        decoder: byteLevel,
        model,
      },
      null,
      1,
    ) + "\n";
  }
}

/** How text is cut into pieces, as a regular expression over characters: what asm/bpe.ts does over bytes. */
const PIECES = [" ?[A-Za-z\u0080-\u{10ffff}]+", " ?[0-9]+", " ?[^\t-\r A-Za-z0-9\u0080-\u{10ffff}]+", "[\t-\r ]+"].join("|");

/** Bytes as the characters by which GPT-2 and `tokenizer.json` write them: itself where it can be seen, else one from 256 on. */
const CHARACTERS: readonly string[] = /* @__PURE__ */ (() => {
  let hidden = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const seen = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCodePoint(seen ? byte : hidden++);
  });
})();

const nameOf = (bytes: Uint8Array) => Array.from(bytes, (byte) => CHARACTERS[byte]).join("");

/** Counts the different pieces of text. */
function countPieces(scratch: Scratch, at: number, length: number): { table: number; mask: number } {
  const { kernels } = scratch, state = scratch.take(4);
  let mask = 2 ** 16 - 1, table = scratch.take(16 * (mask + 1));
  for (let done = 0;;) {
    done = kernels.bpe_pieces(at, done, length, table, mask, state, (mask + 1) / 2);
    if (done >= length) return { table, mask };
    const larger = scratch.take(32 * (mask + 1));
    kernels.bpe_rehash(at, table, mask, larger, 2 * mask + 1);
    table = larger;
    mask = 2 * mask + 1;
  }
}

/** All of it, or pieces from all over. */
function spread(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= LEARNT_LIMIT) return bytes;
  const pieces = 64, each = LEARNT_LIMIT / pieces, out = new Uint8Array(LEARNT_LIMIT);
  for (let i = 0; i < pieces; i++) {
    const from = Math.floor((bytes.length - each) * i / (pieces - 1));
    out.set(bytes.subarray(from, from + each), i * each);
  }
  return out;
}

/** What is read of a `tokenizer.json`, if it is one. */
interface TokenizerJson {
  readonly pre_tokenizer?: { readonly pretokenizers?: readonly { readonly pattern?: { readonly Regex?: unknown } }[] };
  readonly model?: { readonly type?: unknown; readonly vocab?: object; readonly merges?: unknown };
}

/**
 * Reads a `tokenizer.json` of this library's kind: byte-level BPE, its pieces cut as here.
 *
 * @param name of the file, for messages
 * @throws {CheckpointError} where it is none, or cuts or writes its tokens in another way
 */
export function parseTokenizer(text: string, name: string): Tokenizer {
  expect("Cannot read the tokenizer", { text: [text, "a string"], name: [name, "a string"] });
  const fail = (what: string): never => {
    throw new CheckpointError(`Cannot use ${name}: ${what}; restore it, or begin a run with --vocab, which learns one`);
  };
  const json = jsonOf(text, fail) as TokenizerJson | null, model = json?.model;
  if (model?.type !== "BPE") return fail(`it is no byte-pair encoding: its model is ${shown(model?.type)}`);
  const split = json?.pre_tokenizer?.pretokenizers?.[0]?.pattern?.Regex;
  if (split !== PIECES) fail(`it cuts text into other pieces: ${shown(split ?? json?.pre_tokenizer)}`);
  const { vocab, merges } = model, tokens = new Map<string, number>();
  for (const [name, token] of Object.entries(vocab ?? {})) tokens.set(name, token);
  CHARACTERS.forEach((character, byte) => {
    if (tokens.get(character) !== byte) fail(`byte ${byte} must be token ${byte}, found ${shown(tokens.get(character))}`);
  });
  if (!Array.isArray(merges) || merges.length + 256 !== tokens.size) {
    return fail(`its ${tokens.size} tokens must be 256 bytes and one for each of its merges`);
  }
  if (merges.length + 256 > VOCABULARY_LIMIT) fail(`it has ${tokens.size} tokens, at most ${VOCABULARY_LIMIT} are allowed`);
  const pairs = new Uint16Array(2 * merges.length);
  merges.forEach((merge: unknown, m: number) => {
    const pair = (typeof merge === "string" ? merge.split(" ") : merge) as string[];
    if (!Array.isArray(pair) || pair.length !== 2) fail(`merge ${m} must be a pair, found ${shown(merge)}`);
    pair.forEach((part, side) => pairs[2 * m + side] = tokens.get(part) ?? fail(`merge ${m} is of ${shown(part)}, which is no token`));
    if (tokens.get(pair.join("")) !== 256 + m) fail(`merge ${m} must make token ${256 + m}, found ${shown(tokens.get(pair.join("")))}`);
  });
  return new Tokenizer(pairs);
}
