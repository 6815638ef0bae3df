/**
 * A run as it is kept: its files and their order, its curve, its data found again, what it may go on as; and the command line's uses of it.
 *
 * Plan. The files of a save by the generator alone, in memory, read back from there; constants fitted; then the command line from another
 * folder than the run began in, with a model at an address, and what its first event says.
 */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { join } from "node:path";
import { join as together } from "../src/data/reader.ts";
import { CheckpointError, ConfigError } from "../src/base/errors.ts";
import { sha256 } from "../src/base/digest.ts";
import { TRAIN_DEFAULTS } from "../src/files/train_config.ts";
import { fitPhases, fitWarmup, stepsPerEpoch } from "../src/run/fit.ts";
import { type FileContent, readRun, readTrained, runFiles, type RunReader, statesIn } from "../src/run/folder.ts";
import { checkResume } from "../src/run/resume.ts";
import { Run } from "../src/run/run.ts";
import { failed, MAIN, ran, run } from "./commands.ts";
import { checkpointAt, MODEL, stepOf } from "./files_saver.ts";

/** A save in memory, and the names in the order in which they came. */
async function saved(step: number, into = new Map<string, FileContent>()): Promise<{ names: string[]; files: Map<string, FileContent> }> {
  const making = runFiles(checkpointAt(step), statesIn(foldersOf(into))), names: string[] = [];
  for (let next = making.next(); !next.done;) {
    const { name, chunks, isLast } = next.value, bytes = together([...chunks]), digest = await sha256(bytes);
    assertEquals(isLast, name === "model.safetensors");
    names.push(name);
    into.set(name, { bytes, sha256: digest });
    next = making.next(digest);
  }
  return { names, files: into };
}

const foldersOf = (files: ReadonlyMap<string, unknown>) => [
  ...new Set([...files.keys()].filter((name) => name.includes("/")).map((name) => name.split("/")[0])),
];
const readerOf = (files: ReadonlyMap<string, FileContent>): RunReader => ({
  path: "memory",
  locate: (name) => `memory/${name}`,
  folders: () => foldersOf(files),
  read: (name) => files.get(name),
});

Deno.test("run: the files of a save come with the model first, and are read back from any place", async () => {
  const { names, files } = await saved(5);
  assertEquals(names, [
    "model.safetensors",
    "state-5/optimizer.safetensors",
    "state-5/config.json",
    "state-5/run.json",
    "config.json",
  ]);
  assertEquals(stepOf(readRun(readerOf(files))), 5);
  // The same step again gets a folder of its own; the state of the model before is no longer anyone's.
  const again = await saved(5, files);
  assertEquals(again.names[1], "state-5.2/optimizer.safetensors");
  await saved(7, files);
  assertEquals([statesIn(foldersOf(files)), stepOf(readRun(readerOf(files)))], [["state-7", "state-5.2", "state-5"], 7]);
  // Any one file missing: the model is read as long as it is there, the run is not.
  for (const name of [...files.keys()].filter((name) => !name.startsWith("state-5") && name !== "state-7/config.json")) {
    const less = new Map(files);
    less.delete(name);
    assertThrows(() => readRun(readerOf(less)), CheckpointError, name === "state-7/run.json" ? "found state of step 5" : "no such file");
    if (name.includes("/")) assertEquals(readTrained(readerOf(less)).model.weights.get("norm.bias")![0], 7);
  }
  assertEquals(statesIn(["state-", "state-1x", "state-10", "state-9", "other"]), ["state-10", "state-9"]);
});

Deno.test("run: the curve keeps its evaluations, and a stop at a step that was evaluated keeps that", () => {
  const { config, train, data } = checkpointAt(1), kept = new Run({ config, train, data, engine: "wasm" });
  for (let step = 1; step <= 9000; step++) kept.report({ step, loss: step, heldOut: step % 900 === 0 ? step : undefined });
  assert(kept.history.length <= 2000);
  assertEquals(
    kept.history.filter(({ heldOut }) => heldOut !== undefined).map(({ step }) => step),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((i) => 900 * i),
  );
  kept.report({ step: 9000, loss: 1, heldOut: undefined });
  assertEquals([kept.heldOut, kept.history.at(-1)!.step, kept.history.at(-2)!.step < 9000], [9000, 9000, true]);
  assertEquals(new Run(kept.options, kept.history).heldOut, 9000);
});

