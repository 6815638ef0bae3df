/**
 * Headless Chromium for tests, WebGPU on SwiftShader. `LONGSTRIDE_BROWSER` is its path; by default it is looked for.
 *
 * @module
 */

import { type Browser, chromium } from "playwright-core";
import { existsSync } from "node:fs";
import { browserPaths } from "../../tools/set_up_tests.ts";
import { needing } from "../needs.ts";

const FLAGS = [
  "--no-sandbox",
  // WebGPU without a GPU.
  ...["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
  // Nothing that calls home.
  ...["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/** Milliseconds that a page is waited for: so long that only what hangs takes them, also where other tests keep the machine busy. */
export const PAGE_TIMEOUT = 180_000;

/** A test that needs the browser. */
export function browserTest(name: string, fn: () => Promise<void>): void {
  needing(["browser"], name, fn);
}

/** Starts the browser; the one who started it closes it. */
export async function launch(): Promise<Browser> {
  const paths = browserPaths(), executablePath = paths.find((path) => existsSync(path));
  if (!executablePath) {
    const where = paths.length === 1 ? paths[0] : "Chromium or Chrome";
    throw new Error(`Cannot run the browser tests: there is no ${where}; deno task test gets one, LONGSTRIDE_BROWSER names one`);
  }
  return await chromium.launch({ executablePath, args: FLAGS, timeout: PAGE_TIMEOUT });
}
