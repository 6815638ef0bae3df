/**
 * Debian's headless Chromium for tests, WebGPU on SwiftShader.
 *
 * `LONGSTRIDE_BROWSER` is the browser's path, by default `/usr/bin/chromium`; `none` leaves these tests out and says so.
 *
 * @module
 */

import { type Browser, chromium } from "playwright-core";

const PATH = Deno.env.get("LONGSTRIDE_BROWSER") ?? "/usr/bin/chromium";
const none = PATH === "none";
if (none) console.warn("LONGSTRIDE_BROWSER=none: the browser tests are left out");

const FLAGS = [
  "--no-sandbox",
  // WebGPU without a GPU.
  ...["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
  // Nothing that calls home.
  ...["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/** A test that needs the browser. */
export function browserTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: none, fn });
}

/** Starts the browser; the one who started it closes it. */
export async function launch(): Promise<Browser> {
  if (!(await Deno.stat(PATH).catch(() => undefined))) {
    throw new Error(
      `Cannot run the browser tests: there is no ${PATH}; install Debian's chromium, or set LONGSTRIDE_BROWSER to a Chromium's path or to none`,
    );
  }
  return await chromium.launch({ executablePath: PATH, args: FLAGS });
}
