/**
 * What a run's tokens stand for: flags for it, and a tokenizer learnt or read.
 *
 * @module
 */

import { DataError } from "../mod.ts";
import { type Dataset, parseTokenizer, Tokenizer, TokenRange, type TokenSource, VOCABULARY_LIMIT } from "../data.ts";
import { whole } from "../files.ts";
import { readText } from "./disk.ts";
import { type Args, type Flag, group, UsageError } from "./flags.ts";
import type { Report } from "./report.ts";

/** What tokens stand for. */
export const VOCABULARY_FLAGS: readonly Flag[] = group("Model", [
  {
    name: "vocab",
    value: "N",
    allowed: whole(257, VOCABULARY_LIMIT),
    alias: ["vocab-size", "vocab_size"],
    about: "learn N tokens of one or more bytes from the text and train on those (default: tokens are bytes)",
  },
  { name: "tokenizer", value: "FILE", about: "train on the tokens of a tokenizer.json, as another run has one" },
]);

const NAMES = VOCABULARY_FLAGS.map(({ name }) => name);

/** @throws {UsageError} where a run that goes on is asked for other tokens */
export function refuseVocabulary(args: Args): void {
  const [flag] = args.given(NAMES);
  if (flag !== undefined) throw new UsageError(`Cannot use --${flag} with --resume: the run keeps its tokens; begin a new run for others`);
}

/**
 * The tokenizer that the flags ask for; undefined where tokens are bytes.
 *
 * @param before a recipe's, where flags ask for none
 * @throws {UsageError} where the data is no text, or both flags are given
 * @throws {CheckpointError} where the file is not one
 * @throws {DataError} where there is nothing to learn
 */
export async function tokenizerFrom(
  args: Args,
  { name, kind, train }: Dataset<TokenSource>,
  report: Report,
  before?: string,
): Promise<Tokenizer | undefined> {
  const [flag = before === undefined ? undefined : "tokenizer", second] = args.given(NAMES), size = args.number("vocab");
  const file = args.text("tokenizer") ?? (size === undefined ? before : undefined);
  if (flag === undefined) return undefined;
  if (second !== undefined) throw new UsageError(`Cannot use --${flag} with --${second}: a vocabulary is learnt, or read from a file`);
  if (kind !== "text" && kind !== "bytes") {
    throw new UsageError(`Cannot use --${flag}: tokens of several bytes are of text or bytes, ${name} is ${kind}; leave it out`);
  }
  if (train instanceof TokenRange) {
    throw new UsageError(`Cannot use --${flag}: ${name} is read by range, as bytes; leave it out, or give a part of it`);
  }
  if (file !== undefined) return parseTokenizer(readText(file), file);
  const progress = ({ tokens, of }: { tokens: number; of: number }) => report.progress([{ text: `learning tokens: ${tokens} of ${of}` }]);
  const learnt = await Tokenizer.learn(train, size!, { progress });
  if (learnt.size > 256) return learnt;
  throw new DataError(`Cannot learn tokens from ${name}: no two bytes occur together twice; leave out --vocab, or give more data`);
}
