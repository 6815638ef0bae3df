/**
 * A thread of the CPU engine, as a file for `new Worker`: pages whose policy is strict take workers from nowhere else.
 *
 * @module
 */

import { makeThread, workerMain } from "./thread.ts";

workerMain(makeThread);
