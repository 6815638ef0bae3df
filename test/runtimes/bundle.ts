/**
 * Bundles a module the way a user does, for runtimes that do not run TypeScript.
 *
 * @module
 */

const ROOT = new URL("../../", import.meta.url);

/** The text of `deno bundle --platform browser` of a file of this project. */
export async function bundle(path: string): Promise<string> {
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
