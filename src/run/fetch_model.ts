/**
 * A model's files, by their folder's address.
 *
 * @module
 */

import { addressOf } from "../base/address.ts";
import { expect } from "../base/check.ts";
import { fetchBytes, fetchIfThere, type FetchOptions } from "../base/fetch.ts";
import { HEAD, standIn } from "../base/json.ts";
import { BYTES } from "../data/text.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { checkTokenizer } from "../files/codec.ts";
import { GENERATION_FILE, type GenerationOptions } from "../files/generation_config.ts";
import { parseConfig } from "../files/model_config.ts";
import { safetensorsLength } from "../files/safetensors.ts";
import { type Model, readModel } from "../files/weights.ts";

/** How a model's files are fetched. */
export interface FetchModelOptions {
  /** Gives up fetching; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * Called as `model.safetensors` arrives, from the network or a cache: bytes received, and the file's true length by its own header,
   * undefined for as long as that has not come.
   */
  readonly onProgress?: (loaded: number, total: number | undefined) => void;
  /** What fetched files must hash to, as HTML's `integrity`: `sha256-…`, `sha384-…` or `sha512-…` in base64. */
  readonly integrity?: { readonly [file in "config.json" | "model.safetensors" | "tokenizer.json"]?: string };
  /** Options of generation: where they are given, no `generation_config.json` is asked for. */
  readonly generation?: GenerationOptions;
}

/**
 * Fetches a model, for what `openModel` does not do with one.
 *
 * @param source a folder with `config.json` and `model.safetensors`, and maybe `generation_config.json`, and `tokenizer.json` where tokens are not bytes: its address, whose query is kept
 * for each file, or outside of pages a path from the current folder
 * @throws {DataError} where a file cannot be fetched, or is not the one that `integrity` names
 * @throws {CheckpointError} where the weights are damaged or not those of the configuration
 * @throws {ConfigError} where a configuration is wrong, or the address is none
 *
 * @example
 * ```ts
 * import { fetchModel } from "../../mod.ts";
 * const { config, weights } = await fetchModel("test/golden/model-text-fixed-merged");
 * console.log(config.n_ctx, weights.size);
 * ```
 */
export async function fetchModel(source: string | URL, options: FetchModelOptions = {}): Promise<Model> {
  expect("Cannot fetch the model", { options: [options, "an object"] });
  const { signal, onProgress, integrity, generation } = options, folder = await addressOf("Cannot open the model", source);
  if (!folder.pathname.endsWith("/")) folder.pathname += "/";
  const file = (name: string) => {
    const url = new URL(name, folder);
    // What a signed address is signed with.
    url.search = folder.search;
    return url;
  };
  const names = { config: file("config.json"), weights: file("model.safetensors"), tokenizer: file("tokenizer.json") };
  // Where one fails the other is not waited for, and not fetched to its end.
  const both = new AbortController(), stop = () => both.abort(signal!.reason);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  const fetched = (name: URL, more: FetchOptions) => fetchBytes(name, { ...more, signal: both.signal });
  try {
    const config = fetched(names.config, { integrity: integrity?.["config.json"] });
    const [text, tokenizer, weights, own] = await Promise.all([
      config,
      config.then((config) => fetchTokenizer(config, names, { signal: both.signal, integrity: integrity?.["tokenizer.json"] })),
      fetched(names.weights, { onProgress, lengthOf: safetensorsLength, integrity: integrity?.["model.safetensors"] }),
      generation ?? fetchGeneration(file(GENERATION_FILE), both.signal),
    ]);
    const model = readModel(new TextDecoder().decode(text), weights, { config: names.config.href, weights: names.weights.href });
    return { ...model, ...tokenizer ? { tokenizer } : {}, ...own ? { generation: own } : {} };
  } finally {
    signal?.removeEventListener("abort", stop);
    both.abort();
  }
}

async function fetchGeneration(url: URL, signal: AbortSignal): Promise<GenerationOptions | undefined> {
  const bytes = await fetchIfThere(url, { signal }), text = new TextDecoder().decode(bytes);
  // Servers of pages answer with one where there is no file.
  if (!bytes || standIn(text.slice(0, HEAD))?.startsWith("a web page")) return undefined;
  const { parseGenerationConfig } = await import("../files/generation_file.ts");
  return parseGenerationConfig(text, url.href);
}

/** What the tokens of a model stand for where they are more than bytes, if its folder says so. */
async function fetchTokenizer(
  config: Uint8Array,
  names: { readonly config: URL; readonly tokenizer: URL },
  options: FetchOptions,
): Promise<Tokenizer | undefined> {
  const { vocab_size } = parseConfig(new TextDecoder().decode(config), names.config.href);
  if (vocab_size <= BYTES.size) return undefined;
  const bytes = await fetchIfThere(names.tokenizer, options);
  if (!bytes) return undefined;
  // Of most models nothing reads one.
  const { parseTokenizer } = await import("../data/tokenizer.ts");
  const tokenizer = parseTokenizer(new TextDecoder().decode(bytes), names.tokenizer.href);
  checkTokenizer(tokenizer, vocab_size, names.tokenizer.href);
  return tokenizer;
}
