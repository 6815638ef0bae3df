/**
 * Programs from npm, for tests: other runtimes.
 *
 * @module
 */

/** The versions that tests run. */
const VERSIONS = { bun: "1.4.5", workerd: "1.20261117.1" } as const;

/** Path of a runtime's executable, fetched by npm where it has not been. */
export async function executable(name: keyof typeof VERSIONS): Promise<string> {
  const args = ["-y", `--package=${name}@${VERSIONS[name]}`, "-c", `command -v ${name}`];
  const { success, stdout, stderr } = await new Deno.Command("npx", { args, stdout: "piped", stderr: "piped" }).output();
  const path = new TextDecoder().decode(stdout).trim();
  if (!success || !path) throw new Error(`npx could not get ${name}@${VERSIONS[name]}: ${new TextDecoder().decode(stderr)}`);
  return path;
}
