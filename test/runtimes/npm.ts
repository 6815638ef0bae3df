/**
 * Programs from npm, for tests: other runtimes, bundlers, a compiler of types.
 *
 * @module
 */

/** Those that tests run: exact packages, the first one's program, and what there is to download on one platform. */
export const PROGRAMS = {
  bun: { program: "bun", packages: ["bun@1.4.5"], packed: "50 MB" },
  workerd: { program: "workerd", packages: ["workerd@1.20261117.1"], packed: "50 MB" },
  bundler: {
    program: "rollup",
    packages: ["rollup@4.68.8", "@rollup/plugin-node-resolve@16.0.3", "vite@8.4.0", "webpack@5.113.0", "react@19.3.1", "react-dom@19.3.1"],
    packed: "20 MB",
  },
  typescript: { program: "tsc", packages: ["typescript@5.9.3", "@types/react@19.3.3", "@webgpu/types@0.1.74"], packed: "5 MB" },
  // No program, an addon.
  dawn: { program: undefined, packages: ["webgpu@0.6.2"], packed: "50 MB" },
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

/** How much of the network may be asked. */
type Network = "offline" | "prefer-offline";

/** What a shell prints that has packages on its path, fetched by npm where they have not been, and where that is not to be `"offline"`. */
async function among(name: keyof typeof PROGRAMS, line: string, network: Network): Promise<string> {
  const { packages } = PROGRAMS[name];
  const args = ["-y", `--${network}`, ...packages.map((full) => `--package=${full}`), "-c", line];
  const command = new Deno.Command("npx", { args, env: PATIENCE, stdin: "null", stdout: "piped", stderr: "piped" });
  const { success, stdout, stderr } = await command.output(), printed = new TextDecoder().decode(stdout).trim();
  if (!success || !printed) throw new Error(`npx could not get ${packages.join(", ")}: ${cause(new TextDecoder().decode(stderr))}`);
  return printed;
}

/** Path of an executable, fetched by npm where it has not been. */
export async function executable(name: keyof typeof PROGRAMS, network: Network = "prefer-offline"): Promise<string> {
  return await among(name, `command -v ${PROGRAMS[name].program}`, network);
}

/** The `node_modules` folder that packages are in, fetched by npm where they have not been. */
export async function modulesOf(name: keyof typeof PROGRAMS, network: Network = "prefer-offline"): Promise<string> {
  // The folder of their programs comes first, also where they have none.
  return (await among(name, "printf %s $PATH", network)).split(":")[0].replace(/[/\\]\.bin$/, "");
}
