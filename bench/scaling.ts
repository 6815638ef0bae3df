/**
 * A data-parallel training step against ranks: its time, how much of the exchange the backward pass hides, and both as the model of
 * step_model.ts has them. First with simulated devices and networks, then on the CPU, over shared memory and on simulated networks, which
 * needs Open MPI's mpirun; with more ranks than idle cores that says little.
 *
 *     deno run -A bench/scaling.ts [--quick] [--json] [--ranks 2,3,4] [--wire f32,f16]
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { flag, QUICK, report, type Row } from "./lib.ts";
import { simulate } from "./simulated.ts";
import { predict } from "./step_model.ts";

/** What bench/data_parallel.ts says. */
interface Result {
  readonly stepMs: number;
  readonly exchangeMs: number;
  readonly exposedMs: number;
  readonly hidden: number;
  readonly megabytes: number;
}

/** Networks: microseconds of a message, gigabytes per second. */
const NETWORKS: Readonly<Record<string, readonly [latency: number, rate: number] | undefined>> = QUICK
  ? { "1 Gb/s": [100, 0.1] }
  : { "shared memory": undefined, "10 Gb/s": [50, 1], "1 Gb/s": [100, 0.1] };

const ranks = (flag("ranks") ?? (QUICK ? "2" : "2,3,4")).split(",").map(Number),
  wires = (flag("wire") ?? (QUICK ? "f32" : "f32,f16")).split(",");
const model = QUICK ? ["--tiny", "--steps", "3"] : ["--preset", "text", "--each", "2", "--steps", "8"];
const BUCKETS = 8, bucketBytes = QUICK ? 20_000 : 420_000;

async function measure(size: number, wire: string, network: readonly number[] | undefined): Promise<Result> {
  const program = fileURLToPath(new URL("data_parallel.ts", import.meta.url));
  const args = [
    ...["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", String(size), Deno.execPath(), "run", "-A", program, ...model],
    ...["--threads", "1", "--wire", wire, "--bucket", String(bucketBytes), ...network ? ["--network", network.join()] : []],
  ];
  // More ranks than cores: one that waits lets others work.
  const env = { OMPI_MCA_btl_vader_single_copy_mechanism: "none", OMPI_MCA_mpi_yield_when_idle: "1" };
  const { stdout, stderr } = await new Deno.Command("mpirun", { args, env, stdin: "null", stdout: "piped", stderr: "piped" }).output();
  const line = new TextDecoder().decode(stdout).split("\n").find((line) => line.startsWith("RESULT "));
  if (!line) throw new Error(`no result: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(line.slice(7));
}

const simulated: Row[] = [];
for (
  const [network, latency, rate] of QUICK ? [["10 Gb/s", 0.05, 1e6] as const] : [["10 Gb/s", 0.05, 1e6], ["100 Gb/s", 0.03, 10e6]] as const
) {
  for (const size of QUICK ? [2] : [1, 2, 3, 4, 8, 64]) {
    const { said, ...found } = await simulate({ ranks: size, compute: 315, bytes: 380e6, latency, rate }, QUICK ? 1 : 5);
    simulated.push({
      "simulated ranks": String(size),
      "network": network,
      "step, ms": found.step,
      "predicted": said.step,
      "left over, ms": found.exposed,
      "predicted left over": said.exposed,
      "hidden": `${Math.round(100 * (1 - found.exposed / Math.max(1e-9, found.exchange)))} %`,
      "efficiency": `${Math.round(100 * found.efficiency)} %`,
      "predicted efficiency": `${Math.round(100 * said.efficiency)} %`,
    });
  }
}
report("a step of 315 ms and 380 MB of gradients in 16 buckets", simulated);

const rows: Row[] = [], cores = navigator.hardwareConcurrency;
for (const wire of wires) {
  const alone = await measure(1, wire, undefined);
  for (const [name, network] of Object.entries(NETWORKS)) {
    for (const size of ranks) {
      const { stepMs, exchangeMs, exposedMs, hidden, megabytes } = await measure(size, wire, network);
      // More ranks than cores take turns.
      const crowd = Math.max(1, size / cores), work = { compute: alone.stepMs * crowd * 0.95, update: alone.stepMs * crowd * 0.05 };
      const link = network && { latency: network[0] / 1000, rate: network[1] * 1e6, staging: Infinity };
      const said = link && predict({ ...work, backward: 2 / 3, bytes: megabytes * 1e6, buckets: BUCKETS }, size, link);
      rows.push({
        "ranks": String(size),
        "wire": wire,
        "network": name,
        "step, ms": stepMs,
        ...said ? { "predicted": said.step } : {},
        "exchange, ms": exchangeMs,
        "left over, ms": exposedMs,
        "hidden": `${Math.round(hidden * 100)} %`,
        "efficiency": `${Math.round(alone.stepMs * crowd / stepMs * 100)} %`,
        ...said ? { "predicted efficiency": `${Math.round(said.efficiency * 100)} %` } : {},
      });
    }
  }
}
report(`training step of ${QUICK ? "a tiny model" : "the text preset, batch 2 a rank"}, a thread a rank`, rows);
