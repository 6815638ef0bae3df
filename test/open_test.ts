/**
 * Opening a model from where it lies: by path and by file URL, by an address with a query, with options of generation beside it or not.
 *
 * Plan. In Deno with fetch of files and without, and in Node, which knows no fetch of files; paths from the current folder. A server that
 * asks for a signature at every file; one that answers 404, 403 or a page where there are no options. What stands in a file's place is
 * named.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CheckpointError, ConfigError, DataError, fetchModel, openModel } from "../mod.ts";
import { removeMade } from "./made.ts";
import { needing } from "./needs.ts";
import { dist } from "./runtimes/bundle.ts";

const FOLDER = new URL("golden/model-text-fixed-merged/", import.meta.url), PATH = FOLDER.pathname;
const file = (name: string) => Deno.readFileSync(new URL(name, FOLDER));

/** A copy of the model in a folder of its own, with other files in it. */
async function copy(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await Deno.makeTempDir();
  for (const name of ["config.json", "model.safetensors"]) await Deno.writeFile(`${folder}/${name}`, file(name));
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${folder}/${name}`, text);
  return folder;
}

/** Serves the model's files, where `answers` says nothing else. */
async function serving<T>(answers: (url: URL) => Response | undefined, use: (address: string) => Promise<T>): Promise<T> {
  const server = Deno.serve({ port: 0, onListen: () => {} }, (request) => {
    const url = new URL(request.url);
    return answers(url) ?? new Response(file(url.pathname.split("/").at(-1)!));
  });
  try {
    return await use(`http://localhost:${server.addr.port}/model`);
  } finally {
    await server.shutdown();
  }
}

const NOTHING = (url: URL, status = 404) => url.pathname.endsWith("generation_config.json") ? new Response("", { status }) : undefined;

Deno.test("open: by path, by file URL, with and without a slash, from the current folder", async () => {
  const want = (await fetchModel(FOLDER)).weights, before = Deno.cwd();
  try {
    Deno.chdir(new URL("golden/", import.meta.url));
    for (
      const source of [
        FOLDER.href,
        FOLDER.href.slice(0, -1),
        PATH,
        PATH.slice(0, -1),
        "model-text-fixed-merged",
        "./model-text-fixed-merged/",
      ]
    ) {
      assertEquals((await fetchModel(source)).weights, want);
    }
    await assertRejects(() => fetchModel("nowhere"), DataError, "golden/nowhere/");
    const model = await openModel("model-text-fixed-merged", { backend: "reference" });
    assertEquals((await Array.fromAsync(model.tokens({ length: 2 }))).length, 2);
    model.dispose();
  } finally {
    Deno.chdir(before);
  }
});

