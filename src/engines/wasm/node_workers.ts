/**
 * Threads in Node, whose workers are no pages' workers.
 *
 * @module
 */

import { nodeModule, type NodeWorker } from "../../base/runtime_files.ts";

/** What a worker of a page finds in its scope. */
const SCOPE = `import { parentPort } from "node:worker_threads";
globalThis.postMessage = (message) => parentPort.postMessage(message);
globalThis.close = () => parentPort.close();
parentPort.on("message", (data) => globalThis.onmessage({ data }));
`;

/** What Threads uses of a worker. */
type Events = Pick<Worker, "onmessage" | "onerror" | "onmessageerror">;

/** What starts workers from a script's text, and how many threads the machine runs at once; undefined where this runtime has none. */
export async function nodeWorkers(): Promise<{ open(text: string): Worker; cores: number } | undefined> {
  const [threads, os] = [await nodeModule("worker_threads"), await nodeModule("os")];
  return threads && os &&
    {
      open: (text) => open(new threads.Worker(new URL(`data:text/javascript,${encodeURIComponent(SCOPE + text)}`))),
      cores: os.availableParallelism(),
    };
}

/** A worker of Node's as a page's. */
function open(worker: NodeWorker): Worker {
  const made = {
    onmessage: null,
    onerror: null,
    onmessageerror: null,
    postMessage: (message: unknown) => worker.postMessage(message),
    terminate: () => void worker.terminate(),
  } as Events & Pick<Worker, "postMessage" | "terminate"> as Worker;
  worker.on("message", (data) => {
    // From here on it keeps no process alive.
    worker.unref();
    made.onmessage?.({ data } as MessageEvent);
  });
  worker.on("error", (error) => made.onerror?.({ message: (error as Error).message, preventDefault() {} } as ErrorEvent));
  worker.on("messageerror", () => made.onmessageerror?.(new Event("messageerror") as MessageEvent));
  return made;
}
