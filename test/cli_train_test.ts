/**
 * `train` as a stranger uses it, in processes of its own where it prints for people or is stopped.
 *
 * Plan. Its output, for people and as JSON; stopping by signal and going on bit-exactly; bad input gets one readable message, exit code 1,
 * and leaves every file as it was.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { program } from "../cli/program.ts";
import { answer, command, failed, files, type Ran, ran, run } from "./commands.ts";
import { at, folder, TINY, tiny } from "./tiny.ts";

/** Runs and sends a signal when a line of stdout holds `when`. */
async function interrupted(signal: Deno.Signal, when: string, ...args: string[]): Promise<Ran> {
  const child = command(args).spawn(), pieces: Uint8Array[] = [], errors = new Response(child.stderr).bytes();
  let seen = "", sent = false;
  for await (const piece of child.stdout) {
    pieces.push(piece);
    seen += new TextDecoder().decode(piece);
    if (!sent && seen.includes(when)) {
      // Twice, as from a terminal through `deno task`: that is one stop.
      child.kill(signal);
      await new Promise((resume) => setTimeout(resume, 2));
      child.kill(signal);
      sent = true;
    }
  }
  const { code } = await child.status;
  return ran(code, await new Blob(pieces as BlobPart[]).bytes(), await errors);
}

Deno.test("cli: train prints for people, plainly where there is no terminal, and fills the run folder", async () => {
  const { code, out, err } = await run(...tiny("people", "--steps", "30", "--batch", "4"));
  assertEquals([code, err], [0, ""]);
  // deno-lint-ignore no-control-regex
  assert(!/[\r\x1b]/.test(out), "no control characters");
  assertMatch(out, /^Data +text.txt: 4,240 bytes, the last 212 held out$/m);
  assertMatch(out, /^Held out +order-0 entropy \d\.\d{3}, gzip −9 \d\.\d{3} bits\/byte$/m);
  assertMatch(out, /^Model +fixed l 8 c 2, n_ctx 32, 2 layers of 16, 2 heads: [\d,]+ parameters$/m);
  assertMatch(out, /^Memory .* activations \(.* with --recompute\)$/m);
  assertMatch(out, /^Engine +wasm: .*\(WASM was asked for\)$/m);
  assertMatch(out, /^step 30\/30 {2}loss \d\.\d+ {2}held-out \d\.\d+ bits\/byte {2}[\d,]+ tokens\/s$/m);
  assertMatch(out, /Held-out bits\/byte\n {2}this model +\d\.\d{3}\n {2}gzip −9 +\d\.\d{3}\n {2}order-0 entropy +\d\.\d{3}/);
  const made = files(at("people"));
  assertEquals([...made.keys()].sort(), [
    ".lock",
    "best/config.json",
    "best/model.safetensors",
    "best/state-30/config.json",
    "best/state-30/optimizer.safetensors",
    "best/state-30/run.json",
    "config.json",
    "log.csv",
    "loss.svg",
    "model.safetensors",
    "recipe.json",
    "samples.txt",
    "state-30/config.json",
    "state-30/optimizer.safetensors",
    "state-30/run.json",
  ]);
  assertMatch(made.get("loss.svg")!, /^<svg [^]*<\/svg>\n$/);
  assertMatch(made.get("samples.txt")!, /^=== step 30, prompt "", seed 30$/m);
});

