/**
 * The library in a real browser: Debian's headless Chromium, WebGPU on SwiftShader.
 *
 * Plan. `deno task bundle` makes what a page loads; a server on loopback gives it out under several policies. In the page both
 * engines train and sample (test/runtimes/smoke.ts) and must find what Deno finds; the conformance cases and the golden
 * numbers hold there too. The element and the pages are element_test.ts's.
 */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { Browser, Page } from "playwright-core";
import * as longstride from "../mod.ts";
import { parseQueries, pick } from "./cases.ts";
import { removeMade } from "./made.ts";
import { bundled, dist } from "./runtimes/bundle.ts";
import { browserTest, launch, PAGE_TIMEOUT } from "./runtimes/chromium.ts";
import type { conformance, golden } from "./runtimes/conformance.ts";
import { contentType, serveFile } from "./runtimes/serve.ts";
import { type Library, type Report, smoke } from "./runtimes/smoke.ts";

const test = (name: string, fn: () => Promise<void>) => browserTest(`browser: ${name}`, fn);

const TESTS = new URL("./", import.meta.url);

/** Under these, pages get shared memory, and so threads. */
const ISOLATED = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
const STRICT = { "content-security-policy": "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'" };
const POLICIES: Readonly<Record<string, Record<string, string>>> = {
  plain: {},
  isolated: ISOLATED,
  policy: STRICT,
  strict: { ...ISOLATED, ...STRICT },
};

const SMOKE = `<!doctype html><title>smoke</title><script type="module" src="entry.js"></script>`;
/** Sets the smoke test out for `page.evaluate`. */
const ENTRY = `import * as longstride from "./longstride.js"; import * as all from "./smoke.js"; import * as held from "./conformance.js";
globalThis.smoke = Object.fromEntries(Object.entries(all).map(([name, f]) => [name, (...args) => f(longstride, ...args)]));
Object.assign(globalThis.smoke, held);`;

/** What the browser tests share: made by the first of them, ended by the last. */
interface Scene {
  readonly browser: Browser;
  readonly base: string;
  close(): Promise<void>;
}

async function open(): Promise<Scene> {
  const built = await dist();
  const files = new Map<string, BodyInit>([
    ["smoke.html", SMOKE],
    ["entry.js", ENTRY],
    ["smoke.js", await bundled("test/runtimes/smoke.ts")],
    ["conformance.js", await bundled("test/runtimes/conformance.ts")],
  ]);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const [, policy, ...rest] = new URL(request.url).pathname.split("/"), name = rest.join("/"), content = files.get(name);
    const headers = { "content-type": contentType(name), ...POLICIES[policy] };
    if (content !== undefined) return new Response(content, { headers });
    // The bundle's files, and those of tests.
    if (!name.includes("/") && name.endsWith(".js")) return new Response((await serveFile(built, name)).body, { headers });
    return await serveFile(TESTS, name);
  });
  const browser = await launch();
  return {
    browser,
    base: `http://127.0.0.1:${server.addr.port}`,
    close: async () => {
      await browser.close();
      await server.shutdown();
    },
  };
}

let opened: Promise<Scene> | undefined;
const scene = () => opened ??= open();

/** Opens a page, and fails where it threw anything that nobody caught. */
async function onPage<T>(path: string, use: (page: Page) => Promise<T>): Promise<T> {
  const { browser, base } = await scene(), page = await browser.newPage(), errors: string[] = [];
  page.setDefaultTimeout(PAGE_TIMEOUT);
  page.on("pageerror", (error) => errors.push(String(error)));
  // A policy's violations, in the page and in its workers.
  page.on("console", (message) => message.text().includes("Content Security Policy") && errors.push(message.text()));
  try {
    await page.goto(`${base}/${path}`);
    const result = await use(page);
    assertEquals(errors, []);
    return result;
  } finally {
    await page.close();
  }
}

/** Calls a function of test/runtimes/smoke.ts or conformance.ts in a page. */
async function inPage<A extends unknown[], R>(page: Page, name: string, ...args: A): Promise<R> {
  await page.waitForFunction(() => "smoke" in globalThis);
  return await page.evaluate(
    ([name, args]) => (globalThis as unknown as { smoke: Record<string, (...args: unknown[]) => Promise<R>> }).smoke[name](...args),
    [name, args] as const,
  );
}
type Rest<F> = F extends (library: Library, ...args: infer A) => unknown ? A : never;
const smokeOn = (page: Page, ...args: Rest<typeof smoke>) => inPage<typeof args, Report>(page, "smoke", ...args);
const goldenOn = (page: Page, ...args: Parameters<typeof golden>) =>
  inPage<typeof args, Awaited<ReturnType<typeof golden>>>(page, "golden", ...args);

