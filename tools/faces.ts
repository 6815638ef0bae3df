/**
 * The modules that others import.
 *
 * @module
 */

/** Their paths from the root, by deno.json, `mod.ts` first. */
export function faces(): string[] {
  const { exports } = JSON.parse(Deno.readTextFileSync(new URL("../deno.json", import.meta.url))) as { exports: Record<string, string> };
  return Object.values(exports).filter((path) => !path.startsWith("./cli/")).map((path) => path.slice(2));
}
