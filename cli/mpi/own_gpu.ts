/**
 * A GPU for each process of a host. Deno takes the first GPU that there is, and no variable changes that; so a process that is to have another
 * one is started again in a mount namespace of its own, in which the others' device nodes are covered.
 *
 * @module
 */

import { ConfigError } from "../../mod.ts";
import { quote } from "../program.ts";
import { localRank } from "./environment.ts";
import { runtime } from "./runtime.ts";

/** Set in a process that sees its own GPU alone, to its number; `any` leaves the choice to the system. */
const CHOSEN = "LONGSTRIDE_GPU";

/** Device nodes of GPUs, a list per driver. */
function nodes(): string[][] {
  const list = (folder: string, name: RegExp) => {
    try {
      return [...Deno.readDirSync(folder)].map((entry) => entry.name).filter((one) => name.test(one))
        .sort((a, b) => Number(/\d+/.exec(a)) - Number(/\d+/.exec(b))).map((one) => `${folder}/${one}`);
    } catch {
      return [];
    }
  };
  return [list("/dev", /^nvidia\d+$/), list("/dev/dri", /^renderD\d+$/)];
}

/** The arguments that this process was started with. */
function commandLine(): string[] {
  try {
    const words = Deno.readTextFileSync("/proc/self/cmdline").split("\0");
    return words.slice(1, -1);
  } catch {
    return ["run", "-A", runtime().mainModule, ...Deno.args];
  }
}

/**
 * Where this host has several GPUs and several processes: runs this program again, with one GPU to see, and ends with its exit code.
 * Elsewhere it answers at once.
 *
 * @throws {ConfigError} where device nodes cannot be covered
 */
export async function takeOwnGpu(): Promise<void> {
  const local = localRank();
  if (Deno.build.os !== "linux" || !local || local.size < 2 || Deno.env.get(CHOSEN) !== undefined) return;
  const lists = nodes().filter((list) => list.length > 1);
  if (lists.length === 0) return;
  const covered = lists.flatMap((list) => list.filter((_, at) => at !== local.rank % list.length));
  const script = [...covered.map((node) => `mount --bind /dev/null ${quote(node)}`), `exec "$@"`].join(" && ");
  const flags = runtime().uid() === 0 ? ["-m"] : ["-r", "-m"];
  const begin = (args: readonly string[], env: Record<string, string> = {}) =>
    new (runtime().Command)("unshare", { args: [...flags, "sh", "-c", script, "sh", ...args], env });
  const probe = await begin(["true"]).output().catch((error: Error) => ({
    success: false,
    stderr: new TextEncoder().encode(error.message),
  }));
  if (!probe.success) {
    throw new ConfigError(
      `Cannot give each of ${local.size} processes a GPU of its own: unshare cannot cover the others' device nodes (${
        new TextDecoder().decode(probe.stderr).trim().split("\n")[0]
      }); start each process in a container or Slurm task that sees one GPU, or set ${CHOSEN}=any to let all take the first`,
    );
  }
  const child = begin([Deno.execPath(), ...commandLine()], { [CHOSEN]: String(local.rank) }).spawn();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const) {
    Deno.addSignalListener(signal, () => {
      try {
        child.kill(signal);
      } catch { /* It has just ended. */ }
    });
  }
  Deno.exit((await child.status).code);
}
