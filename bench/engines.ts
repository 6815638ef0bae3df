/**
 * GPU engines made and disposed of one after another: milliseconds of each, memory of the process, and whether it is still there at the end.
 * What is left of an engine is collected at once, or is held for some engines more.
 *
 *     deno run -A --v8-flags=--expose-gc bench/engines.ts [--gpu dawn] [--count 40] [--quick]
 *
 * @module
 */

import { memoryUsage } from "node:process";
import { Program, tensor } from "../src/ops/mod.ts";
import { WebGpuEngine } from "../src/engines/webgpu/engine.ts";
import { flag, GPU_OPTIONS, QUICK, report, type Row } from "./lib.ts";

const count = Number(flag("count") ?? (QUICK ? 4 : 40)), rows: Row[] = [], held: unknown[] = [];
const collect = (globalThis as { gc?: () => void }).gc ?? (() => {});

for (let at = 0; at < count; at++) {
  const begun = performance.now(), engine = await WebGpuEngine.create({ ...GPU_OPTIONS, allowSoftware: true });
  const made = performance.now(), x = tensor("x", [1024]), y = tensor("y", [1]), program = new Program("sum");
  program.add({ op: "sum", x, y, scale: 1, accumulate: false });
  engine.allocate([x, y]);
  engine.write(x, new Float32Array(1024).fill(1));
  const executable = await engine.compile(program);
  await executable.run();
  const [sum] = await engine.read(y), reads: number[] = [];
  if (sum !== 1024) throw new Error(`the sum is ${sum}`);
  for (let read = 0; read < 20; read++) {
    const asked = performance.now();
    await engine.read(y);
    reads.push(performance.now() - asked);
  }
  const device = engine.device, others = Array.from({ length: 20 }, () => device.createBuffer({ size: 4096, usage: 0x80 }));
  // Two engines of an instance at once, and objects that outlive theirs.
  if (at % 3 === 0) held.push(await WebGpuEngine.create({ ...GPU_OPTIONS, allowSoftware: true }));
  engine.dispose();
  if (at % 2 === 0) held.push([device, others, executable]);
  if (at % 7 === 6) { for (const one of held.splice(0)) if (one instanceof WebGpuEngine) one.dispose(); }
  collect();
  if (at % 10 === 9 || QUICK) {
    rows.push({
      engine: at + 1,
      "made, ms": made - begun,
      "a read, ms": reads.sort((a, b) => a - b)[10],
      "memory, MB": Math.round(memoryUsage().rss / 1e6),
    });
  }
}
for (const one of held) if (one instanceof WebGpuEngine) one.dispose();
collect();
await new Promise((resume) => setTimeout(resume, 100));
report("engines in turn", rows);
