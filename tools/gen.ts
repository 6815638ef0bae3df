/**
 * `deno task gen` writes the generated files; `deno task gen --check` fails where one is stale.
 *
 * @module
 */

import { generateAsm } from "./gen_asm.ts";
import { generateCases } from "./gen_cases.ts";
import { generateOps } from "./gen_ops.ts";
import { generateWgsl } from "./gen_wgsl.ts";
import { helpWhereAsked, refuse } from "./usage.ts";

helpWhereAsked(`Writes the generated files: lists of operations, the kernels' binary and their shipped copies, types.

Usage: deno task gen [--check]

  --check  write nothing, fail where one is stale`);
const unknown = Deno.args.find((arg) => arg !== "--check");
if (unknown !== undefined) refuse(`Cannot use ${unknown}: deno task gen takes --check or nothing`);

const check = Deno.args.includes("--check");
const encoder = new TextEncoder();
let stale = 0;
// In this order: kernels take constants from the operations.
for (const generate of [generateOps, generateAsm, generateWgsl, generateCases]) {
  for (const [path, content] of await generate()) {
    const bytes = typeof content === "string" ? encoder.encode(content) : content;
    const old = await Deno.readFile(path).catch(() => new Uint8Array());
    if (old.length === bytes.length && old.every((byte, i) => byte === bytes[i])) continue;
    if (check) {
      console.error(`${path} is stale: run deno task gen and commit it`);
      stale++;
    } else {
      await Deno.writeFile(path, bytes);
      console.log(`wrote ${path} (${bytes.length} bytes)`);
    }
  }
}
Deno.exit(stale ? 1 : 0);
