/**
 * Matrix products on the WASM engine beside plain JavaScript, a thread each and all threads.
 *
 *     deno run -A bench/matmul.ts [--json] [--quick]
 *
 * @module
 */

import type { Op } from "../src/ops/mod.ts";
import { WasmEngine } from "../src/engines/wasm/engine.ts";
import { inputs, normals, prepare, QUICK, report, type Row, time } from "./lib.ts";

/** y = x · wᵀ as one writes it: rows of both in order, four sums so that additions overlap. */
function plain(x: Float32Array, w: Float32Array, y: Float32Array, rows: number, inner: number, out: number): void {
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < out; o++) {
      let a = 0, b = 0, c = 0, d = 0, i = 0;
      const xr = r * inner, wr = o * inner;
      for (; i + 4 <= inner; i += 4) {
        a += x[xr + i] * w[wr + i];
        b += x[xr + i + 1] * w[wr + i + 1];
        c += x[xr + i + 2] * w[wr + i + 2];
        d += x[xr + i + 3] * w[wr + i + 3];
      }
      for (; i < inner; i++) a += x[xr + i] * w[wr + i];
      y[r * out + o] = a + b + c + d;
    }
  }
}

const gflops = (rows: number, inner: number, out: number, ms: number) => 2 * rows * inner * out / ms / 1e6;
const one = await WasmEngine.create({ threads: 1 }), all = await WasmEngine.create();
const rows: Row[] = [], buffers = new Map<number, Float32Array>();
const SIZES = QUICK ? [[8, 12, 20]] : [[512, 512, 512], [256, 128, 512], [1024, 512, 2048], [250, 129, 131], [1, 512, 2048]];
for (const [r, inner, out] of SIZES) {
  const { given, make } = inputs();
  const x = make("x", [r, inner]), w = make("w", [out, inner]), y = make("y", [r, out]), dx = make("dx", [r, inner]);
  const dw = make("dw", [out, inner]);
  const ops: Record<string, Op> = {
    "linear": { op: "linear", x, w, y },
    "input grad": { op: "linear_input_grad", dy: y, w, dx },
    "weight grad": { op: "linear_weight_grad", dy: y, x, dw, accumulate: false },
  };
  const js = await time(() => plain(given.get(x)! as Float32Array, given.get(w)! as Float32Array, normalsOnce(r * out), r, inner, out), {
    budget: 500,
    least: 3,
  });
  for (const [name, op] of Object.entries(ops)) {
    using single = await prepare(one, name, [op], given);
    using several = await prepare(all, name, [op], given);
    const a = await time(single.run, { budget: 500 }), b = await time(several.run, { budget: 500 });
    rows.push({
      "rows × in × out": `${r} × ${inner} × ${out}`,
      "what": name,
      "plain JS, GFLOP/s": gflops(r, inner, out, js.best),
      "1 thread": gflops(r, inner, out, a.best),
      "÷ plain JS": js.best / a.best,
      [`${all.description.match(/\d+ threads?/)![0]}, wall`]: gflops(r, inner, out, b.wall),
    });
  }
}
one.dispose();
all.dispose();
report("matrix products, f32", rows);

function normalsOnce(count: number): Float32Array {
  return buffers.get(count) ?? buffers.set(count, normals(count, 1)).get(count)!;
}