Deno.test("run: a warm-up is at most a tenth, phases follow the context and the batch, an epoch is the data once", () => {
  assertEquals(fitWarmup({ steps: 95, warmup: 100 }).warmup, 10);
  assertEquals(fitWarmup({ steps: 5000 }).warmup, TRAIN_DEFAULTS.warmup);
  const phases = [{ until: 0.2, n_ctx: 16, batch: 8 }, { until: 0.5, n_ctx: 64, batch: 2 }];
  assertEquals(fitPhases({ batch: 4, phases }, { n_ctx: 64 }, 2).phases, [{ until: 0.2, n_ctx: 16, batch: 16 }]);
  assertEquals(stepsPerEpoch(MODEL, { steps: 10, batch: 2, accumulate: 3 }, 64 * 6 * 25), 25);
  // Half of the steps see half as much.
  assertEquals(stepsPerEpoch(MODEL, { steps: 10, phases: [{ until: 0.5, n_ctx: 32 }] }, 48 * 25), 25);
});

Deno.test("run: what a run may go on as", () => {
  const before = checkpointAt(3), { config, train } = before;
  assertEquals(checkResume(before, { config, train: { ...train, lr: 0.5 } }, "a"), ["lr 0.001 → 0.5"]);
  assertEquals(checkResume(before, { config, train }, "a"), []);
  const dense = { ...config, attention: { pattern: "dense" as const } };
  assertEquals(checkResume(before, { config: dense, train }, "a"), ["attention fixed l 8 c 2 → dense"]);
  assertThrows(
    () => checkResume(before, { config: { ...config, n_ctx: 128 }, train }, "a"),
    CheckpointError,
    "n_ctx 64 → 128 would change 1",
  );
  assertThrows(() => checkResume(before, { config, train: { ...train, optimizer: "muon" } }, "a"), CheckpointError, "moments of adamw");
  assertThrows(() => checkResume(before, { config, train: { ...train, steps: 3 } }, "a"), ConfigError, "for example 6");
});

Deno.test("run: the command line finds a run's data from another folder, and samples a model at an address", async () => {
  const folder = await Deno.makeTempDir(), elsewhere = join(folder, "elsewhere");
  /** The command line in a folder. */
  const within = async (cwd: string, ...args: string[]) => {
    const command = new Deno.Command(Deno.execPath(), { args: ["run", "-A", MAIN, ...args], cwd, env: { NO_COLOR: "1" }, stdin: "null" });
    const { code, stdout, stderr } = await command.output();
    return ran(code, stdout, stderr);
  };
  const small = "--n-ctx 32 --layers 2 --heads 2 --d-model 16 --d-ff 32 --d-qk 16 --stride 8 --batch 2".split(" ");
  const wasm = ["--backend", "wasm", "--threads", "1"];
  const server = Deno.serve({ port: 0, onListen() {} }, async (request) => {
    const file = join(folder, new URL(request.url).pathname);
    return await Deno.readFile(file).then((bytes) => new Response(bytes), () => new Response("", { status: 404 }));
  });
  try {
    Deno.mkdirSync(elsewhere);
    Deno.writeTextFileSync(join(folder, "t.txt"), "It was the best of times, it was the worst of times.\n".repeat(80));
    const begun = await within(folder, "train", "--data", "t.txt", "--out", "kept", "--steps", "4", "--json", ...small, ...wasm);
    assertEquals([begun.code, begun.err], [0, ""]);
    const [start] = begun.events;
    assertEquals((start.data as { source: { path: string } }).source.path, join(Deno.realPathSync(folder), "t.txt"));
    assertEquals([start.reach, Math.round(start.stepsPerEpoch as number)], [{ unreached: { query: 13, key: 0 } }, 63]);
    const resumed = await within(elsewhere, "train", "--resume", "../kept", "--steps", "6", "--json", ...wasm);
    assertEquals([resumed.code, resumed.events.at(-1)?.step], [0, 6], resumed.err);
    const evaluated = await within(elsewhere, "evaluate", "../kept", "--json", ...wasm);
    assertEquals([evaluated.code, evaluated.events.at(-1)?.same], [0, true], evaluated.err);
    const address = `http://127.0.0.1:${server.addr.port}/kept`, length = ["--length", "12", "--seed", "3"];
    const near = await within(folder, "sample", "kept", ...length, ...wasm);
    for (const named of [address, `${address}/`, `${address}/model.safetensors`]) {
      const far = await within(elsewhere, "sample", named, ...length, ...wasm);
      assertEquals([far.code, far.out], [0, near.out], far.err);
    }
    failed(await run("sample", `${address}/none`, ...wasm), 1, "Cannot fetch");
    failed(await run("evaluate", address, ...wasm), 1, "does not say what it was trained on; give --data FILE");
    const whole = await within(elsewhere, "evaluate", address, "--data", "../t.txt", "--limit", "200", "--json", ...wasm);
    assertEquals([whole.code, whole.events.at(-1)?.part], [0, "all"], whole.err);
    assertStringIncludes((await within(elsewhere, "train", "--resume", "../kept", "--steps", "6")).err, "all 6 of its steps are done");
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
});
