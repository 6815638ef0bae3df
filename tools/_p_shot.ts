/// <reference lib="dom" />
// deno run -A tools/_p_shot.ts OUT page width scheme [action]
import { serveSite } from "../tools/web.ts";
import { launch } from "../test/runtimes/chromium.ts";
const site = new URL("file:///tmp/w/p/site/");
const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (r) => serveSite(site, r));
const base = `http://127.0.0.1:${server.addr.port}/`;
const browser = await launch();
const [name, path, width, scheme, script = ""] = Deno.args;
const page = await browser.newPage({ viewport: { width: +width, height: +width < 500 ? 844 : 900 }, colorScheme: scheme as "dark" });
page.on("console", (m) => console.log("console:", m.text()));
page.on("pageerror", (e) => console.log("pageerror:", e.message, e.stack));
await page.goto(base + path);
await page.waitForTimeout(400);
if (script) {
  const f = (await import(new URL(script, "file:///tmp/w/p/").href)).default;
  await f(page, name);
}
await page.screenshot({ path: `/tmp/w/p/${name}.png`, fullPage: true });
await browser.close();
await server.shutdown();
Deno.exit(0);