Deno.test("cli: train --json gives one object per line", async () => {
  const { code, out, events } = await answer(...tiny("json", "--steps", "20", "--json"));
  assertEquals(code, 0);
  assertEquals(out.trim().split("\n").length, events.length);
  assertEquals([...new Set(events.map(({ event }) => event))], ["start", "progress", "saved", "sample", "end"]);
  const { order0, gzip, engine, data, memory } = events[0] as Record<string, { bytes: number; parameters: number }>;
  assert(Number(order0) > 3 && Number(gzip) > 0.5 && data.bytes === 4240 && memory.parameters > 5000);
  assertEquals(engine as unknown, "wasm");
  const evaluated = events.filter(({ event, heldOut }) => event === "progress" && heldOut !== undefined);
  assertEquals(evaluated.map(({ step }) => step), [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
  const { heldOut, step } = events.at(-1)!;
  assertEquals([step, heldOut], [20, evaluated.at(-1)!.heldOut]);
});

for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
  Deno.test(`cli: ${signal} saves and says how to go on, and going on is bit-exact`, async () => {
    // 600 steps take seconds; the signal comes after the first report, which is by time where a machine is slow.
    const name = signal.toLowerCase(), steps = ["--steps", "600", "--seed", "7"];
    const stopped = await interrupted(signal, `"event":"progress"`, ...tiny(name, ...steps, "--json"));
    assertEquals([stopped.code, stopped.err], [code, ""]);
    const last = stopped.events.at(-1)!;
    assertEquals([last.event, last.signal], ["stopped", signal]);
    assert((last.step as number) > 0 && (last.step as number) < 600, `stopped after ${last.step}`);
    assertEquals(last.resume, `${program()} train --resume ${at(name)} --data ${at("text.txt")} --backend wasm --threads 1`);
    // The words it prints are run as a shell would.
    const words = String(last.resume).slice(program().length + 1).split(" ").map((word) => word.replace(/^'(.*)'$/, "$1"));
    const resumed = await answer(...words, "--json");
    assertEquals([resumed.code, resumed.err], [0, ""]);
    assertEquals([resumed.events[0].step, resumed.events[0].bitExact], [last.step, true]);
    const straight = await answer(...tiny(`${name}-straight`, ...steps, "--json"));
    assertEquals(resumed.events.at(-1)!.heldOut, straight.events.at(-1)!.heldOut);
    for (const file of ["model.safetensors", "state-600/optimizer.safetensors"]) {
      assert(files(at(name)).get(file) === files(at(`${name}-straight`)).get(file), `${file} differs`);
    }
  });
}

Deno.test("cli: a second Ctrl-C quits at once", async () => {
  // A step of this takes seconds; nothing is saved before the last.
  const args = tiny(
    "twice",
    "--steps",
    "9",
    "--n-ctx",
    "2000",
    "--d-model",
    "128",
    "--layers",
    "12",
    "--pattern",
    "dense",
    "--batch",
    "2",
    "--held-out",
    "2000",
    "--eval-every",
    "1",
    "--save-every",
    "9",
    "--no-samples",
  );
  const child = command(args).spawn(), reader = child.stdout.getReader();
  let seen = "", isOver = false;
  const says = async (text: string) => {
    while (!seen.includes(text)) {
      const { value, done } = await reader.read();
      assert(!done, `it never said "${text}": ${seen}`);
      seen += new TextDecoder().decode(value);
    }
    return performance.now();
  };
  // In the midst of the second step, which takes about as long as the first.
  const took = -await says("Run ") + await says("step 1/9");
  await new Promise((resume) => setTimeout(resume, took / 8));
  child.kill("SIGINT");
  await says("Stopping after this step");
  void child.status.then(() => isOver = true);
  while (!isOver) {
    await new Promise((resume) => setTimeout(resume, 600));
    if (!isOver) child.kill("SIGINT");
  }
  const { code } = await child.status;
  await reader.cancel();
  await child.stderr.cancel();
  assertEquals(code, 130);
  assertEquals([...files(at("twice")).keys()].sort(), [".lock", "log.csv"]);
});

Deno.test("cli: a stop for people says so", async () => {
  const { code, out } = await interrupted("SIGTERM", "step ", ...tiny("stopped", "--steps", "600"));
  assertEquals(code, 143);
  assertMatch(
    out,
    /Stopping after this step; once more to quit at once without saving\.\n(step .*\n)?Stopped after step \d+ of 600 and saved\. To go on:\n\n {2}\S.* train --resume /,
  );
});

Deno.test("cli: bad input to train is one message, exit code 1, and no run folder", async () => {
  Deno.writeTextFileSync(at("empty.txt"), "");
  Deno.writeTextFileSync(at("short.txt"), "a".repeat(63));
  Deno.writeTextFileSync(at("file"), "");
  Deno.writeTextFileSync(at("odd.json"), JSON.stringify({ ...TINY, attention: { pattern: "stride", stride: 8 } }));
  Deno.writeTextFileSync(at("proto.json"), JSON.stringify(TINY).replace("{", `{"__proto__": {}, `));
  const cases: [string[], ...string[]][] = [
    [tiny("bad", "--n-ctx", "4000"), "text.txt: it has 4240 bytes, it must have at least 8000", "give more data or a smaller n_ctx"],
    [tiny("bad", "--held-out", "5"), "its bytes must be a whole number from 32 to 4208, found 5"],
    [tiny("bad", "--data", at("empty.txt")), "empty.txt: it is empty"],
    [tiny("bad", "--data", at("short.txt")), "short.txt: it has 63 bytes, it must have at least 64"],
    [tiny("bad", "--data", at("nowhere.txt")), "nowhere.txt: there is no such file"],
    [tiny("bad", "--config", at("nowhere.json")), "nowhere.json: there is no such file"],
    [tiny("bad", "--config", at("odd.json")), `odd.json`, "Cannot use the attention: pattern must be one of dense"],
    [tiny("bad", "--config", at("proto.json")), `proto.json`, `unknown field "__proto__"`],
    [tiny("bad", "--config", at("text.txt")), `it is not valid JSON`],
    [tiny("file/run"), "as a run folder: part of the path is a file; choose another folder"],
    [["train", "--resume", at("nowhere")], "nowhere"],
    [["train", "--resume", at("file")], "it holds no model.safetensors"],
  ];
  await Promise.all(cases.map(async ([args, ...includes]) => failed(await answer(...args), 1, ...includes)));
  assert(!Array.from(Deno.readDirSync(folder)).some(({ name }) => name === "bad"), "a run folder was made");
});

Deno.test("cli: a resume that does not fit is an error and leaves every file as it was", async () => {
  assertEquals((await answer(...tiny("kept", "--steps", "4"))).code, 0);
  const before = files(at("kept")), resume = ["train", "--resume", at("kept"), "--data", at("text.txt"), "--backend", "wasm"];
  Deno.writeTextFileSync(at("other.txt"), "another text. ".repeat(400));
  const cases: [string[], number, ...string[]][] = [
    [
      [...resume, "--n-ctx", "64", "--steps", "9"],
      1,
      "n_ctx 32 → 64 would change 1 of its weights, embed.position.0.weight from [4, 16] to [8, 16]",
    ],
    [[...resume, "--preset", "text", "--steps", "9"], 1, "n_layer 2 → 4"],
    [[...resume, "--optimizer", "adamw", "--steps", "9"], 1, "with the optimizer adamw: the run has the moments of muon"],
    [resume, 1, "all 4 of its steps are done; give more steps, for example 8"],
    [[...resume.slice(0, 3), "--steps", "9", "--data", at("other.txt")], 1, "Cannot resume on other data", "give the same data"],
    [[...resume, "--out", at("x")], 2, "Cannot use --out with --resume"],
    [tiny("kept"), 1, "it holds one already; --resume "],
  ];
  for (const [args, code, ...includes] of cases) failed(await answer(...args), code, ...includes);
  assertEquals(files(at("kept")), before);
  // The same configuration by name is no difference, and other constants may change.
  const { code, events } = await answer(...resume, "--config", at("config.json"), "--steps", "6", "--lr", "0.0001", "--json");
  assertEquals(code, 0);
  assertEquals([events[0].bitExact, events[0].changes], [false, ["steps 4 → 6", "lr 0.001 → 0.0001"]]);
  const other = await answer("train", "--resume", at("kept"), "--data", at("text.txt"), "--backend", "reference", "--steps", "7");
  assertEquals(other.code, 0);
  assertStringIncludes(other.out, "The run was trained on wasm so far; on reference it goes on, but not bit for bit.");
});

Deno.test("cli: gradients that are not finite stop the run and say how to go on", async () => {
  const ran = await answer(
    ...tiny("diverged", "--steps", "200", "--lr", "100", "--optimizer", "adamw", "--warmup", "0", "--clip", "0", "--dropout", "0"),
  );
  failed(ran, 1, "steps were not finite and none was applied", "with a lower lr than 100");
  assert(!/NaN|Infinity/.test(files(at("diverged")).get("loss.svg") ?? ""));
});

Deno.test("cli: WebGPU that is not there is an error that says what to do", async () => {
  // A back end of another system: no adapter can answer.
  const env = { DENO_WEBGPU_BACKEND: Deno.build.os === "darwin" ? "dx12" : "metal" };
  const { code, stdout, stderr } = await command(tiny("gpu", "--backend", "webgpu"), env).output();
  failed(ran(code, stdout, stderr), 1, "Cannot use WebGPU", "use the wasm backend");
  const auto = await command(tiny("auto", "--backend", "auto", "--steps", "2"), env).output();
  assertEquals(auto.code, 0);
  assertMatch(new TextDecoder().decode(auto.stdout), /^Engine +wasm: .*\(no hardware WebGPU: /m);
});

Deno.test.afterAll(() => Deno.removeSync(folder, { recursive: true }));
