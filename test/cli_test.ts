/**
 * The command line as a stranger uses it: in processes of its own, by what they print, write and exit with.
 *
 * Plan. Help and usage errors; each command's output, for people and as JSON; stopping by signal and going on bit-exactly;
 * bad input gets one readable message, exit code 1, and leaves every file as it was.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { program, quote } from "../cli/program.ts";
import { command, failed, files, MAIN, type Ran, ran, run } from "./commands.ts";

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

const TINY = {
  model_type: "sparse_transformer",
  n_ctx: 32,
  n_layer: 2,
  n_head: 2,
  d_model: 16,
  d_ff: 32,
  d_qk: 16,
  vocab_size: 256,
  dropout: 0.1,
  attention: { pattern: "fixed", stride: 8, c: 2 },
  position: { kind: "attention", stride: 8 },
};

/** A folder with a configuration, and text to train on. */
const folder = Deno.makeTempDirSync({ prefix: "longstride-cli-" });
const at = (name: string) => join(folder, name);
Deno.writeTextFileSync(at("config.json"), JSON.stringify(TINY));
Deno.writeTextFileSync(at("text.txt"), "It was the best of times, it was the worst of times.\n".repeat(80));
const tiny = (out: string, ...more: string[]) => [
  ...["train", "--config", at("config.json"), "--data", at("text.txt"), "--backend", "wasm", "--threads", "1", "--out", at(out)],
  ...more,
];

Deno.test("cli: help of the program and of each command", async () => {
  const all = await run("--help");
  assertEquals(all.code, 0);
  for (const name of ["train", "evaluate", "sample", "maps", "layout", "verify", "tune", "data"]) {
    assertMatch(all.out, new RegExp(`^  ${name} `, "m"));
    const { code, out } = await run(name, "--help");
    assertEquals(code, 0);
    assertStringIncludes(out, `${name} `);
    assertMatch(out, /--json/);
    assertMatch(out, /Examples:/);
    // Lines to copy begin with however this program is called, which may be long.
    for (const line of out.replaceAll(program(), "deno task").split("\n")) assert(line.length <= 100, `${name}: help fits: ${line}`);
  }
  failed(await run(), 2, "Usage:");
});