Deno.test("open: a folder whose name is no address's text", async () => {
  const folder = await copy({}), odd = `${folder}/50% of a #1?`;
  try {
    await Deno.mkdir(odd);
    for (const name of ["config.json", "model.safetensors"]) await Deno.writeFile(`${odd}/${name}`, file(name));
    assertEquals((await fetchModel(odd)).config.n_layer, (await fetchModel(folder)).config.n_layer);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("open: where fetch knows no files, they are read", async () => {
  const { fetch } = globalThis, loaded: [number, number | undefined][] = [];
  globalThis.fetch = (url) => Promise.reject(new TypeError("fetch failed", { cause: new Error(`not implemented: ${url}`) }));
  try {
    const model = await fetchModel(FOLDER, { onProgress: (at, of) => loaded.push([at, of]) }), { length } = file("model.safetensors");
    assert(model.weights.size > 0 && model.generation === undefined);
    assertEquals(loaded, [[length, length]]);
    await assertRejects(() => fetchModel(new URL("nowhere/", FOLDER)), DataError, "ENOENT");
    await assertRejects(() => fetchModel("https://nowhere.example/"), DataError, "fetch failed: not implemented");
    await assertRejects(() => fetchModel(FOLDER, { signal: AbortSignal.abort(new Error("enough")) }), Error, "enough");
  } finally {
    globalThis.fetch = fetch;
  }
});

needing(["bundler"], "open: in Node, by path and by file URL, from the published package", async () => {
  const code = `import { openModel } from ${JSON.stringify(new URL("longstride.js", await dist()).href)};
for (const source of ["model-text-fixed-merged", ${JSON.stringify(PATH)}, new URL(${JSON.stringify(FOLDER.href)})]) {
  const model = await openModel(source, { backend: "reference" }), tokens = [];
  for await (const token of model.tokens({ length: 4, seed: 1 })) tokens.push(token);
  console.log(JSON.stringify(tokens));
  model.dispose();
}
await openModel("nowhere").catch((error) => console.log(error.name, error.message));`;
  const { stdout, stderr } = await new Deno.Command("node", {
    args: ["--input-type=module", "-e", code],
    cwd: new URL("golden/", import.meta.url),
  }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  const model = await openModel(FOLDER, { backend: "reference" }),
    want = JSON.stringify(await Array.fromAsync(model.tokens({ length: 4, seed: 1 })));
  model.dispose();
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  assertEquals(lines.slice(0, 3), [want, want, want]);
  assertStringIncludes(lines[3], "DataError Cannot fetch file://");
  await removeMade();
});

Deno.test("open: an address's query goes to every file", async () => {
  const asked: string[] = [];
  await serving((url) => {
    asked.push(url.pathname + url.search);
    return url.search === "?sig=a%2Fb&x=1" ? NOTHING(url) : new Response("", { status: 403 });
  }, async (address) => {
    assert((await fetchModel(`${address}?sig=a%2Fb&x=1#part`)).weights.size > 0);
    await assertRejects(() => fetchModel(address), DataError, "the server answered 403");
  });
  const query = "?sig=a%2Fb&x=1";
  assertEquals(
    asked.slice(0, 3).sort(),
    ["config.json", "generation_config.json", "model.safetensors"].map((name) => `/model/${name}${query}`),
  );
});

Deno.test("open: options beside the model are its own, where there are some", async () => {
  const options = `{ "max_new_tokens": 3, "do_sample": false, "stop_strings": ["zz"] }`,
    folder = await copy({ "generation_config.json": options });
  try {
    assertEquals((await fetchModel(folder)).generation, { maxNewTokens: 3, doSample: false, stopStrings: ["zz"] });
    const model = await openModel(folder, { backend: "reference" }), best = await Array.fromAsync(model.tokens({ temperature: 0 }));
    assertEquals(best.length, 3);
    assertEquals(await Array.fromAsync(model.tokens({})), best);
    assertEquals((await Array.fromAsync(model.tokens({ length: 5 }))).length, 5);
    model.dispose();
    // Others instead, and the file is not asked for.
    await Deno.writeTextFile(`${folder}/generation_config.json`, `{ "num_beams": 4 }`);
    await assertRejects(() => openModel(folder), ConfigError, `generation_config.json: it has an unknown field "num_beams"`);
    const other = await openModel(folder, { backend: "reference", generation: { maxNewTokens: 1 } });
    assertEquals((await Array.fromAsync(other.tokens({}))).length, 1);
    other.dispose();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const page = () => new Response("<!doctype html><title>An app</title>", { headers: { "content-type": "text/html" } });
  for (const answer of [(url: URL) => NOTHING(url), (url: URL) => NOTHING(url, 403), (url: URL) => NOTHING(url) && page()]) {
    assertEquals((await serving(answer, (address) => fetchModel(address))).generation, undefined);
  }
});

Deno.test("open: a server that fails is not one that has no options", async () => {
  const failing = (url: URL) => NOTHING(url, 500);
  await serving(
    failing,
    (address) => assertRejects(() => fetchModel(address), DataError, "generation_config.json: the server answered 500"),
  );
});

Deno.test("open: a Git LFS pointer in a file's place is named", async () => {
  const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12345\n";
  for (
    const [name, type] of [["config.json", ConfigError], ["model.safetensors", CheckpointError], [
      "generation_config.json",
      ConfigError,
    ]] as const
  ) {
    const folder = await copy({ [name]: pointer });
    try {
      const error = await assertRejects(() => fetchModel(folder), type, "a Git LFS pointer in place of the file; fetch it: git lfs pull");
      assertStringIncludes(error.message, name);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
});
