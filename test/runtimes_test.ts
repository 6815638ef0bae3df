/**
 * The bundle in other runtimes, unchanged: Node, Bun, Deno and workerd. The browser is browser_test.ts's.
 *
 * Plan. Each trains and samples (runtimes/smoke.ts) and finds what Deno finds from the sources; the examples stream a model's text over
 * HTTP, the same in all of them, to one client and to hundreds.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import * as esbuild from "esbuild";
import * as longstride from "../mod.ts";
import { removeMade } from "./made.ts";
import { needing } from "./needs.ts";
import { bundled, dist } from "./runtimes/bundle.ts";
import { runBlocks } from "../tools/tutorial.ts";
import { appFolder, recipe } from "./recipes.ts";
import { executable } from "./runtimes/npm.ts";
import { type Report, smoke } from "./runtimes/smoke.ts";

const ROOT = new URL("../", import.meta.url), MODEL = new URL("golden/model-text-fixed-merged/", import.meta.url);

/** A folder as an installed copy would lie: the bundle in `dist/`, the examples beside it, a model where workerd.capnp looks for it. */
async function folder(): Promise<string> {
  const at = await Deno.makeTempDir();
  const copy = async (from: URL, to: string) => {
    await Deno.mkdir(`${at}/${to}`, { recursive: true });
    for await (const { name, isFile } of Deno.readDir(from)) if (isFile) await Deno.copyFile(new URL(name, from), `${at}/${to}/${name}`);
  };
  await copy(await dist(), "dist");
  await copy(new URL("examples/", ROOT), "examples");
  await copy(MODEL, "examples/model");
  await Deno.writeTextFile(`${at}/package.json`, `{ "type": "module" }`);
  await Deno.writeTextFile(`${at}/smoke.js`, await bundled("test/runtimes/smoke.ts"));
  await Deno.writeTextFile(
    `${at}/main.js`,
    `import * as longstride from "./dist/longstride.js"; import { smoke } from "./smoke.js";
console.log(JSON.stringify(await smoke(longstride, "wasm")));`,
  );
  return at;
}

let made: Promise<string> | undefined;
const scene = () => made ??= folder();

let wanted: Promise<Report> | undefined;
const want = () => wanted ??= smoke(longstride, "wasm");

async function assertWanted(report: string, engine: RegExp): Promise<void> {
  const got: Report = JSON.parse(report), { losses, text } = await want();
  assertEquals({ losses: got.losses, text: got.text }, { losses, text });
  assertMatch(got.engine, engine);
}

async function output(path: string, ...args: string[]): Promise<string> {
  const command = new Deno.Command(path, {
    args,
    cwd: await scene(),
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(300_000),
  });
  const { stdout, stderr, success } = await command.output();
  assertEquals([success, new TextDecoder().decode(stderr)], [true, ""]);
  return new TextDecoder().decode(stdout);
}

/** As many threads as cores: in words. */
const all = new RegExp(`^WASM SIMD, ${navigator.hardwareConcurrency} threads?$`);

Deno.test("node: the bundle trains and samples with Deno's numbers", async () => {
  await assertWanted(await output("node", "main.js"), all);
});

needing(["bun"], "bun: the bundle trains and samples with Deno's numbers", async () => {
  await assertWanted(await output(await executable("bun"), "main.js"), all);
});

Deno.test("deno: the bundle trains and samples with the sources' numbers, without permissions", async () => {
  await assertWanted(await output(Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-config", "main.js"), all);
});

/** Runs a server until `use` is done with its address, which `pattern` finds in what it prints. */
async function served<T>(
  path: string,
  args: string[],
  env: Record<string, string>,
  pattern: RegExp,
  use: (base: string) => Promise<T>,
  folder?: string,
) {
  const options = { args, cwd: folder ?? `${await scene()}/examples`, env: { ...env, NO_COLOR: "1" } };
  const child = new Deno.Command(path, { ...options, stdin: "null", stdout: "piped", stderr: "piped" }).spawn();
  let printed = "", found: (port: string) => void;
  const port = new Promise<string>((resolve, reject) => {
    found = resolve;
    child.status.then(({ code }) => reject(new Error(`${path} ended with ${code}: ${printed}`)));
  });
  const listening = [child.stdout, child.stderr].map(async (stream) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      printed += text;
      const [, number] = pattern.exec(printed) ?? [];
      if (number) found(number);
    }
  });
  try {
    return await use(`http://127.0.0.1:${await port}`);
  } finally {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended, and said why.
    }
    await child.status;
    await Promise.all(listening);
  }
}

/** Makes a worker of a module, of the examples where no folder is named, as workerd.capnp says to. */
async function bundledWorker(entry: string, folder?: string, outfile = "worker.js"): Promise<void> {
  const at = folder ?? `${await scene()}/examples`;
  await esbuild.build({
    absWorkingDir: at,
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    external: ["longstride.wasm"],
    outfile,
    allowOverwrite: true,
    logLevel: "silent",
  });
  await esbuild.stop();
}

