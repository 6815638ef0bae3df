/**
 * Output that goes away, and signals that come together: the work goes on or is saved, and the exit code tells.
 *
 * Plan. Each command with its stdout closed after the first bytes, and on a device that is always full: those that make files make all
 * of them and exit with 1, the others end, by 0 where the reader has left as `head` does. Signals: a closed terminal saves, unless it is
 * ignored as by `nohup`; two different ones at once are one stop.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { loadRun } from "../cli/run_folder.ts";
import { Stopper } from "../cli/signals.ts";
import { answer, command, MAIN, run } from "./commands.ts";
import { until } from "./until.ts";

const folder = Deno.makeTempDirSync({ prefix: "longstride-output-" }), at = (name: string) => join(folder, name);
Deno.writeTextFileSync(at("t.txt"), "It was the best of times, it was the worst of times.\n".repeat(80));
const MODEL = "--n-ctx 32 --layers 2 --heads 2 --d-model 16 --d-ff 32 --d-qk 16 --stride 8 --batch 2 --backend wasm --threads 1".split(" ");
const train = (out: string, steps: number, ...more: string[]) => [
  ...["train", "--data", at("t.txt"), "--out", at(out), "--steps", String(steps), ...MODEL, ...more],
];

/** Runs it and leaves its stdout after the first bytes that come. */
async function left(args: string[]): Promise<{ code: number; err: string }> {
  const child = command(args).spawn(), reader = child.stdout.getReader(), err = new Response(child.stderr).text();
  await reader.read();
  await reader.cancel();
  return { code: (await child.status).code, err: await err };
}

/** Runs it with stdout on a device that is always full. */
async function full(args: string[]): Promise<{ code: number; err: string }> {
  const script = `"$0" run -A "$@" > /dev/full`, words = [Deno.execPath(), MAIN, ...args];
  const { code, stderr } = await new Deno.Command("bash", { args: ["-c", script, ...words], stdin: "null", stderr: "piped" }).output();
  return { code, err: new TextDecoder().decode(stderr) };
}

const ENDED = { left: "nobody reads it any more", full: "the disk is full" } as const, noFull = Deno.build.os !== "linux";

for (const [how, start] of [["left", left], ["full", full]] as const) {
  for (const json of [[], ["--json"]]) {
    Deno.test({ name: `output: ${how}: train ${json} goes on and saves`, ignore: how === "full" && noFull }, async () => {
      const name = `${how}${json}`, { code, err } = await start(train(name, 400, ...json));
      assertEquals([code, loadRun(at(name)).step], [1, 400], err);
      assertEquals(err.split("\n").length, 3, err);
      assertStringIncludes(
        err,
        `Cannot write to stdout: ${ENDED[how]}; the run goes on and saves as before.\nThe run is done and saved in `,
      );
    });
  }
  Deno.test(
    { name: `output: ${how}: what makes files makes them all, what only prints ends`, ignore: how === "full" && noFull },
    async () => {
      if (how === "left") assertEquals((await run(...train("model", 2))).code, 0);
      const lasts = async (says: string, ...args: string[]) => {
        const { code, err } = await start(args);
        assertEquals(code, 1, err);
        assertStringIncludes(err, says);
      };
      await lasts(
        "the pictures are drawn all the same.\nThe pictures are in",
        ...["maps", at("model"), "--prompt", "It was", "--backend", "wasm", "--out", at(`maps-${how}`)],
      );
      assertEquals([...Deno.readDirSync(at(`maps-${how}`))].length, 10);
      await lasts("numbers compared, 0 failed; what was printed is incomplete", "verify", "--backend", "wasm");
      for (const args of [["sample", at("model"), "--length", "3000"], ["evaluate", at("model"), "--json"], ["layout"], ["--help"]]) {
        const { code, err } = await start([...args, ...args.length > 1 ? ["--backend", "wasm"] : []]);
        assertEquals(code, how === "left" ? 0 : 1, `${args}: ${err}`);
        if (how === "full") assertMatch(err, /(^|\n)Cannot write to stdout: the disk is full\n$/);
        assert(!/Uncaught|\bat .*\.ts:/.test(err), err);
      }
    },
  );
}

/** Starts training with a shell's prefix, sends signals one right after another once it reports, and waits for the end. */
async function signalled(name: string, prefix: string, ...signals: Deno.Signal[]): Promise<{ code: number; out: string }> {
  const args = ["-c", `${prefix} exec "$0" run -A "$@"`, Deno.execPath(), MAIN, ...train(name, 600, "--json")];
  const child = new Deno.Command("bash", { args, stdin: "null", stdout: "piped", stderr: "null" }).spawn();
  let out = "", sent = false;
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    out += text;
    if (sent || !out.includes(`"event":"progress"`)) continue;
    for (const signal of signals) child.kill(signal);
    sent = true;
  }
  return { code: (await child.status).code, out };
}