Deno.test("cli: what cannot be understood is a usage error that names the nearest", async () => {
  const cases: [string[], string][] = [
    [["trian"], `Cannot run "trian": the commands are train, evaluate, sample, maps, layout, verify, tune, data; did you mean train?`],
    [["train", "--step", "3"], `Cannot use "--step": train has no such flag; did you mean --steps?`],
    [["train", "-x"], "flags have two dashes"],
    [["train", "--learning-rate", "3"], `Cannot use "--learning-rate": train has no such flag; it is --lr here`],
    [["train", "--batch-size", "3"], "it is --batch here"],
    [["train", "--max-steps=3"], "it is --steps here"],
    [["sample", "x", "--prompt"], "Cannot use --prompt: it needs a value"],
    [["train", "--steps", "many"], `Cannot use --steps: it must be a whole number from 1 to 2147483647, found "many"`],
    [["train", "--steps"], "Cannot use --steps: it needs a value, --steps N"],
    [["train", "--lr", "-1"], "Cannot use --lr: it must be a number from 1e-12 to 100, found -1"],
    [["train", "--out", "--json"], "Cannot use --out: it needs a value"],
    [
      ["train", "--pattern", "stridden"],
      `it must be one of dense, local, strided, fixed, longformer, bigbird, blocks, found "stridden"; did you mean strided?`,
    ],
    [["train", "--backend", "gpu"], "it must be one of auto, webgpu, wasm, reference"],
    [["train", "--json=yes"], "--json is a switch and takes no value"],
    [["train", "runs/x"], `Cannot use "runs/x": train takes flags only`],
    [["sample"], "Cannot run sample: it needs RUN"],
    [["sample", "a", "b"], `Cannot use "b": sample takes only RUN`],
    [["sample", "a", "--top-p", "2"], "it must be a number above 0 and up to 1, found 2"],
    [["layout", "--preset", "enwik"], "did you mean enwik8?"],
    [["layout", "--preset", "text", "--config", at("config.json")], "Cannot use --preset and --config together"],
    [["tune", "--preset", "text", "--config", at("config.json")], "Cannot use --preset with --config"],
    [["layout", "--pattern", "dense", "--stride", "4"], "Cannot use --stride with pattern dense: it has no sizes"],
    [tiny("bad", "--lr", "1000"), "Cannot use --lr: it must be a number from 1e-12 to 100, found 1000"],
    [tiny("bad", "--phases", "[{"), "Cannot use --phases: "],
    // 4,028 bytes to train on in steps of 2 × 32.
    [tiny("bad", "--batch", "2", "--epochs", "2"), "63 of them are one epoch of text.txt; --steps 126 is as many"],
  ];
  await Promise.all(cases.map(async ([args, includes]) => failed(await run(...args), 2, includes)));
});

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
  assertMatch(out, /^step 30\/30 {2}loss \d\.\d+ {2}held-out \d\.\d+ bits\/byte {2}[\d,]+ tokens\/s {2}0:00 left$/m);
  assertMatch(out, /Held-out bits\/byte\n {2}this model +\d\.\d{3}\n {2}gzip −9 +\d\.\d{3}\n {2}order-0 entropy +\d\.\d{3}/);
  const made = files(at("people"));
  assertEquals([...made.keys()].sort(), [
    ".lock",
    "config.json",
    "loss.svg",
    "model.safetensors",
    "samples.txt",
    "state-30/config.json",
    "state-30/optimizer.safetensors",
    "state-30/run.json",
  ]);
  assertMatch(made.get("loss.svg")!, /^<svg [^]*<\/svg>\n$/);
  assertMatch(made.get("samples.txt")!, /^=== step 30, prompt "", seed 30$/m);
});

Deno.test("cli: train --json gives one object a line", async () => {
  const { code, out, events } = await run(...tiny("json", "--steps", "20", "--json"));
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
    // 600 steps take seconds; the signal comes after the first 60.
    const name = signal.toLowerCase(), steps = ["--steps", "600", "--seed", "7"];
    const stopped = await interrupted(signal, `"event":"progress"`, ...tiny(name, ...steps, "--json"));
    assertEquals([stopped.code, stopped.err], [code, ""]);
    const last = stopped.events.at(-1)!;
    assertEquals([last.event, last.signal], ["stopped", signal]);
    assert((last.step as number) >= 60 && (last.step as number) < 600, `stopped after ${last.step}`);
    assertEquals(last.resume, `${program()} train --resume ${at(name)} --data ${at("text.txt")} --backend wasm --threads 1`);
    // The words it prints are run as a shell would.
    const words = String(last.resume).slice(program().length + 1).split(" ").map((word) => word.replace(/^'(.*)'$/, "$1"));
    const resumed = await run(...words, "--json");
    assertEquals([resumed.code, resumed.err], [0, ""]);
    assertEquals([resumed.events[0].step, resumed.events[0].bitExact], [last.step, true]);
    const straight = await run(...tiny(`${name}-straight`, ...steps, "--json"));
    assertEquals(resumed.events.at(-1)!.heldOut, straight.events.at(-1)!.heldOut);
    for (const file of ["model.safetensors", "state-600/optimizer.safetensors"]) {
      assert(files(at(name)).get(file) === files(at(`${name}-straight`)).get(file), `${file} differs`);
    }
  });
}

