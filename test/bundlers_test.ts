/// <reference lib="dom" />
/**
 * A small app that has the npm package's element, built by esbuild, Rollup, Vite and webpack as their users would, and its sample in
 * Chromium: what Deno writes with the same model and seed. The recipes of Vite and React are built and looked at as they stand.
 *
 * Vite and webpack find the element's worker by themselves, by `new Worker(new URL(…, import.meta.url))`. esbuild and Rollup leave that
 * address as it is, beside the file that has it, so the worker is one more entry for them.
 */

import { assert, assertEquals } from "@std/assert";
import * as esbuild from "esbuild";
import type { Browser } from "playwright-core";
import { openModel } from "../mod.ts";
import { removeMade } from "./made.ts";
import { needing } from "./needs.ts";
import { runBlocks } from "../tools/tutorial.ts";
import { appFolder, recipe } from "./recipes.ts";
import { launch, PAGE_TIMEOUT } from "./runtimes/chromium.ts";
import { modulesOf } from "./runtimes/npm.ts";
import { serveFile } from "./runtimes/serve.ts";

const MODEL = new URL("golden/model-text-fixed-merged/", import.meta.url);
const ASKED = { prompt: "The ", length: 40, temperature: 0.8, seed: 1 };
const WORKER = "@longstride/longstride/longstride-sample.worker.js";

const APP = `import "@longstride/longstride/sample";
const element = document.createElement("longstride-sample");
Object.assign(element, ${JSON.stringify({ ...ASKED, src: "model/", backend: "wasm" })});
document.body.append(element);
globalThis.sampled = await element.sample().then(({ text }) => text, String);
`;

/** How each is used; run by Node in the app's folder. Exports of `at` are those of the packages' files. */
const BUILD = (modules: string) =>
  `import { writeFile } from "node:fs/promises";
const at = (path) => import(${JSON.stringify(`file://${modules}/`)} + path);
const builds = {
  async rollup() {
    const { rollup } = await at("rollup/dist/es/rollup.js"), { nodeResolve } = await at("@rollup/plugin-node-resolve/dist/es/index.js");
    const input = { app: "app.js", "longstride-sample.worker": ${JSON.stringify(WORKER)} };
    const built = await rollup({ input, plugins: [nodeResolve({ browser: true })], onwarn(warning) { throw new Error(warning.message); } });
    await built.write({ dir: "out/rollup", entryFileNames: "[name].js", chunkFileNames: "[name]-[hash].js" });
  },
  async vite() {
    const { build } = await at("vite/dist/node/index.js");
    await writeFile("index.html", '<!doctype html><script type="module" src="/app.js"></script>');
    await build({ base: "./", logLevel: "error", worker: { format: "es" }, build: { outDir: "out/vite", target: "es2022", copyPublicDir: false } });
  },
  /** A recipe's app, with its own configuration. */
  async recipe() {
    const { build } = await at("vite/dist/node/index.js");
    await build({ root: process.argv[3], base: "./", logLevel: "error" });
  },
  async webpack() {
    const { default: webpack } = await at("webpack/lib/index.js");
    const output = { path: process.cwd() + "/out/webpack", filename: "app.js", clean: true };
    const compiler = webpack({ mode: "production", entry: "./app.js", output, context: process.cwd() });
    const stats = await new Promise((resolve, reject) => compiler.run((error, stats) => error ? reject(error) : resolve(stats)));
    if (stats.hasErrors() || stats.hasWarnings()) throw new Error(stats.toString({ all: false, errors: true, warnings: true }));
    await new Promise((resolve) => compiler.close(resolve));
  },
};
await builds[process.argv[2]]();
`;

interface Scene {
  readonly app: string;
  readonly want: string;
  readonly browser: Browser;
}

let made: Promise<Scene> | undefined;
/** The app's folder, the text that its sample must be, and the browser. */
const scene = () =>
  made ??= (async () => {
    const app = await appFolder(MODEL), model = await openModel(MODEL, { backend: "wasm", threads: 1 });
    let want = "";
    for await (const piece of model.text(ASKED)) want += piece;
    model.dispose();
    await Deno.writeTextFile(`${app}/app.js`, APP);
    return { app, want, browser: await launch() };
  })();

async function buildWith(name: string, ...args: string[]): Promise<void> {
  const { app } = await scene();
  if (name === "esbuild") {
    await esbuild.build({
      absWorkingDir: app,
      entryPoints: { app: "app.js", "longstride-sample.worker": WORKER },
      outdir: "out/esbuild",
      bundle: true,
      splitting: true,
      format: "esm",
      target: "es2022",
      logLevel: "silent",
    });
    return await esbuild.stop();
  }
  await Deno.writeTextFile(`${app}/build.js`, BUILD(await modulesOf("bundler")));
  const { success, stderr, stdout } = await new Deno.Command("node", { args: ["build.js", name, ...args], cwd: app }).output();
  assert(success, new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr));
}

/** The sample of what was built, in a page; and that nothing threw. */
async function sampledBy(name: string): Promise<string> {
  const { app, browser } = await scene(), folder = new URL(`file://${app}/out/${name}/`), missing: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/model/")) return await serveFile(MODEL, pathname.slice("/model/".length));
    if (pathname === "/favicon.ico") return new Response(null, { status: 204 });
    const served = await serveFile(folder, pathname === "/" ? "index.html" : pathname);
    if (served.status === 200) return served;
    if (pathname !== "/") missing.push(pathname);
    return new Response(`<!doctype html><script type="module" src="app.js"></script>`, { headers: { "content-type": "text/html" } });
  });
  const page = await browser.newPage(), errors: string[] = [];
  try {
    page.setDefaultTimeout(PAGE_TIMEOUT);
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(`http://127.0.0.1:${server.addr.port}/`);
    const handle = await page.waitForFunction(() => (globalThis as { sampled?: string }).sampled);
    assertEquals([errors, missing], [[], []]);
    return String(await handle.jsonValue());
  } finally {
    await page.close();
    await server.shutdown();
  }
}

