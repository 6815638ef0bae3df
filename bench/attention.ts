/**
 * Attention on the WASM engine, one thread: dense beside peers, and strided's time against its pairs from n = 1k to 64k.
 *
 *     deno run -A bench/attention.ts [--json] [--peers DIR] [--only dense|pairs] [--quick]
 *
 * DIR is a folder with onnxruntime-web and jax-js and the scripts that run them.
 *
 * @module
 */

import { buildLayout } from "../src/pattern/layout.ts";
import type { Op } from "../src/ops/mod.ts";
import type { AttentionSet } from "../src/pattern/sets.ts";
import { WasmEngine } from "../src/engines/wasm/engine.ts";
import { flag, inputs, peer, prepare, QUICK, report, type Row, time, type Timing } from "./lib.ts";

const HEADS = 2, D = 64;

/** Forward, and forward + backward, of one set on all heads. */
async function measure(engine: WasmEngine, set: AttentionSet, n: number): Promise<{ forward: Timing; both: Timing }> {
  const { given, make } = inputs(), matrix = (name: string) => make(name, [n, HEADS * D]);
  const [q, k, v, o, dO, dq, dk, dv] = ["q", "k", "v", "o", "dO", "dq", "dk", "dv"].map(matrix);
  const lse = make("lse", [1, HEADS, n]), delta = make("delta", [1, HEADS, n]);
  const shared = { q, k, v, o, lse, sets: Array.from({ length: HEADS }, () => set), batch: 1, n };
  const first: Op = { op: "attention", ...shared }, second: Op = { op: "attention_backward", ...shared, dO, delta, dq, dk, dv };
  // One after the other: a tensor has one place at a time.
  const timed = async (name: string, ops: Op[], options: Parameters<typeof time>[1]) => {
    using program = await prepare(engine, name, ops, given);
    return await time(program.run, options);
  };
  return {
    forward: await timed("forward", [first], { budget: 1000 }),
    both: await timed("forward and backward", [first, second], { budget: 1500, least: 3 }),
  };
}

/** The same in plain JavaScript, rows one at a time with online softmax over the keys. */
function plain(q: Float32Array, k: Float32Array, v: Float32Array, o: Float32Array, n: number): void {
  const scores = new Float64Array(n), scale = 1 / Math.sqrt(D), width = HEADS * D;
  for (let h = 0; h < HEADS; h++) {
    for (let i = 0; i < n; i++) {
      const row = i * width + h * D;
      let top = -Infinity, sum = 0;
      for (let j = 0; j <= i; j++) {
        let s = 0;
        for (let c = 0; c < D; c++) s += q[row + c] * k[j * width + h * D + c];
        top = Math.max(top, scores[j] = s * scale);
      }
      o.fill(0, row, row + D);
      for (let j = 0; j <= i; j++) {
        const p = Math.exp(scores[j] - top);
        sum += p;
        for (let c = 0; c < D; c++) o[row + c] += p * v[j * width + h * D + c];
      }
      for (let c = 0; c < D; c++) o[row + c] /= sum;
    }
  }
}

const engine = await WasmEngine.create({ threads: 1 }), only = flag("only");

if (only !== "pairs") {
  const rows: Row[] = [];
  for (const n of QUICK ? [64] : [1024, 3072]) {
    const { forward, both } = await measure(engine, { kind: "dense", causal: true }, n);
    const { given, make } = inputs(),
      [q, k, v, o] = ["q", "k", "v", "o"].map((name) => given.get(make(name, [n, HEADS * D])) as Float32Array);
    const js = await time(() => plain(q, k, v, o, n), { budget: 0, least: n > 2000 ? 1 : 3 });
    const jax = (mode: string) => peer("jax_attn.mjs", ["--device=wasm", `--n=${n}`, `--mode=${mode}`, "--reps=5"]);
    const peers: [string, Timing, number | undefined][] = [
      ["forward ÷ plain JS", forward, js.best],
      [
        "forward ÷ onnxruntime-web",
        forward,
        (await peer("ort_attn.mjs", ["--device=wasm", "--impl=mha", `--n=${n}`, "--threads=1"]))?.cpuMs,
      ],
      ["forward ÷ jax-js", forward, (await jax("fwd"))?.cpuMs],
      ["forward + backward ÷ jax-js", both, (await jax("bwd"))?.cpuMs],
    ];
    for (const [what, ours, theirs] of peers) {
      if (theirs) rows.push({ "dense causal": what, n, "CPU ms": ours.cpu, "theirs": theirs, "times faster": theirs / ours.cpu });
    }
  }
  report(`attention, ${HEADS} heads of ${D}, CPU time, 1 thread`, rows);
}

if (only !== "dense") {
  const rows: Row[] = [];
  let before: { pairs: number; forward: number; both: number } | undefined;
  for (const n of QUICK ? [64, 256] : [1024, 4096, 16384, 65536]) {
    const set: AttentionSet = { kind: "strided", l: Math.sqrt(n), causal: true };
    const { pairs } = await buildLayout(set, n, { q: 64, k: 64 }), { forward, both } = await measure(engine, set, n);
    const now = { pairs, forward: forward.best, both: both.best };
    rows.push({
      "strided, l = √n": `n = ${n}`,
      "pairs": pairs,
      "forward, ms": now.forward,
      "both, ms": now.both,
      "pairs × ": before ? pairs / before.pairs : "",
      "forward × ": before ? now.forward / before.forward : "",
      "both × ": before ? now.both / before.both : "",
      "both × ÷ pairs ×": before ? now.both / before.both / (pairs / before.pairs) : "",
    });
    before = now;
  }
  report("attention's cost against its pairs, best CPU time, 1 thread", rows);
}
engine.dispose();
