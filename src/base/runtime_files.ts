/**
 * What runtimes have that pages have not: files, addons, threads of Node's kind.
 *
 * @module
 */

/** A thread of Node's. */
export interface NodeWorker {
  on(event: "message" | "error" | "messageerror", hear: (value: unknown) => void): void;
  postMessage(message: unknown): void;
  terminate(): Promise<number>;
  unref(): void;
}

/** What is used of Node's modules, which Deno and Bun have too. */
interface Modules {
  readonly "fs/promises": { readFile(file: URL, options: { signal?: AbortSignal }): Promise<Uint8Array> };
  readonly "url": { pathToFileURL(path: string): URL; fileURLToPath(url: URL): string };
  readonly "os": { availableParallelism(): number };
  readonly "worker_threads": { Worker: new (url: URL) => NodeWorker };
  readonly "module": { createRequire(from: URL): (path: string) => unknown };
}

/**
 * One of Node's modules, where the runtime has them. Its name is put together here, so that bundlers for the web, which have none, leave
 * the import as it is.
 */
export async function nodeModule<K extends keyof Modules>(name: K): Promise<Modules[K] | undefined> {
  try {
    return await import(/* @vite-ignore */ /* webpackIgnore: true */ ["node", name].join(":"));
  } catch {
    return undefined;
  }
}

/** The bytes of a file by its URL; undefined where this runtime has no files. */
export async function fileBytes(url: URL, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const files = await nodeModule("fs/promises");
  // Of a buffer that may be part of a larger one, at any place.
  return files && new Uint8Array(await files.readFile(url, { signal }));
}

/** The file URL of a path from the current folder; undefined where this runtime has no files. */
export async function pathToUrl(path: string): Promise<URL | undefined> {
  return (await nodeModule("url"))?.pathToFileURL(path);
}