needing(["workerd"], "workerd: the bundle trains and samples with Deno's numbers, its kernels a module", async () => {
  const at = await scene();
  await Deno.writeTextFile(
    `${at}/examples/smoke_worker.js`,
    `import * as longstride from "../dist/longstride.js"; import kernels from "longstride.wasm"; import { smoke } from "../smoke.js";
export default { async fetch() { longstride.useKernels(kernels); return Response.json(await smoke(longstride, "wasm")); } };`,
  );
  await bundledWorker("smoke_worker.js");
  await served(await executable("workerd"), workerd("workerd.capnp"), {}, WORKERD, async (base) => {
    await assertWanted(await (await fetch(base)).text(), /^WASM SIMD, 1 thread/);
  });
});

const workerd = (config: string) => ["serve", config, "--control-fd=1", "--socket-addr=http=127.0.0.1:0"];
const WORKERD = /"socket":"http","port":(\d+)\D/;

const QUERY = "/?prompt=The%20&length=60&temperature=0.8&seed=1";

/** The first line of what a server answers to a request's first line as it stands; nothing where it only waits. */
async function raw(base: string, line: string, seconds: number): Promise<string> {
  const { hostname, port } = new URL(base), connection = await Deno.connect({ hostname, port: Number(port) });
  const timer = setTimeout(() => connection.close(), seconds * 1000);
  let said = "";
  try {
    await connection.write(new TextEncoder().encode(`${line}\r\nHost: localhost\r\nConnection: close\r\n\r\n`));
    for await (const text of connection.readable.pipeThrough(new TextDecoderStream())) if ((said += text).includes("\r\n")) break;
  } catch {
    // Closed, by either.
  } finally {
    clearTimeout(timer);
  }
  return said.split("\r\n")[0];
}

/** What an example's server must do. */
async function exampleHolds(base: string): Promise<void> {
  // Each request has a connection of its own: a server ends one that was idle for seconds just as the next request takes it.
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  const fetched = (address: string, options: RequestInit = {}) => fetch(address, { ...options, client });
  const model = await longstride.openModel(MODEL, { backend: "wasm", threads: 1 });
  let want = "";
  for await (const piece of model.text({ prompt: "The ", length: 60, temperature: 0.8, seed: 1 })) want += piece;
  model.dispose();

  const response = await fetched(base + QUERY);
  assertEquals([response.status, response.headers.get("content-type")], [200, "text/plain; charset=utf-8"]);
  assertEquals(await response.text(), want);

  const wrong = await fetched(`${base}/?temperature=-1`);
  assertEquals(wrong.status, 400);
  assertStringIncludes(await wrong.text(), "temperature");

  // What is none of the server's.
  const answered = async (path: string, method: string) => {
    const { status, headers, body } = await fetched(base + path, { method });
    await body?.cancel();
    return [status, headers.get("allow")];
  };
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) assertEquals(await answered(QUERY, method), [405, "GET, HEAD"]);
  assertEquals([await answered(QUERY, "HEAD"), await answered("/favicon.ico", "GET")], [[200, null], [404, null]]);
  for (
    const line of ["GET //[ HTTP/1.1", "GET http://[ HTTP/1.1", "GET //x:y/ HTTP/1.1", "GET \\\\[ HTTP/1.1", "TRACE / HTTP/1.1", "\u0001"]
  ) {
    // The others may wait for more.
    const isAnswered = line === "GET //[ HTTP/1.1", said = await raw(base, line, isAnswered ? 120 : 5);
    // Of an address that is none Bun makes one that is.
    assert(/^HTTP\/1\.1 \d\d\d /.test(said) || said === "", `${line}: ${said}`);
    if (isAnswered) assertMatch(said, /^HTTP\/1\.1 400 /);
  }

  // Many at once are served one after another, up to a bound; all alike.
  const all = await Promise.all(Array.from({ length: 300 }, async (_, at) => {
    const short = `/?prompt=The%20&length=${1 + at % 3}&seed=1`, response = await fetched(base + short), text = await response.text();
    return { short, status: response.status, text, after: response.headers.get("retry-after") };
  }));
  const served = all.filter(({ status }) => status === 200), full = all.filter(({ status }) => status === 503);
  assertEquals(served.length + full.length, 300);
  assert(served.length >= 256, `${served.length} of 300 served at once`);
  for (const { after, text } of full) assert(Number(after) >= 1 && text.startsWith("busy: 256 texts"), `${after} ${text}`);
  for (const { short, text } of served) assertEquals(text, served.find((other) => other.short === short)!.text);

  // Those that wait and go away are waited for by nobody.
  const leave = new AbortController(),
    waiting = Array.from({ length: 50 }, () => fetched(`${base}/?length=4000`, { signal: leave.signal }));
  await new Promise((resume) => setTimeout(resume, 100));
  leave.abort();
  await Promise.allSettled(waiting);

  // A client that goes away ends its text, so that the next one is served.
  let first = Infinity;
  // It comes as it is written; where the machine is busy, all of it may have come before it is looked at.
  for (let tries = 0; tries < 10 && first >= 4000; tries++) {
    const gone = new AbortController(), long = await fetched(`${base}/?length=4000`, { signal: gone.signal });
    first = (await long.body!.getReader().read()).value!.length;
    gone.abort();
  }
  assert(first < 4000, "the text came in one piece, not as it was written");
  let status = 503;
  for (let tries = 0; tries < 100 && status === 503; tries++) {
    await new Promise((resume) => setTimeout(resume, 50));
    const next = await fetched(base + QUERY);
    status = next.status;
    const text = await next.text();
    if (status === 200) assertEquals(text, want);
  }
  assertEquals(status, 200);
}