function assertSame(got: Report, want: Report, tolerance: number): void {
  assertEquals(got.losses.length, want.losses.length);
  got.losses.forEach((loss, i) =>
    assert(Math.abs(loss / want.losses[i] - 1) <= tolerance, `step ${i + 1}: loss ${loss}, Deno's ${want.losses[i]}`)
  );
}

let wanted: Promise<Report> | undefined;
/** The smoke test's numbers on the CPU engine in Deno. */
const want = () => wanted ??= smoke(longstride, "wasm");

test("WASM on one thread finds Deno's numbers", async () => {
  const got = await onPage("plain/smoke.html", (page) => smokeOn(page, "wasm"));
  assertMatch(got.engine, /1 thread/);
  assertEquals({ losses: got.losses, text: got.text }, { losses: (await want()).losses, text: (await want()).text });
});

const conformanceOn = (page: Page, ...args: Parameters<typeof conformance>) =>
  inPage<typeof args, Awaited<ReturnType<typeof conformance>>>(page, "conformance", ...args);

test("every conformance case holds on WASM", async () => {
  assertEquals(await onPage("plain/smoke.html", (page) => conformanceOn(page, "wasm")), { cases: pick().length, failed: [] });
});

test("conformance cases hold on WebGPU", async () => {
  // SwiftShader takes seconds for a large kernel: the small ones here, attention by the golden numbers below, and others where
  // LONGSTRIDE_CASES picks them.
  const queries = parseQueries(Deno.env.get("LONGSTRIDE_CASES") ?? "op=embedding,layernorm,choose,adam");
  const { cases, failed } = await onPage("plain/smoke.html", (page) => conformanceOn(page, "webgpu", queries));
  assertEquals({ cases, failed }, { cases: pick(...queries).length, failed: [] });
});

test("golden numbers hold on WASM", async () => {
  const { base } = await scene(),
    { held, failed } = await onPage(
      "plain/smoke.html",
      (page) => goldenOn(page, "wasm", `${base}/plain/golden/`, ""),
    );
  assertEquals(failed, []);
  assert(held > 100, `${held} numbers held`);
});

test("golden numbers hold on WebGPU", async () => {
  const { base } = await scene(),
    { held, failed } = await onPage(
      "plain/smoke.html",
      (page) => goldenOn(page, "webgpu", `${base}/plain/golden/`, "attention-strided-bidirectional"),
    );
  assertEquals(failed, []);
  assert(held === 5, `${held} numbers held`);
});

test("WASM on all cores where the page is isolated", async () => {
  const cores = navigator.hardwareConcurrency, got = await onPage("isolated/smoke.html", (page) => smokeOn(page, "wasm"));
  if (cores > 1) assertMatch(got.engine, new RegExp(`${cores} threads$`));
  assertEquals(got.losses, (await want()).losses);
});

test("WASM on all cores under a strict policy", async () => {
  const cores = navigator.hardwareConcurrency, got = await onPage("strict/smoke.html", (page) => smokeOn(page, "wasm"));
  if (cores > 1) assertMatch(got.engine, new RegExp(`${cores} threads$`));
  assertEquals(got.losses, (await want()).losses);
});

test("a strict policy without isolation: one thread, which says why", async () => {
  const got = await onPage("policy/smoke.html", (page) => smokeOn(page, "wasm", 12, { threads: 2 }));
  assertMatch(got.engine, /1 thread of 2: shared memory is not available/);
  assertEquals(got.losses, (await want()).losses);
});

test("what breaks a policy would be seen", async () => {
  const blob = () => {
    const worker = new Worker(URL.createObjectURL(new Blob(["postMessage(1)"])));
    return new Promise((resolve) => worker.onmessage = worker.onerror = resolve).then(() => {});
  };
  await assertRejects(() => onPage("policy/smoke.html", (page) => page.evaluate(blob)), Error, "Content Security Policy");
});

test("without the workers' file WASM runs on one thread and says so", async () => {
  const got = await onPage("strict/smoke.html", (page) => smokeOn(page, "wasm", 12, { threads: 2, worker: "nowhere.js" }));
  assertMatch(got.engine, /1 thread of 2: workers could not start: their file did not load/);
  assertEquals(got.losses, (await want()).losses);
});

test("WebGPU finds the CPU's numbers on a device of the page, and leaves it alive", async () => {
  const got = await onPage("strict/smoke.html", (page) => inPage<[number], Report & { isAlive: boolean }>(page, "smokeOnDevice", 3));
  assertMatch(got.engine, /WebGPU/);
  assert(got.isAlive);
  assertSame(got, await smoke(longstride, "wasm", 3), 1e-4);
});

Deno.test.afterAll(async () => {
  await (await opened)?.close();
  await removeMade();
});
