/**
 * Runs that are kept in the browser (IndexedDB): what the list shows, and what going on and prompting take.
 *
 * @module
 */

import type { BackendName } from "../mod.ts";
import type { DataKind } from "../data.ts";
import type { HistoryEntry } from "../files.ts";

/** What the person chose. */
export interface Chosen {
  readonly backend: BackendName;
  /** The page's small model of text. */
  readonly small: boolean;
  readonly steps: number;
  readonly seed: number;
  readonly lr?: number;
}

/** A run, without what is large. */
export interface KeptRun {
  readonly id: string;
  /** The file it learns. */
  readonly name: string;
  /** The file and the model in words. */
  readonly about: string;
  readonly kind: DataKind;
  /** Samples per second of sound. */
  readonly rate?: number;
  readonly chosen: Chosen;
  /** When it was kept last, in milliseconds since 1970. */
  readonly kept: number;
  readonly step: number;
  readonly steps: number;
  readonly history: readonly HistoryEntry[];
}

/** What is large. */
export interface RunData {
  readonly id: string;
  /** Its folder. */
  readonly zip: Blob;
  /** What it learns, where that is small enough to be kept. */
  readonly file?: File;
}

/** The folder that a run's zip holds, and, as `.zip`, what it is saved as. */
export const RUN_FOLDER = "longstride-run";

/** Most bytes of a file that are kept with its run. */
const FILE_LIMIT = 256 * 2 ** 20;

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("longstride", 1);
    request.onupgradeneeded = () => {
      for (const name of ["runs", "data"]) request.result.createObjectStore(name, { keyPath: "id" });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** One transaction on both stores; answers what the last request found. */
async function transact<T>(mode: IDBTransactionMode, use: (runs: IDBObjectStore, data: IDBObjectStore) => IDBRequest): Promise<T> {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(["runs", "data"], mode, { durability: "relaxed" });
      const request = use(transaction.objectStore("runs"), transaction.objectStore("data"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? request.error);
    });
  } finally {
    database.close();
  }
}

/** All runs, latest first. */
export async function listRuns(): Promise<KeptRun[]> {
  return (await transact<KeptRun[]>("readonly", (runs) => runs.getAll())).sort((a, b) => b.kept - a.kept);
}

/** One run. */
export const findRun = (id: string): Promise<KeptRun | undefined> => transact("readonly", (runs) => runs.get(id));

/** What going on with a run takes. */
export const findData = (id: string): Promise<RunData | undefined> => transact("readonly", (_, data) => data.get(id));

/** Keeps a run as it is now. */
export async function keepRun(run: KeptRun, zip: Blob, file: File): Promise<void> {
  const kept: RunData = { id: run.id, zip, ...file.size <= FILE_LIMIT ? { file } : {} };
  await transact("readwrite", (runs, data) => {
    data.put(kept);
    return runs.put(run);
  });
}

/** Forgets a run. */
export async function forgetRun(id: string): Promise<void> {
  await transact("readwrite", (runs, data) => {
    data.delete(id);
    return runs.delete(id);
  });
}
