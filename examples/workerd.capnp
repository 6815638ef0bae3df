# After `deno task bundle`, with a model folder as examples/model:
#
#     npx esbuild examples/workerd.js --bundle --format=esm --external:longstride.wasm --outfile=examples/worker.js
#     npx workerd serve examples/workerd.capnp
#     curl -N 'localhost:8080/?prompt=Once&length=200'

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:8080", http = (), service = "main")],
);

const worker :Workerd.Worker = (
  compatibilityDate = "2026-07-01",
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "longstride.wasm", wasm = embed "../dist/longstride.wasm"),
  ],
  bindings = [
    (name = "config", text = embed "model/config.json"),
    (name = "weights", data = embed "model/model.safetensors"),
  ],
);