for (const [first, second, code] of [["SIGHUP", undefined, 129], ["SIGINT", "SIGTERM", 130], ["SIGTERM", "SIGHUP", 143]] as const) {
  Deno.test({ name: `output: ${first}${second ? `, ${second} at once` : ""} saves`, ignore: Deno.build.os === "windows" }, async () => {
    const name = `${first}-${second}`, done = await signalled(name, "", ...[first, second].filter((one) => one !== undefined));
    assertStringIncludes(done.out, `"event":"stopped"`);
    const { step } = loadRun(at(name));
    // Two signals reach a process in no order.
    assert(step > 0 && step < 600 && (done.code === code || second !== undefined && [129, 130, 143].includes(done.code)), `${done.code}`);
  });
}

Deno.test("output: the second signal of one stop may come late where a save holds the thread", async () => {
  const { addSignalListener, removeSignalListener, exit } = Deno, handlers = new Map<Deno.Signal, () => void>();
  let stops = 0, exited: number | undefined;
  Object.assign(Deno, {
    addSignalListener: (signal: Deno.Signal, handler: () => void) => handlers.set(signal, handler),
    removeSignalListener: (signal: Deno.Signal) => handlers.delete(signal),
    exit: (code: number) => exited = code,
  });
  try {
    const stopper = new Stopper(false, () => stops++), interrupt = handlers.get("SIGINT")!;
    interrupt();
    for (const end = performance.now() + 600; performance.now() < end;);
    interrupt();
    assertEquals([stops, exited, stopper.signal.aborted], [1, undefined, true]);
    // Another stop.
    assertEquals(await until(() => (interrupt(), exited)), 130);
    stopper.close();
    assertEquals(handlers.size, 0);
  } finally {
    Object.assign(Deno, { addSignalListener, removeSignalListener, exit });
  }
});

Deno.test({ name: "output: a hang-up that nohup ignores stays ignored", ignore: noFull }, async () => {
  const { code } = await signalled("nohup", `trap "" HUP;`, "SIGHUP");
  assertEquals([code, loadRun(at("nohup")).step], [0, 600]);
});

Deno.test({ name: "output: a limit on files' sizes is an error that leaves nothing behind", ignore: noFull }, async () => {
  // 32 MiB: above what the runtime keeps for itself, below the 34 of the model.
  const script = `ulimit -f 32768; exec "$0" run -A --no-code-cache "$@"`,
    words = [Deno.execPath(), MAIN, ...train("limited", 1, "--d-model", "864", "--d-qk", "864", "--d-ff", "864")];
  const begin = () => new Deno.Command("bash", { args: ["-c", script, ...words], stdin: "null", stdout: "null" }).output();
  let { code, stderr } = await begin();
  // The log of a database that the runtime keeps grows beyond it where many processes write there at once, and ends the process before the
  // program has begun.
  for (let tries = 0; code === 128 + constants.signals.SIGXFSZ && tries < 3 && !existsSync(at("limited")); tries++) {
    ({ code, stderr } = await begin());
  }
  const err = new TextDecoder().decode(stderr);
  assertEquals(code, 1, err);
  assertMatch(err, /Cannot write .*limited: File too large.*; no save of the run is there/);
  assertEquals([...Deno.readDirSync(at("limited"))].map(({ name }) => name), [".lock"]);
});

Deno.test("output: sample, evaluate and maps say that the weights are not those of the run", async () => {
  const path = at("model/model.safetensors"), bytes = Deno.readFileSync(path), changed = bytes.slice();
  changed[changed.length - 4] ^= 1;
  for (const [weights, says] of [[changed, true], [bytes, false]] as const) {
    Deno.writeFileSync(path, weights);
    for (const args of [["sample", "--length", "3"], ["evaluate", "--data", at("t.txt"), "--json"], ["maps", "--prompt", "It", "--json"]]) {
      const { code, err } = await answer(args[0], at("model"), ...args.slice(1), "--backend", "wasm");
      assertEquals([code, err.includes(`${path} is not the one that the run saved (its state is of step 2)`)], [0, says], err);
    }
  }
});

Deno.test.afterAll(() => Deno.removeSync(folder, { recursive: true }));