for (const name of ["esbuild", "rollup", "vite", "webpack"]) {
  needing(name === "esbuild" ? ["browser"] : ["browser", "bundler"], `bundlers: an app built by ${name} samples`, async () => {
    await buildWith(name);
    assertEquals(await sampledBy(name), (await scene()).want);
  });
}

/** Builds a recipe's app by Vite, and looks at it until `done` says something of the page. */
async function cooked(blocks: Awaited<ReturnType<typeof recipe>>, done: () => string | undefined | false, press?: string): Promise<string> {
  const app = await appFolder(MODEL, "public/model"), { browser } = await scene(), modules = await modulesOf("bundler");
  try {
    await runBlocks(blocks, app);
    for (const name of ["react", "react-dom", "scheduler"]) await Deno.symlink(`${modules}/${name}`, `${app}/node_modules/${name}`);
    await buildWith("recipe", app);
    const folder = new URL(`file://${app}/dist/`);
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      const { pathname } = new URL(request.url);
      return pathname === "/favicon.ico"
        ? new Response(null, { status: 204 })
        : await serveFile(folder, pathname === "/" ? "index.html" : pathname);
    });
    const page = await browser.newPage(), errors: string[] = [];
    try {
      page.setDefaultTimeout(PAGE_TIMEOUT);
      page.on("pageerror", (error) => errors.push(String(error)));
      await page.goto(`http://127.0.0.1:${server.addr.port}/`);
      if (press) await page.getByText(press, { exact: true }).click();
      const found = await (await page.waitForFunction(done)).jsonValue();
      assertEquals(errors, []);
      return String(found);
    } finally {
      await page.close();
      await server.shutdown();
    }
  } finally {
    await Deno.remove(app, { recursive: true });
  }
}

needing(["browser", "bundler"], "recipe: Vite's app writes", async () => {
  const title = await cooked(await recipe("vite"), () => /^\d+ characters$/.test(document.title) && document.title);
  assertEquals(parseInt(title) > 100, true, title);
});

needing(["browser", "bundler"], "recipe: React's component writes when its button is pressed", async () => {
  const said = () =>
    / per second$/.test(document.querySelector("[role=status]")?.textContent ?? "") &&
    document.querySelector("[role=status]")!.textContent!;
  assertEquals(parseInt(await cooked(await recipe("react"), said, "Begin")) > 100, true);
});

Deno.test.afterAll(async () => {
  if (made) {
    const { app, browser } = await made;
    await browser.close();
    await Deno.remove(app, { recursive: true });
  }
  await removeMade();
});
