/**
 * GPU times of attention in either order, and as the rule chooses: a set by its parts, and all of it in the rows' order.
 * `deno run -A bench/crossover.ts [--batch N] [--quick] [--gpu dawn]`. Each is checked against the other first; times are medians, 8 heads of 64;
 * of 16 and short, for software GPUs, by --quick.
 */

import { parseArgs } from "npm:deno-std@1.4.0/cli/parse_args.js";
import { type AttentionConfig, resolveSets } from "../src/pattern/sets.ts";
import { Program, size, tensor } from "../src/ops/mod.ts";
import { Random } from "../src/base/random.ts";
import { relativeError } from "../src/run/verify.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import { settledProfile } from "../src/engines/webgpu/tuning/settle.ts";
import { GPU_OPTIONS } from "./lib.ts";

const flags = parseArgs(Deno.args, { string: ["batch", "gpu"], boolean: ["quick"] });
const heads = 8, d = flags.quick ? 16 : 64, batch = Number(flags.batch ?? 1), draw = new Random(11, 5);
const create = (inOrder?: boolean) => WebGpuEngine.create({ ...GPU_OPTIONS, allowSoftware: flags.quick, inOrder });
const engines = { grouped: await create(false), inOrder: await create(true), rule: await create() };

async function times(config: AttentionConfig, n: number, order: keyof typeof engines) {
  const engine = engines[order];
  const [q, k, v, o, dO, dq, dk, dv] = ["q", "k", "v", "o", "dO", "dq", "dk", "dv"].map((t) => tensor(t, [batch * n, heads * d]));
  const lse = tensor("lse", [batch, heads, n]), delta = tensor("delta", [batch, heads, n]);
  const all = [q, k, v, o, dO, dq, dk, dv, lse, delta];
  for (const t of all) engine.allocate([t]);
  for (const t of [q, k, v, dO]) engine.write(t, inputs(size(t), t.name));
  const program = new Program(order), shared = { q, k, v, o, lse, sets: resolveSets(config, { n, layer: 0, heads }), batch, n };
  program.add({ op: "attention", ...shared });
  program.add({ op: "attention_backward", ...shared, dO, delta, dq, dk, dv });
  const executable = await engine.compile(program), profile = await settledProfile(executable, flags.quick ? 1 : 40, 3, 20);
  let forward = 0, dqMs = 0, keys = 0, last = "";
  for (const { kernel, ms } of profile) {
    if (kernel !== "attention_join") last = kernel;
    if (last === "attention_forward") forward += ms;
    else if (last.startsWith("attention_backward_dq")) dqMs += ms;
    else if (last !== "attention_backward_delta") keys += ms;
  }
  const results = [];
  for (const t of [o, dq, dk, dv]) results.push(await engine.read(t));
  executable.dispose();
  engine.free(all);
  return { results, ms: [forward, dqMs, keys] };
}

const made = new Map<string, Float32Array>();
function inputs(count: number, name: string): Float32Array {
  const key = `${name} ${count}`;
  if (!made.has(key)) made.set(key, Float32Array.from({ length: count }, () => draw.normal()));
  return made.get(key)!;
}

async function row(pattern: string, n: number, l: number) {
  const config: AttentionConfig = pattern === "fixed"
    ? { pattern, stride: l, c: l / 4 }
    : { pattern: "strided", stride: l, integration: pattern === "column" ? "multihead" : "merged" };
  const [grouped, inOrder, rule] = [await times(config, n, "grouped"), await times(config, n, "inOrder"), await times(config, n, "rule")];
  const error = Math.max(...grouped.results.map((one, at) => relativeError(inOrder.results[at], one)));
  if (!(error < 1e-5)) throw new Error(`${pattern} ${l}, n ${n}: the orders differ by ${error}`);
  const cells = grouped.ms.map((ms, at) => [ms, inOrder.ms[at], rule.ms[at]].map((ms) => (ms * 1e3).toFixed(1)).join(", "));
  console.log(`| ${pattern} | ${n} | ${l} | ${cells.join(" | ")} |`);
}

console.log("| set | n | l | forward, µs: grouped, in order, by rule | dq | dk, dv |\n" + "| --- ".repeat(6) + "|");
for (const pattern of ["strided", "fixed", "column"]) {
  for (const n of flags.quick ? [128] : [128, 256, 512, 768, 1024, 2048]) {
    for (const l of flags.quick ? [16] : [16, 32, 64, 128]) {
      if (n > 2 * l && n <= (pattern === "strided" ? 32 : 16) * l) await row(pattern, n, l);
    }
  }
}
for (const engine of Object.values(engines)) engine.dispose();
