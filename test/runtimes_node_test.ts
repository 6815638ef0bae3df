/**
 * The package for npm as a program: installed from what `npm pack` makes, run by Node.
 *
 * Plan. `npx longstride` trains, stops at Ctrl-C, goes on and writes; what it saves is what Deno saves, bit for bit, and each locks the
 * other out. A run folder is opened by its path and by its address.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openModel } from "../mod.ts";
import { command, failed, files, type Ran, ran, run } from "./commands.ts";
import { SMALL, TEXT } from "./model.ts";
import { removeMade } from "./made.ts";
import { dist } from "./runtimes/bundle.ts";

let made: Promise<string> | undefined;

/** A folder with the package installed, as a user installs it. */
const app = () =>
  made ??= (async () => {
    const at = await Deno.makeTempDir(), npm = (...args: string[]) => output("npm", [...args, "--loglevel=error"], at);
    const packed = await npm("pack", (await dist()).pathname);
    assertEquals(packed.code, 0, packed.err);
    await Deno.writeTextFile(join(at, "package.json"), `{ "type": "module" }`);
    const installed = await npm("install", "--no-audit", "--no-fund", `./${packed.out.trim()}`);
    assertEquals(installed.code, 0, installed.err);
    await Deno.writeTextFile(join(at, "small.json"), JSON.stringify(SMALL));
    await Deno.writeTextFile(join(at, "text.txt"), TEXT);
    return at;
  })();

const settings = { NO_COLOR: "1", npm_config_offline: "true" };

async function output(program: string, args: string[], cwd: string): Promise<Ran> {
  const options = { args, cwd, env: settings, stdin: "null", stdout: "piped", stderr: "piped" } as const;
  const { code, stdout, stderr } = await new Deno.Command(program, options).output();
  return ran(code, stdout, stderr);
}

/** Runs the program that npm has linked. */
const longstride = async (...args: string[]) => await output(join(await app(), "node_modules/.bin/longstride"), args, await app());

const TRAIN = ["--config", "small.json", "--data", "text.txt", "--batch", "2", "--backend", "wasm", "--threads", "2", "--json"];
const STEPS = 300;

Deno.test("node: npx longstride trains, stops at Ctrl-C, goes on and writes as Deno does", async () => {
  const at = await app(), args = ["train", ...TRAIN, "--steps", String(STEPS), "--out", "run"];
  const child = new Deno.Command(join(at, "node_modules/.bin/longstride"), {
    args,
    cwd: at,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  })
    .spawn();
  let seen = "", locked: Promise<Ran[]> | undefined;
  const errors = new Response(child.stderr).bytes();
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    seen += text;
    if (locked || !seen.includes(`"event":"start"`)) continue;
    // While it trains nobody else may, in Deno or in Node.
    child.kill("SIGSTOP");
    locked = Promise.all([
      longstride(...args),
      command([...args.slice(0, -1), join(at, "run"), "--config", join(at, "small.json"), "--data", join(at, "text.txt")]).output().then((
        { code, stdout, stderr },
      ) => ran(code, stdout, stderr)),
    ]);
    await locked;
    child.kill("SIGCONT");
    child.kill("SIGINT");
  }
  const stopped = ran((await child.status).code, new TextEncoder().encode(seen), await errors);
  assertEquals(stopped.code, 130, stopped.err);
  for (const refused of await locked!) failed(refused, 1, "another process is training in it");
  const { step, resume } = stopped.events.at(-1) as { step: number; resume: string };
  assert(step < STEPS, `${step}`);
  // Where npx runs the tests, what they run is of npx too.
  assertMatch(resume, /^(npx )?longstride train --resume run --data text\.txt/);

  const done = await output("npx", [...resume.replace(/^npx /, "").split(" "), "--json"], at);
  assertEquals(done.code, 0, done.err);
  const whole = join(at, "whole"),
    deno = await run(
      ...["train", ...TRAIN, "--steps", String(STEPS), "--out", whole, "--config", join(at, "small.json"), "--data", join(at, "text.txt")],
    );
  assertEquals(deno.code, 0, deno.err);
  const [node, want] = [files(join(at, "run")), files(whole)];
  assertEquals([...node.keys()].sort(), [...want.keys()].sort());
  for (const name of ["config.json", "model.safetensors", `state-${STEPS}/optimizer.safetensors`]) {
    assertEquals(node.get(name), want.get(name));
  }

  const said = await output("npx", ["longstride", ..."sample run --backend wasm --prompt It --length 20 --seed 1".split(" ")], at);
  const model = await openModel(join(at, "run"), { backend: "wasm" });
  let text = "";
  for await (const piece of model.text({ prompt: "It", length: 20, seed: 1, temperature: 0.9 })) text += piece;
  model.dispose();
  assertEquals([said.code, said.out], [0, `It${text}\n`]);

  // A run folder by its path and by its address, in Node; of a name that an address must escape.
  await Deno.rename(join(at, "run"), join(at, "a run #1"));
  const script = `import { openModel, pickBackend } from "@longstride/longstride";
const { engine, why } = await pickBackend();
console.log(engine.name, why);
engine.dispose();
for (const place of ["a run #1", new URL("a%20run%20%231", import.meta.url), ${JSON.stringify(pathToFileURL(join(at, "a run #1")).href)}]) {
  const model = await openModel(place, { backend: "wasm" });
  let text = "";
  for await (const piece of model.text({ prompt: "It", length: 20, seed: 1, temperature: 0.9 })) text += piece;
  model.dispose();
  console.log(JSON.stringify(text));
}`;
  await Deno.writeTextFile(join(at, "open.js"), script);
  const opened = await output("node", ["open.js"], at);
  assertEquals([opened.err, opened.out.replace(/^.*\n/, "")], ["", `${JSON.stringify(text)}\n`.repeat(3)]);
  assertMatch(
    opened.out,
    /^wasm no hardware WebGPU: this runtime has no navigator\.gpu, and npm's package webgpu cannot be loaded \(.*\)\n/,
  );
});

Deno.test("node: every command answers there", async () => {
  const said = await longstride("layout", "--pattern", "strided", "--stride", "4", "--n", "16");
  assertEquals([said.code, said.err], [0, ""]);
  assertMatch(said.out, /strided, merged, l 4: n 16/);
  const verified = await longstride("verify", "--backend", "wasm", "--json"), end = verified.events.at(-1)!;
  assertEquals([verified.code, end.failed], [0, 0]);
  assert(end.compared as number > 20, `${end.compared}`);
  failed(await longstride("train", "--stepz", "3"), 2, "did you mean --steps?");
  failed(await longstride("data", "inspect", "none.txt"), 1, "there is no such file");
  const { code, err } = await longstride("tune", "--gpu", "dawn");
  assertEquals(code, 1);
  assertStringIncludes(err, "npm install webgpu@");
});

Deno.test.afterAll(async () => {
  if (made) await Deno.remove(await made, { recursive: true });
  await removeMade();
});
