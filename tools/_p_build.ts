/// <reference lib="dom" />
import { buildSite, serveSite } from "../tools/web.ts";
const out = new URL("file:///tmp/w/p/site/");
if (Deno.args[0] === "build") {
  const t = performance.now();
  await buildSite(out);
  console.log("built", performance.now() - t);
}
