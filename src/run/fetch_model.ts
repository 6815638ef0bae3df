/**
 * A model's files, by their folder's address.
 *
 * @module
 */

import { addressOf } from "../base/address.ts";
import { expect } from "../base/check.ts";
import { fetchBytes, fetchIfThere, type FetchOptions } from "../base/fetch.ts";
import { standIn } from "../base/json.ts";
import { type GenerationOptions, parseGenerationConfig } from "../files/generation_config.ts";
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
  readonly integrity?: { readonly [file in "config.json" | "model.safetensors"]?: string };
  /** Options of generation: where they are given, no `generation_config.json` is asked for. */
  readonly generation?: GenerationOptions;
}

const GENERATION_FILE = "generation_config.json";

/**
 * Fetches a model, for what `openModel` does not do with one.
 *
 * @param source a folder with `config.json` and `model.safetensors`, and maybe `generation_config.json`: its address, whose query is kept
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
  const names = { config: file("config.json"), weights: file("model.safetensors") };
  // Where one fails the other is not waited for, and not fetched to its end.
  const both = new AbortController(), stop = () => both.abort(signal!.reason);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  const fetched = (name: URL, more: FetchOptions) => fetchBytes(name, { ...more, signal: both.signal });
  try {
    const [config, weights, own] = await Promise.all([
      fetched(names.config, { integrity: integrity?.["config.json"] }),
      fetched(names.weights, { onProgress, lengthOf: safetensorsLength, integrity: integrity?.["model.safetensors"] }),
      generation ?? fetchGeneration(file(GENERATION_FILE), both.signal),
    ]);
    const model = readModel(new TextDecoder().decode(config), weights, { config: names.config.href, weights: names.weights.href });
    return own ? { ...model, generation: own } : model;
  } finally {
    signal?.removeEventListener("abort", stop);
    both.abort();
  }
}

async function fetchGeneration(url: URL, signal: AbortSignal): Promise<GenerationOptions | undefined> {
  const bytes = await fetchIfThere(url, { signal }), text = new TextDecoder().decode(bytes);
  // Servers of pages answer with one where there is no file.
  if (!bytes || standIn(text.slice(0, 256))?.startsWith("a web page")) return undefined;
  return parseGenerationConfig(text, url.href);
}
