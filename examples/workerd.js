/**
 * Serves a model's text from workerd, Cloudflare's runtime; workerd.capnp says how to start it. Compiling bytes is forbidden there, so
 * the kernels come as a module; the model comes with the worker.
 *
 * @module
 */

import { openModel, readModel, useKernels } from "longstride.js";
import kernels from "longstride.wasm";
import { textServer } from "text_server.js";

useKernels(kernels);

let answer;
export default {
  fetch(request, { config, weights }) {
    answer ??= textServer(() => openModel(readModel(config, new Uint8Array(weights))));
    return answer(request);
  },
};
