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

/** Path of an executable, fetched by npm where it has not been, and where that is not to be `"offline"`. */
export async function executable(name: keyof typeof PROGRAMS, network: "offline" | "prefer-offline" = "prefer-offline"): Promise<string> {
  const { program, packages } = PROGRAMS[name];
  const args = ["-y", `--${network}`, ...packages.map((full) => `--package=${full}`), "-c", `command -v ${program}`];
  const command = new Deno.Command("npx", { args, env: PATIENCE, stdin: "null", stdout: "piped", stderr: "piped" });
  const { success, stdout, stderr } = await command.output(), path = new TextDecoder().decode(stdout).trim();
  if (!success || !path) throw new Error(`npx could not get ${packages.join(", ")}: ${cause(new TextDecoder().decode(stderr))}`);
  return path;
}

/** The `node_modules` folder that a program's packages are in. */
export async function modulesOf(name: keyof typeof PROGRAMS): Promise<string> {
  return (await executable(name)).replace(/[/\\]\.bin[/\\][^/\\]+$/, "");
}
