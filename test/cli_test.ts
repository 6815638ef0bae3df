/**
 * The command line as a stranger uses it: by what it prints, writes and ends with. (Training is
 * cli_train_test.ts's, sampling cli_sample_test.ts's.)
 *
 * Plan. A process does what `main` does in this one, where the other tests run it; help and usage errors; what `layout` and `verify` print for people and as JSON; bad input gets one readable message.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { program } from "../cli/program.ts";
import { answer, failed, run } from "./commands.ts";
import { at, folder, tiny } from "./tiny.ts";

Deno.test("cli: a process prints and exits with what main prints and returns", async () => {
  const reference = ["--backend", "reference"], model = fileURLToPath(new URL("golden/model-text-fixed-merged", import.meta.url));
  const lines: [number, string[]][] = [
    [0, ["--version"]],
    [0, ["layout", "--n", "16"]],
    [0, ["verify", "--help"]],
    [0, ["completions", "zsh"]],
    [0, ["sample", model, "--length", "3", "--seed", "1", "--json", ...reference]],
    [0, ["maps", model, "--prompt", "It", "--out", at("pictures"), "--json", ...reference]],
    [1, ["evaluate", at("nowhere"), "--data", at("text.txt")]],
    [1, ["train", "--data", at("nowhere"), "--out", at("bad")]],
    [1, ["data", "inspect", at("nowhere")]],
    [1, ["export", at("nowhere"), "--out", at("bad")]],
    [2, ["compress"]],
    [2, ["tune", "--nothing"]],
    [2, []],
  ];
  for (const [want, line] of lines) {
    const process = await run(...line), here = await answer(...line);
    const said = ({ code, out, err }: typeof here) => [code, out, err.replace(/ in [\d.]+ s: .* per second/g, "")];
    assertEquals(said(process), said(here), `${line}`);
    assertEquals(here.code, want, `${line}: ${here.err}`);
  }
});

Deno.test("cli: help of the program and of each command", async () => {
  const all = await answer("--help");
  assertEquals(all.code, 0);
  for (
    const name of [
      "train",
      "evaluate",
      "sample",
      "maps",
      "layout",
      "verify",
      "tune",
      "data",
      "export",
      "compress",
      "decompress",
      "completions",
    ]
  ) {
    assertMatch(all.out, new RegExp(`^  ${name} `, "m"));
    const { code, out } = await answer(name, "--help");
    assertEquals(code, 0);
    assertStringIncludes(out, `${name} `);
    if (name !== "completions") assertMatch(out, /--json/);
    assertMatch(out, /Examples:/);
    // Lines to copy begin with however this program is called, which may be long.
    for (const line of out.replaceAll(program(), "deno task").split("\n")) assert(line.length <= 100, `${name}: help fits: ${line}`);
  }
  failed(await answer(), 2, "Usage:");
});

Deno.test("cli: what cannot be understood is a usage error that names the nearest", async () => {
  const cases: [string[], string][] = [
    [
      ["trian"],
      `Cannot run "trian": the commands are train, evaluate, sample, maps, layout, verify, tune, data, export, compress, decompress, completions; did you mean train?`,
    ],
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
      `it must be one of dense, local, strided, column, fixed, segment, summary, longformer, bigbird, blocks, routed, found "stridden"; did you mean strided?`,
    ],
    [["train", "--backend", "gpu"], "it must be one of auto, webgpu, wasm, reference"],
    [["train", "--json=yes"], "--json is a switch and takes no value"],
    [["train", "runs/x"], `Cannot use "runs/x": train takes flags only`],
    [["sample"], "Cannot run sample: it needs RUN"],
    [["sample", "a", "b"], `Cannot use "b": sample takes only RUN`],
    [["sample", "a", "--top-p", "2"], "it must be a number above 0 and up to 1, found 2"],
    [["sample", "a", "--min-p", "2"], "it must be a number from 0 to 1, found 2"],
    [["sample", "a", "--repetition-penalty", "0"], "it must be a number from 0.01 to 100, found 0"],
    [["sample", "a", "--stop"], "Cannot use --stop: it needs a value"],
    [["sample", "a", "--stop", "x", "--stop", ""], "Cannot use --stop: it needs a value"],
    [["sample", "a", "--stop-sequence", "x"], "it is --stop here"],
    [["completions"], "Cannot run completions: it needs bash|zsh|fish"],
    [["completions", "bsh"], `it must be one of bash, zsh, fish, found "bsh"; did you mean bash?`],
    [["data", "inspekt", "a"], "did you mean inspect?"],
    [["layout", "--attention", '{"pattern": "dense", "pattern": "local"}'], 'it names "pattern" twice'],
    [tiny("bad", "--phases", '[{"until": 0.5, "until": 0.6}]'), 'it names "until" twice'],
    [["layout", "--preset", "enwik"], "did you mean enwik8?"],
    [["layout", "--preset", "text", "--config", at("config.json")], "Cannot use --preset and --config together"],
    [["tune", "--preset", "text", "--config", at("config.json")], "Cannot use --preset with --config"],
    [["layout", "--pattern", "dense", "--stride", "4"], "Cannot use --stride with pattern dense: it has no sizes"],
    [["layout", "--attention", "[{"], "Cannot use --attention: "],
    [["layout", "--attention", "{}", "--stride", "4"], "Cannot use --attention and --stride together"],
    [["layout", "--attention", '{"layers": []}'], "layers"],
    [
      ["layout", "--attention", '{"heads": [{"pattern": "dense"}, {"pattern": "dense"}, {"pattern": "dense"}]}'],
      "must divide that of the heads, 4",
    ],
    [["layout", "--pattern", "strided", "--stride", "9,4"], "strides must ascend, found 9, 4"],
    [["layout", "--pattern", "strided", "--stride", "9,x"], "Cannot use --stride: it must be whole numbers with commas between"],
    [["layout", "--pattern", "local", "--stride", "9,12"], "stride must be a whole number from 0"],
    [["layout", "--pattern", "fixed", "--stride", "4,9", "--memory", "2"], "memory goes with one stride"],
    [tiny("bad", "--lr", "1000"), "Cannot use --lr: it must be a number from 1e-12 to 100, found 1000"],
    [tiny("bad", "--phases", "[{"), "Cannot use --phases: "],
    // What no model can be, with what the file says.
    [tiny("bad", "--stride", "0"), "stride must be a whole number from 1"],
    [tiny("bad", "--c", "9"), "c must be a whole number from 1 to 8, found 9"],
    [tiny("bad", "--heads", "3"), "d_model 16 must be a multiple of n_head 3"],
    [["layout", "--pattern", "fixed", "--stride", "4", "--c", "9"], "c must be a whole number from 1 to 4, found 9"],
    [["layout", "--preset", "text", "--pattern", "blocks"], "512 positions in blocks of 16 need 32 lists of key blocks, got 0"],
    // 4,028 bytes to train on in steps of 2 × 32.
    [tiny("bad", "--steps", "2", "--epochs", "2"), "Cannot use --epochs with --steps: give one of them"],
    [tiny("bad", "--eval-every", "0"), "Cannot use --eval-every: it must be a whole number of steps, as 500, or a time, as 90s, 10m or 1h"],
    [tiny("bad", "--valid", at("text.txt"), "--held-out", "40"), "Cannot use --held-out with --valid"],
  ];
  for (const [args, includes] of cases) failed(await answer(...args), 2, includes);
  // In a process of its own as well.
  failed(await answer(...cases[0][0]), 2, cases[0][1]);
});

Deno.test("cli: bash completes commands, flags, their values and files", async () => {
  const { code, out, err } = await answer("completions", "bash");
  assertEquals([code, err], [0, ""]);
  Deno.writeTextFileSync(at("completions.bash"), out);
  /** What a line is completed to, the cursor at its end. */
  const completed = async (...words: string[]) => {
    const script =
      `set -eu; source completions.bash; COMP_WORDS=(longstride "$@"); COMP_CWORD=$#; _longstride; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const made = await new Deno.Command("bash", { args: ["-c", script, "bash", ...words], cwd: folder }).output();
    assertEquals(new TextDecoder().decode(made.stderr), "");
    return new TextDecoder().decode(made.stdout).trim().split("\n");
  };
  assertEquals(await completed("t"), ["train", "tune"]);
  assertEquals(await completed("train", "--batc"), ["--batch"]);
  assertEquals(await completed("train", "--preset", "ima"), ["image", "imagenet64"]);
  assertEquals(await completed("train", "--no-ca"), ["--no-causal"]);
  assertEquals(await completed("train", "--epo"), ["--epochs"]);
  assertEquals(await completed("train", "--config", "conf"), ["config.json"]);
  assertEquals(await completed("completions", "z"), ["zsh"]);
  Deno.mkdirSync(at("runs of mine"));
  assertEquals(await completed("sample", "runs"), ["runs of mine"], "a name with blanks is one");
});

Deno.test("cli: completion of every shell has every flag that help shows", async () => {
  const shells = await Promise.all(["bash", "zsh", "fish"].map(async (shell) => (await answer("completions", shell)).out));
  for (const name of ["train", "sample", "layout"]) {
    const { out } = await answer(name, "--help"), flags = [...out.matchAll(/^ {2}--(?:\[no-\])?([a-z0-9-]+)/gm)].map(([, flag]) => flag);
    assert(flags.length > 10);
    for (const text of shells) for (const flag of flags) assertMatch(text, new RegExp(`(--|-l )${flag}\\b`));
  }
});

Deno.test("cli: layout counts what the paper counts, and draws", async () => {
  const pairs = async (...args: string[]) => {
    const { code, events } = await answer("layout", "--heads", "1", "--layers", "1", "--json", ...args);
    assertEquals(code, 0);
    return events[0].pairs;
  };
  assertEquals(await pairs("--pattern", "dense", "--n", "3072"), 4_720_128);
  assertEquals(await pairs("--pattern", "strided", "--n", "12288", "--stride", "128"), 2_148_416);
  assertEquals(await pairs("--pattern", "fixed", "--n", "65536", "--stride", "256", "--c", "32"), 275_808_256);
  const drawn = await answer(
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
  const gap = await answer("layout", "--pattern", "local", "--stride", "16");
  assertMatch(gap.out, /^Not valid: some positions do not reach others within 2 layers/m);
  assertStringIncludes(gap.out, "496 of 2,080 pairs, such as 0 → 33");
});

Deno.test("cli: layout writes PNG and SVG", async () => {
  const { code } = await answer("layout", "--preset", "text", "--png", at("text.png"), "--svg", at("text.svg"));
  assertEquals(code, 0);
  assertEquals([...Deno.readFileSync(at("text.png")).subarray(1, 4)], [0x50, 0x4e, 0x47]);
  assertMatch(Deno.readTextFileSync(at("text.svg")), /^<svg [^]*a pattern per layer: n 512, 4 layers × 4 heads[^]*<\/svg>\n$/);
  failed(await answer("layout", "--png", join(at("file"), "x.png")), 1, "Cannot write");
});

Deno.test("cli: verify passes, and fails with exit code 1 where a number differs", async () => {
  const shipped = fileURLToPath(new URL("golden/", import.meta.url)), name = "attention-dense.safetensors";
  const one = await answer("verify", join(shipped, name), join(shipped, "model-text-fixed-merged"), "--backend", "wasm");
  assertEquals([one.code, one.err], [0, ""]);
  assertMatch(one.out, /^ {2}pass {2}dk +\d\.\de-\d+ +of 0\.000005$/m);
  assertMatch(one.out, /88 numbers compared on wasm, 0 failed/);
  const half = await answer("verify", join(shipped, name), "--backend", "wasm", "--precision", "f16");
  assertEquals([half.code, half.out.match(/^ {2}pass /gm)?.length], [0, 5]);
  failed(await answer("verify", "--precision", "f8"), 2, "Cannot use --precision");
  const all = await answer("verify", "--backend", "wasm", "--json");
  assertEquals([all.code, all.events.at(-1)!.compared, all.events.at(-1)!.failed], [0, 433, 0]);
  Deno.mkdirSync(at("golden"));
  const wrong = Deno.readFileSync(join(shipped, name));
  wrong.set([0, 0, 128, 63], wrong.length - 96 * 96 * 2 - 64);
  Deno.writeFileSync(at(`golden/${name}`), wrong);
  const bad = await answer("verify", at("golden"), "--backend", "wasm");
  assertEquals(bad.code, 1);
  assertMatch(bad.out, /^ {2}FAIL /m);
  failed(await answer("verify", at("nowhere")), 1, "there is no such file or folder");
  failed(await answer("verify", folder), 1, "it holds no attention*.safetensors and no folder with expected.safetensors");
});

Deno.test("cli: export makes a folder that samples, of int8 unless f16 or f32 is asked for, and spares runs", async () => {
  assertEquals((await answer(...tiny("whole", "--steps", "2"))).code, 0);
  const weightsOf = (name: string) => Deno.readFileSync(at(`${name}/model.safetensors`));
  Deno.writeTextFileSync(at("whole/generation_config.json"), JSON.stringify({ temperature: 0.5 }));
  const made = await answer("export", at("whole"), "--out", at("site"));
  assertEquals([made.code, made.err], [0, ""]);
  assertMatch(made.out, /^model\.safetensors +\d+ KiB\nconfig\.json +\d+ bytes$/m);
  const [, digest] = /integrity="model\.safetensors:sha256-(\S+) config\.json:sha256-\S+"/.exec(made.out)!;
  assertEquals(new Uint8Array(await crypto.subtle.digest("SHA-256", weightsOf("site"))).toBase64(), digest);
  assertEquals([...Deno.readDirSync(at("site"))].map(({ name }) => name).sort(), [
    "config.json",
    "generation_config.json",
    "model.safetensors",
  ]);
  const sampled = await answer("sample", at("site"), "--length", "5", "--backend", "wasm");
  assertEquals([sampled.code, sampled.err.includes("Cannot")], [0, false]);
  for (const [type, from, to] of [["f16", 0.5, 0.6], ["f32", 0.99, 1.01], ["int8", 0.25, 0.6]] as const) {
    const { events } = await answer("export", at("whole"), "--out", at(type), "--weights", type, "--json");
    assertEquals(events.map(({ file }) => file), ["model.safetensors", "config.json", "generation_config.json"]);
    const part = weightsOf(type).length / weightsOf("whole").length;
    assert(part > from && part < to, `${type}: ${part}`);
  }
  assertEquals(weightsOf("site"), weightsOf("int8"));
  failed(await answer("export", at("site"), "--out", at("again")), 1, "embed.token.weight is int8", "go on from the f32 model");
  failed(await answer("train", "--resume", at("site")), 1, "Cannot resume from", "is int8, which is for sampling and scoring");
  failed(await answer("export", at("whole")), 2, "Cannot export: --out FOLDER says where to");
  failed(await answer("export", at("f32"), "--out", at("whole")), 2, "it is a run, whose weights would be replaced");
  failed(await answer("export", at("f32"), "--out", at("f16"), "--weights", "i8"), 2, "it must be one of int8, f16, f32");
});

Deno.test.afterAll(() => Deno.removeSync(folder, { recursive: true }));