Deno.test("cli: a second Ctrl-C quits at once", async () => {
  // A step of this takes seconds.
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
    "8",
    "--held-out",
    "2000",
  );
  const child = command(args).spawn(), reader = child.stdout.getReader();
  let seen = "";
  const until = async (text: string) => {
    while (!seen.includes(text)) seen += new TextDecoder().decode((await reader.read()).value);
  };
  await until("Run ");
  await new Promise((resume) => setTimeout(resume, 1500));
  child.kill("SIGINT");
  await until("Stopping after this step");
  await new Promise((resume) => setTimeout(resume, 600));
  child.kill("SIGINT");
  const { code } = await child.status;
  await reader.cancel();
  await child.stderr.cancel();
  assertEquals(code, 130);
  assertEquals([...files(at("twice")).keys()], [".lock"]);
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
    [tiny("bad", "--stride", "0"), "stride must be a whole number from 1"],
    [tiny("bad", "--c", "9"), "c must be a whole number from 1 to 8, found 9"],
    [tiny("bad", "--heads", "3"), "d_model 16 must be a multiple of n_head 3"],
    [tiny("bad", "--n-ctx", "4000"), "text.txt: it has 4240 bytes, it must have at least 8000", "give more data or a smaller n_ctx"],
    [tiny("bad", "--held-out", "5"), "its bytes must be a whole number from 32 to 4208, found 5"],
    [tiny("bad", "--data", at("empty.txt")), "empty.txt: it is empty"],
    [tiny("bad", "--data", at("short.txt")), "short.txt: it has 63 bytes, it must have at least 64"],
    [tiny("bad", "--data", at("nowhere.txt")), "nowhere.txt: there is no such file"],
    [tiny("bad", "--config", at("nowhere.json")), "nowhere.json: there is no such file"],
    [tiny("bad", "--config", at("odd.json")), `odd.json`, `Cannot use attention pattern "stride": it must be one of dense`],
    [tiny("bad", "--config", at("proto.json")), `proto.json`, `unknown field "__proto__"`],
    [tiny("bad", "--config", at("text.txt")), `it is not valid JSON`],
    [tiny("file/run"), "as a run folder: part of the path is a file; choose another folder"],
    [["train", "--resume", at("nowhere")], "nowhere"],
    [["train", "--resume", at("file")], "it holds no model.safetensors"],
  ];
  await Promise.all(cases.map(async ([args, ...includes]) => failed(await run(...args), 1, ...includes)));
  assert(!Array.from(Deno.readDirSync(folder)).some(({ name }) => name === "bad"), "a run folder was made");
});

Deno.test("cli: a resume that does not fit is an error and leaves every file as it was", async () => {
  assertEquals((await run(...tiny("kept", "--steps", "4"))).code, 0);
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
  for (const [args, code, ...includes] of cases) failed(await run(...args), code, ...includes);
  assertEquals(files(at("kept")), before);
  // The same configuration by name is no difference, and other constants may change.
  const { code, events } = await run(...resume, "--config", at("config.json"), "--steps", "6", "--lr", "0.0001", "--json");
  assertEquals(code, 0);
  assertEquals([events[0].bitExact, events[0].changes], [false, ["steps 4 → 6", "lr 0.001 → 0.0001"]]);
  const other = await run("train", "--resume", at("kept"), "--data", at("text.txt"), "--backend", "reference", "--steps", "7");
  assertEquals(other.code, 0);
  assertStringIncludes(other.out, "The run was trained on wasm so far; on reference it goes on, but not bit for bit.");
});

