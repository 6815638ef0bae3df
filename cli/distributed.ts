/**
 * Flags for several processes, and doing a command in them. What joins them is loaded only then.
 *
 * @module
 */

import { MUON_SHARES, type MuonShares, WIRES } from "../ops.ts";
import { type Args, type Flag, group, UsageError } from "./flags.ts";
import { launched } from "./mpi/environment.ts";
import type { Ranks } from "./mpi/ranks.ts";

/** Whether and how. */
export const DISTRIBUTED_FLAGS: readonly Flag[] = group("Several processes", [
  {
    name: "distributed",
    value: "NAME",
    allowed: { oneOf: ["mpi", "none"] },
    about: "what joins several processes, each with a share of the work (default: mpi where mpirun started several, else none)",
  },
]);

/** What gradients are on their way. */
export const WIRE_FLAGS: readonly Flag[] = group("Several processes", [
  { name: "wire", value: "f32|f16", allowed: { oneOf: WIRES }, about: "what gradients are on their way between processes (default: f32)" },
  {
    name: "muon",
    value: "each|shared",
    allowed: { oneOf: MUON_SHARES },
    about: "who makes Muon's update: each process all of it, or a part that the others then get (default: each)",
  },
]);

/**
 * Does a command in this process alone, or as one of several.
 *
 * @param command what to do; `ranks` are there where it is one of several
 */
export async function distributed(args: Args, command: (ranks?: Ranks) => Promise<number>): Promise<number> {
  const asked = args.text("distributed"), wire = args.text("wire") as "f32" | "f16" | undefined;
  const muon = args.text("muon") as MuonShares | undefined;
  if (asked === "none" || asked === undefined && (launched() ?? 1) < 2) {
    const given = wire ? "wire" : muon && "muon";
    if (given) {
      throw new UsageError(`Cannot use --${given} without several processes: mpirun -n N starts them, --distributed mpi joins them`);
    }
    return await command();
  }
  const { join } = await import("./mpi/ranks.ts"), backend = args.text("backend") ?? "auto";
  const ranks = await join({ wire, muon, gpu: backend === "auto" || backend === "webgpu" });
  try {
    const code = await command(ranks);
    ranks.finish();
    return code;
  } catch (error) {
    return await ranks.fail(error);
  }
}
