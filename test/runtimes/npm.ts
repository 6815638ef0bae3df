/**
 * Programs from npm, for tests: other runtimes.
 *
 * @module
 */

/** Those that tests run: versions, and what there is to download on one platform. */
export const RUNTIMES = {
  bun: { version: "1.4.5", packed: "50 MB" },
  workerd: { version: "1.20261117.1", packed: "50 MB" },
} as const;

/** npm's settings: where there is no network it says so after seconds instead of a minute; a slow one may take its time. */
export const PATIENCE = {
  npm_config_fetch_retries: "1",
  npm_config_fetch_retry_mintimeout: "1000",
  npm_config_fetch_timeout: "1800000",
} as const;

/** What a program that failed printed of why, in a line. */
export function cause(printed: string): string {
  const lines = printed.split("\n").map((line) => line.trim()).filter(Boolean);
  return /(?:^E: |reason: |(?=error sending))(.*)/m.exec(printed)?.[1] ?? lines.at(-1) ?? "it said nothing";
}

/** Path of a runtime's executable, fetched by npm where it has not been, and where that is not to be `"offline"`. */
export async function executable(name: keyof typeof RUNTIMES, network: "offline" | "prefer-offline" = "prefer-offline"): Promise<string> {
  const full = `${name}@${RUNTIMES[name].version}`, args = ["-y", `--${network}`, `--package=${full}`, "-c", `command -v ${name}`];
  const command = new Deno.Command("npx", { args, env: PATIENCE, stdin: "null", stdout: "piped", stderr: "piped" });
  const { success, stdout, stderr } = await command.output(), path = new TextDecoder().decode(stdout).trim();
  if (!success || !path) throw new Error(`npx could not get ${full}: ${cause(new TextDecoder().decode(stderr))}`);
  return path;
}
