/**
 * The WebGPU engine on Dawn: npm's `webgpu`, in Deno and in Node.
 *
 * Plan. Kernels against the oracle, and Dawn's errors as ours (runtimes/dawn.ts), in both; a process that has disposed of its engines ends.
 * In Node no other GPU is there, so it is taken without being named. What is missing or broken says what to install.
 */

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { dirname, join } from "node:path";
import { BackendError, ConfigError } from "../src/base/errors.ts";
import { pickBackend } from "../src/run/backend.ts";
import { needing } from "./needs.ts";
import { removeMade } from "./made.ts";
import { bundled } from "./runtimes/bundle.ts";
import type { DawnReport } from "./runtimes/dawn.ts";

const ADDON = Deno.env.get("LONGSTRIDE_TEST_DAWN"), VULKAN = Deno.env.get("LONGSTRIDE_TEST_DAWN_VULKAN");

let made: Promise<string> | undefined;

/** A folder with what is tried, and the package as npm installs it. */
const scene = () =>
  made ??= (async () => {
    const at = await Deno.makeTempDir();
    await Deno.writeTextFile(join(at, "dawn.js"), await bundled("test/runtimes/dawn.ts"));
    await Deno.writeTextFile(join(at, "package.json"), `{ "type": "module" }`);
    await Deno.mkdir(join(at, "node_modules"));
    if (ADDON) await Deno.symlink(dirname(dirname(dirname(ADDON))), join(at, "node_modules/webgpu"));
    return at;
  })();

/** What a program prints that tries all of it with these options. */
async function tried(program: string, args: readonly string[], options: string): Promise<DawnReport> {
  const at = await scene(), code = `import { tryDawn } from "./dawn.js"; console.log(JSON.stringify(await tryDawn(${options})));`;
  await Deno.writeTextFile(join(at, "main.js"), code);
  const env = { NO_COLOR: "1", ...VULKAN ? { VK_ICD_FILENAMES: VULKAN } : {} };
  // Nothing ends the process: where something of Dawn's is left it would go on.
  const command = new Deno.Command(program, { args: [...args, "main.js"], cwd: at, env, signal: AbortSignal.timeout(600_000) });
  const { success, stdout, stderr } = await command.output();
  // Node prints the line that failed, which is all of the file.
  assert(success, new TextDecoder().decode(stderr).slice(-1000));
  return JSON.parse(new TextDecoder().decode(stdout));
}

function assertHolds({ engine, features, cases, looks, failed, errors }: DawnReport): void {
  assertMatch(engine, /^WebGPU on .*, by Dawn/);
  assertEquals(failed, []);
  assert(cases >= 7, `${cases} cases`);
  // Compiling kernels takes a second each there: without pauses the addon looks 20,000 times in it.
  assert(looks.later > 0 && looks.atOnce < 20 * looks.later, JSON.stringify(looks));
  assert(features.includes("subgroups"), features.join());
  assertStringIncludes(errors.shader, "KernelError: Cannot compile kernel broken");
  assertMatch(errors.shader, /unresolved value 'nothing'[^]*\n {2}wgsl\/broken\.wgsl:9: /);
  assertStringIncludes(errors.run, "KernelError: running summing freed tensors");
  assertEquals(errors.after, "nothing was thrown");
  if (engine.includes("(software")) assertMatch(errors.memory, /^OutOfMemoryError: Out of GPU memory: allocating 1 tensors, \d+\.0 MiB: /);
  assertMatch(errors.lost, /^BackendError: The WebGPU device \(.*, by Dawn\) is lost, destroyed: /);
}

needing(["dawn"], "dawn: the WebGPU engine computes rightly in Deno on an addon by its path, and its errors are ours", async () => {
  const options = `{ gpu: "dawn", dawnPath: ${JSON.stringify(ADDON)} }`;
  assertHolds(await tried(Deno.execPath(), ["run", "-A", "--quiet", "--no-config"], options));
});

needing(["dawn"], "dawn: the same in Node on the package that is installed, without being named", async () => {
  assertHolds(await tried("node", [], "{}"));
});

Deno.test("dawn: what is no addon, or nothing, says what to install", async () => {
  const path = await Deno.makeTempFile({ suffix: ".node" });
  for (const dawnPath of [path, `${path}-none`, new URL(`file://${path}-none`)]) {
    const error = await assertRejects(() => pickBackend("auto", { gpu: "dawn", dawnPath }), BackendError, `Cannot use Dawn: ${dawnPath}: `);
    assertStringIncludes(error.message, "npm install webgpu@");
  }
  await Deno.remove(path);
  await assertRejects(
    () => pickBackend("webgpu", { gpu: "dawn", dawnPath: 5 as unknown as string }),
    ConfigError,
    "dawnPath must be a string",
  );
  await assertRejects(
    () => pickBackend("webgpu", { gpu: "metal" as "dawn" }),
    ConfigError,
    'gpu must be one of runtime, dawn, found "metal"',
  );
});

Deno.test.afterAll(async () => {
  if (made) await Deno.remove(await made, { recursive: true });
  await removeMade();
});