Deno.test("cli: gradients that are not finite stop the run and say how to go on", async () => {
  const ran = await run(
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

Deno.test("cli: sample streams text; the same seed gives the same", async () => {
  const write = (...more: string[]) => run("sample", at("people"), "--backend", "wasm", "--length", "60", ...more);
  const one = await write("--seed", "3", "--prompt", "It was"),
    again = await write("--seed", "3", "--prompt", "It was"),
    other = await write("--seed", "4");
  assertEquals([one.code, one.out], [0, again.out]);
  assert(one.out.startsWith("It was") && one.out.endsWith("\n") && other.out !== one.out);
  assertMatch(one.err, /keys and values kept: .* of the .* of all 32 positions/);
  assertMatch(one.err, /60 bytes in /);
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(one.out), "control characters are made visible");
  const json = await write("--seed", "3", "--prompt", "It was", "--json");
  const tokens = json.events.filter(({ token }) => token !== undefined);
  assertEquals(tokens.length, 60);
  assertEquals("It was" + json.events.map(({ text }) => text).join("") + "\n", one.out);
  assertEquals((await write("--temperature", "0")).out, (await write("--top-k", "1", "--seed", "9")).out);
});

Deno.test("cli: a run by a file in it, an empty prompt, one longer than the context, and the version", async () => {
  const write = (...more: string[]) =>
    run("sample", join(at("people"), "model.safetensors"), "--backend", "wasm", "--length", "20", ...more);
  const none = await write(),
    empty = await write("--prompt", ""),
    long = await write("--prompt", "It was the best of times, it was the worst");
  assertEquals([none.code, empty.out], [0, none.out]);
  assertEquals([long.code, long.out.startsWith("It was the best of times, it was the worst")], [0, true]);
  const { out } = await run("--version"), { version } = JSON.parse(Deno.readTextFileSync(new URL("../deno.json", import.meta.url)));
  assertEquals(out, `longstride ${version}\n`);
});

Deno.test("cli: sample writes several texts at once, the first as a single one", async () => {
  const write = (...more: string[]) => run("sample", at("people"), "--backend", "wasm", "--length", "40", "--prompt", "It was", ...more);
  const one = await write(), three = await write("--batch", "3"), json = await write("--batch", "3", "--json");
  assertEquals(three.code, 0);
  assert(three.out.startsWith(one.out), "each sequence has its own draws, the first those of a single one");
  const texts = ["", "", ""];
  for (const { sample, text } of json.events) texts[sample as number] += text;
  assertEquals(texts.map((text) => `It was${text}\n`).join(""), three.out);
  assertEquals(new Set(texts).size, 3);
  for (const which of [1, 2, 3]) assertMatch(three.err, new RegExp(`text ${which} of 3`));
  assertMatch(three.err, /120 bytes in /);
  failed(await write("--batch", "0"), 2, "it must be a whole number from 1 to 65536");
});

Deno.test("cli: sample into a pipe that closes ends quietly", async () => {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: [
      "-c",
      `set -o pipefail; ${quote(Deno.execPath())} run -A ${quote(MAIN)} sample ${
        quote(at("people"))
      } --backend wasm --length 20000 | head -c 20`,
    ],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).output();
  failed({ code, err: new TextDecoder().decode(stderr), out: "", events: [] }, 0);
  assertEquals(stdout.length, 20);
});

Deno.test("cli: sample of what is not a model is an error that says which", async () => {
  const damaged = at("damaged"), weights = files(at("people")).get("model.safetensors")!;
  Deno.mkdirSync(damaged);
  const save = (config: unknown, content: string) => {
    Deno.writeTextFileSync(join(damaged, "config.json"), JSON.stringify(config));
    Deno.writeFileSync(join(damaged, "model.safetensors"), Uint8Array.from(content, (c) => c.charCodeAt(0)));
  };
  const fails = async (...includes: string[]) => failed(await run("sample", damaged, "--backend", "wasm"), 1, ...includes);
  failed(await run("sample", at("nowhere")), 1, "there is no such file; a run folder has config.json and model.safetensors");
  save(TINY, weights.slice(0, 1000));
  await fails("model.safetensors", "cut short");
  save(TINY, "\xff\xff\xff\xff\xff\xff\xff\x7f" + weights.slice(8));
  await fails("header length");
  save({ ...TINY, n_ctx: 64 }, weights);
  await fails("embed.position.0.weight F32 [4, 16] instead of F32 [8, 16]", "trained with another context");
  save({ ...TINY, n_layer: 3 }, weights);
  await fails("16 missing: layers.2.attn.q.weight");
  save({ ...TINY, attention: { pattern: "dense", causal: false } }, weights);
  await fails("the attention is not causal");
});

Deno.test("cli: layout counts what the paper counts, and draws", async () => {
  const pairs = async (...args: string[]) => {
    const { code, events } = await run("layout", "--heads", "1", "--layers", "1", "--json", ...args);
    assertEquals(code, 0);
    return events[0].pairs;
  };
  assertEquals(await pairs("--pattern", "dense", "--n", "3072"), 4_720_128);
  assertEquals(await pairs("--pattern", "strided", "--n", "12288", "--stride", "128"), 2_148_416);
  assertEquals(await pairs("--pattern", "fixed", "--n", "65536", "--stride", "256", "--c", "32"), 275_808_256);
  const drawn = await run(
    "layout",
    "--pattern",
    "strided",
    "--stride",
    "4",
    "--integration",
    "interleaved",
    "--n",
    "12",
    "--heads",
    "1",
    "--layers",
    "2",
  );
  assertEquals(drawn.code, 0);
  assertMatch(drawn.out, /^ {2}layer 0 +layer 1$/m);
  assertStringIncludes(drawn.out, "\n  ········██████████             ██······██······██\n");
  assertMatch(drawn.out, /\(i − j\) mod 4 = 0 +24 /);
  assertMatch(drawn.out, /^Valid: every earlier position reaches every later one within 2 layers\.$/m);
  assert(drawn.out.split("\n").every((line) => line.length <= 80), "fits 80 columns");
  const gap = await run("layout", "--pattern", "local", "--stride", "16");
  assertMatch(gap.out, /^Not valid: some positions do not reach others within 2 layers/m);
  assertStringIncludes(gap.out, "496 of 2,080 pairs, such as 0 → 33");
});

Deno.test("cli: layout writes PNG and SVG", async () => {
  const { code } = await run("layout", "--preset", "text", "--png", at("text.png"), "--svg", at("text.svg"));
  assertEquals(code, 0);
  assertEquals([...Deno.readFileSync(at("text.png")).subarray(1, 4)], [0x50, 0x4e, 0x47]);
  assertMatch(Deno.readTextFileSync(at("text.svg")), /^<svg [^]*a pattern per layer: n 512, 4 layers × 4 heads[^]*<\/svg>\n$/);
  failed(await run("layout", "--png", join(at("file"), "x.png")), 1, "Cannot write");
});

Deno.test("cli: verify passes, and fails with exit code 1 where a number differs", async () => {
  const shipped = fileURLToPath(new URL("golden/", import.meta.url)), name = "attention-dense.safetensors";
  const one = await run("verify", join(shipped, name), join(shipped, "model-text-fixed-merged"), "--backend", "wasm");
  assertEquals([one.code, one.err], [0, ""]);
  assertMatch(one.out, /^ {2}pass {2}dk +\d\.\de-\d+ +of 0\.000005$/m);
  assertMatch(one.out, /88 numbers compared on wasm, 0 failed/);
  const all = await run("verify", "--backend", "wasm", "--json");
  assertEquals([all.code, all.events.at(-1)!.compared, all.events.at(-1)!.failed], [0, 433, 0]);
  Deno.mkdirSync(at("golden"));
  const wrong = Deno.readFileSync(join(shipped, name));
  wrong.set([0, 0, 128, 63], wrong.length - 96 * 96 * 2 - 64);
  Deno.writeFileSync(at(`golden/${name}`), wrong);
  const bad = await run("verify", at("golden"), "--backend", "wasm");
  assertEquals(bad.code, 1);
  assertMatch(bad.out, /^ {2}FAIL /m);
  failed(await run("verify", at("nowhere")), 1, "there is no such file or folder");
  failed(await run("verify", folder), 1, "it holds no attention*.safetensors and no folder with expected.safetensors");
});

Deno.test("cli: end", () => Deno.removeSync(folder, { recursive: true }));
