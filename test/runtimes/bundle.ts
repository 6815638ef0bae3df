/**
 * What is bundled for runtimes that do not run TypeScript: `dist/` as `deno task bundle` makes it, and test modules.
 *
 * @module
 */

import { bundle } from "../../tools/bundle.ts";

const ROOT = new URL("../../", import.meta.url);

let made: Promise<URL> | undefined;

/** `dist/` in a folder of its own, made once a process; {@linkcode removeDist} when done. */
export function dist(): Promise<URL> {
  return made ??= (async () => {
    const out = new URL(`file://${await Deno.makeTempDir()}/`);
    await bundle(out);
    return out;
  })();
}

/** Removes what {@linkcode dist} made. */
export async function removeDist(): Promise<void> {
  if (made) await Deno.remove(await made, { recursive: true });
  made = undefined;
}

/** The text of `deno bundle --platform browser` of a file of this project. */
export async function bundled(path: string): Promise<string> {
  const output = await Deno.makeTempFile({ suffix: ".js" });
  try {
    const command = new Deno.Command(Deno.execPath(), {
      args: ["bundle", "--quiet", "--platform", "browser", "--output", output, path],
      cwd: ROOT,
      stdout: "piped",
      stderr: "piped",
    });
    const { success, stderr } = await command.output();
    if (!success) throw new Error(`deno bundle ${path} failed: ${new TextDecoder().decode(stderr)}`);
    return await Deno.readTextFile(output);
  } finally {
    await Deno.remove(output);
  }
}
