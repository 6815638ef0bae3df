/**
 * What the tools' command lines have in common.
 *
 * @module
 */

/** Ends a tool whose command line cannot be understood: exit code 2. */
export function refuse(message: string): never {
  console.error(message);
  Deno.exit(2);
}

/** Prints how a task is called and ends, where `--help` is asked for. */
export function helpWhereAsked(help: string, args: readonly string[] = Deno.args): void {
  const end = args.indexOf("--");
  if (!(end < 0 ? args : args.slice(0, end)).some((arg) => arg === "--help" || arg === "-h")) return;
  console.log(help);
  Deno.exit(0);
}
