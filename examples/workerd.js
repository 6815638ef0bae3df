/**
 * Serves a model's text from workerd, Cloudflare's runtime; workerd.capnp says how to start it. Compiling bytes is forbidden there, so
 * the kernels come as a module; the model comes with the worker. Its modules are bundled into one first, as Workers' own tools do it.
 *
 * @module
 */

import { readModel } from "../dist/files.js";
import { openModel, useKernels } from "../dist/longstride.js";
import { textServer } from "./text_server.js";
import kernels from "longstride.wasm";

useKernels(kernels);

let answer;
export default {
  fetch(request, { config, weights }) {
    answer ??= textServer(() => openModel(readModel(config, new Uint8Array(weights))));
    return answer(request);
  },
};