needing(["workerd"], "example: workerd streams text", async () => {
  await bundledWorker("workerd.js");
  await served(await executable("workerd"), workerd("workerd.capnp"), {}, WORKERD, exampleHolds);
});

Deno.test("example: Node streams text", async () => {
  await served("node", ["node.js"], { MODEL: "model", PORT: "0" }, /http:\/\/127\.0\.0\.1:(\d+)\//, exampleHolds);
});

needing(["bun"], "example: Bun streams text", async () => {
  await served(await executable("bun"), ["serve.js"], { MODEL: "model", PORT: "0" }, /http:\/\/[^:]+:(\d+)\D/, exampleHolds);
});

needing(["bun"], "example: on Bun a client waits for its turn longer than the ten seconds that are usual there", async () => {
  await Deno.writeTextFile(
    `${await scene()}/examples/wait.js`,
    `import server from "./serve.js";
const fetch = () => new Promise((resolve) => setTimeout(() => resolve(new Response("late")), 14_000));
console.log(Bun.serve({ ...server, fetch }).url.href);`,
  );
  const late = async (base: string) => assertEquals(await (await fetch(base)).text(), "late");
  await served(await executable("bun"), ["wait.js"], { MODEL: "model", PORT: "0" }, /http:\/\/[^:]+:(\d+)\D/, late);
});

Deno.test("example: Deno streams text", async () => {
  const args = ["serve", "-A", "--no-config", "--host", "127.0.0.1", "--port", "0", "serve.js"];
  await served(Deno.execPath(), args, { MODEL: "model" }, /http:\/\/127\.0\.0\.1:(\d+)\//, exampleHolds);
});

/** Runs a recipe's lines in an app of its own, in which a model lies where it has one. */
async function followed(name: string, programs: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const app = await appFolder(MODEL, name === "node" ? undefined : "model");
  try {
    return await runBlocks(await recipe(name), app, { programs });
  } finally {
    await Deno.remove(app, { recursive: true });
  }
}

Deno.test("recipe: Node trains, keeps the model and writes with it", async () => {
  const [printed] = await followed("node");
  assertMatch(printed, /^step 150: \d\.\d\d bits\/byte$/m);
  assertMatch(printed, /^sparse.*\nperplexity 1\.\d\d of its own sentence$/m);
});

needing(["bun"], "recipe: Bun writes two texts on all cores", async () => {
  const [printed] = await followed("bun", { bun: await executable("bun") });
  assertEquals(printed.match(/^Climate: /gm)?.length, 2);
  assertMatch(printed.trim().split("\n").at(-1)!, all);
});

/** The first bytes of what a server of a recipe answers. */
async function answers(base: string): Promise<void> {
  const [one, other] = await Promise.all(["The ", "A "].map(async (prompt) => await (await fetch(`${base}/?prompt=${prompt}`)).text()));
  assert(one.length >= 100 && other.length >= 100 && one !== other);
}

Deno.test("recipe: an HTTP server writes to several at once", async () => {
  const app = await appFolder(MODEL, "model");
  await runBlocks(await recipe("http-server"), app);
  const args = ["serve", "-A", "--host", "127.0.0.1", "--port", "0", "server.js"];
  await served(Deno.execPath(), args, {}, /http:\/\/127\.0\.0\.1:(\d+)\//, answers, app);
  await Deno.remove(app, { recursive: true });
});

needing(["workerd"], "recipe: a worker answers with text", async () => {
  const app = await appFolder(MODEL, "model");
  await runBlocks(await recipe("workers"), app);
  await bundledWorker("worker.js", app, "out/worker.js");
  await served(await executable("workerd"), workerd("worker.capnp"), {}, WORKERD, answers, app);
  await Deno.remove(app, { recursive: true });
});

Deno.test.afterAll(async () => {
  if (made) await Deno.remove(await made, { recursive: true });
  await removeMade();
});
