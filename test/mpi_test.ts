/**
 * The command line in several processes that mpirun starts.
 *
 * Plan. `train` on two ranks writes, to the byte, the model of one process with the same sequences; three go on with it; `evaluate` shares
 * windows and finds the same. A rank that is killed ends all within seconds, with its number and why, and leaves the last save whole; ranks
 * with other flags than the first are refused before the first step; without the library the message says what to install.
 */

import { assert, assertAlmostEquals, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { loadRun } from "../cli/run_folder.ts";
import { answer, MAIN, type Ran, ran, run } from "./commands.ts";
import { withFolder } from "./folders.ts";
import { TEXT } from "./model.ts";
import { needing } from "./needs.ts";

/** As root, in containers, with more ranks than cores. */
const ENV = {
  NO_COLOR: "1",
  OMPI_ALLOW_RUN_AS_ROOT: "1",
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1",
  OMPI_MCA_rmaps_base_oversubscribe: "1",
  OMPI_MCA_hwloc_base_binding_policy: "none",
  // A container may refuse one process another's memory.
  OMPI_MCA_btl_vader_single_copy_mechanism: "none",
};

const MODEL = "--n-ctx 32 --layers 2 --heads 2 --d-model 16 --d-ff 32 --d-qk 16 --pattern strided --stride 8 --phases none --backend wasm"
  .split(" ");

/** Processes of mpirun, each with these arguments of the command line: a list per rank, or one for so many. */
function ranks(...each: readonly (readonly [count: number, ...args: string[]])[]): Deno.Command {
  const args = each.flatMap((
    [count, ...args],
    at,
  ) => [...at > 0 ? [":"] : [], "-n", String(count), Deno.execPath(), "run", "-A", MAIN, ...args]);
  return new Deno.Command("mpirun", { args, env: ENV, stdin: "null", stdout: "piped", stderr: "piped" });
}

async function together(count: number, ...args: string[]): Promise<Ran> {
  const { code, stdout, stderr } = await ranks([count, ...args]).output();
  return ran(code, stdout, stderr);
}

function textIn(folder: string): string {
  Deno.writeTextFileSync(`${folder}/text.txt`, TEXT);
  return `${folder}/text.txt`;
}

needing(
  ["mpi"],
  "mpi: two ranks train the model of one process to the byte, three go on with it, and two evaluate it",
  () =>
    withFolder(async (folder) => {
      const train = [
        "train",
        "--data",
        textIn(folder),
        ...MODEL,
        "--threads",
        "1",
        "--batch",
        "2",
        "--accumulate",
        "2",
        "--steps",
        "4",
        "--json",
      ];
      const [one, two] = await Promise.all([run(...train, "--out", `${folder}/one`), together(2, ...train, "--out", `${folder}/two`)]);
      assertEquals([one.code, two.code], [0, 0], two.err);
      assertEquals(Deno.readFileSync(`${folder}/two/model.safetensors`), Deno.readFileSync(`${folder}/one/model.safetensors`));
      const starts = two.events.filter(({ event }) => event === "start");
      assertEquals(starts.map(({ processes }) => processes), [{ count: 2, wire: "f32" }], "the first alone reports");
      const exchange = two.events.find(({ event }) => event === "exchange")! as Record<string, number>;
      assertEquals(exchange.steps, 4);
      assert(exchange.milliseconds > 0 && exchange.left > 0 && exchange.hidden >= 0 && exchange.hidden < 1);
      const results = (ran: Ran) => ran.events.find(({ event }) => event === "end")!.results as { bits: number; tokens: number }[];
      const score = ["evaluate", `${folder}/two`, "--min-context", "0,20", "--backend", "wasm", "--json"];
      const resume = ["train", "--resume", `${folder}/two`, "--steps", "6", "--batch", "4", "--backend", "wasm", "--json"];
      const [alone, shared] = [await run(...score), await together(2, ...score)];
      results(shared).forEach(({ bits, tokens }, at) => {
        assertAlmostEquals(bits, results(alone)[at].bits, 1e-9);
        assertEquals(tokens, results(alone)[at].tokens);
      });
      const three = await together(3, ...resume, "--wire", "f16", "--muon", "shared");
      assertEquals(three.code, 0, three.err);
      assertEquals(loadRun(`${folder}/two`).step, 6);
    }),
);

/** The process of mpirun's that has a rank. */
function processOf(parent: number, rank: number): number {
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const [, ppid] = /^\d+ \(.*\) \S (\d+)/.exec(Deno.readTextFileSync(`/proc/${name}/stat`))!;
      if (Number(ppid) === parent && Deno.readTextFileSync(`/proc/${name}/environ`).includes(`OMPI_COMM_WORLD_RANK=${rank}\0`)) {
        return Number(name);
      }
    } catch { /* It has just ended. */ }
  }
  throw new Error(`no process of rank ${rank}`);
}

needing(
  ["mpi"],
  "mpi: a rank that is killed ends the run within seconds, with its number and why, and its last save is whole",
  () =>
    withFolder(async (folder) => {
      const out = `${folder}/run`,
        args = [
          "train",
          "--data",
          textIn(folder),
          ...MODEL,
          "--batch",
          "2",
          "--steps",
          "20000",
          "--eval-every",
          "100",
          "--out",
          out,
          "--json",
        ];
      const child = ranks([2, ...args]).spawn(), err = new Response(child.stderr).text();
      let killed = 0;
      for await (const line of lines(child.stdout)) {
        if (killed === 0 && line.includes(`"saved"`)) {
          killed = performance.now();
          Deno.kill(processOf(child.pid, 1), "SIGKILL");
        }
      }
      const { code } = await child.status;
      // Without that rank the others would wait for ever.
      assert(killed > 0 && performance.now() - killed < 60_000, `${performance.now() - killed} ms`);
      assert(code !== 0);
      assertMatch(await err, /rank 1 .*exited on signal 9/s);
      assert(loadRun(out).step > 0);
    }),
);

async function* lines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}

needing(
  ["mpi"],
  "mpi: ranks that are not about the same, or have too few sequences, end before the first step",
  () =>
    withFolder(async (folder) => {
      const args = ["train", "--data", textIn(folder), ...MODEL, "--batch", "2", "--steps", "4", "--out", `${folder}/run`];
      const { code, stdout, stderr } = await ranks([1, ...args], [1, ...args, "--lr", "0.5"]).output(), other = ran(code, stdout, stderr);
      assertEquals(code, 1);
      assertStringIncludes(
        other.err.replace(/\s+/g, " "),
        "Cannot train together: rank 1 has another set of training constants than rank 0",
      );
      const few = await together(3, ...args);
      assertEquals(few.code, 2);
      assertStringIncludes(few.err.replace(/\s+/g, " "), "Cannot train on 3 processes: batch is 2 and accumulate 1");
    }),
);

Deno.test("mpi: without Open MPI the message says what to install", async () => {
  const says = async (library: string, text: string) => {
    Deno.env.set("LONGSTRIDE_MPI", library);
    try {
      const { code, err } = await answer("train", "--distributed", "mpi");
      assertEquals(code, 1);
      assertStringIncludes(err.replace(/\s+/g, " "), text);
    } finally {
      Deno.env.delete("LONGSTRIDE_MPI");
    }
  };
  await says("/nowhere/libmpi.so", "install Open MPI (Debian, Ubuntu: apt install openmpi-bin");
  if (Deno.build.os === "linux") await says("libc.so.6", "libc.so.6 is not Open MPI's; install");
  const { code, err } = await answer("train", "--wire", "f16");
  assertEquals(code, 2);
  assertStringIncludes(err, "Cannot use --wire without several processes");
});
