/**
 * The script that the worker of `<longstride-sample>` runs.
 *
 * @module
 */

import { serveModel, type WorkerScope } from "./model_worker.ts";

serveModel(globalThis as unknown as WorkerScope);
