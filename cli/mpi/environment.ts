/**
 * What a process launcher tells each of the processes that it starts.
 *
 * @module
 */

function number(...names: string[]): number | undefined {
  const [text] = names.flatMap((name) => Deno.env.get(name) ?? []);
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Processes in all that Open MPI's mpirun started; undefined where it did not start this one. */
export const launched = (): number | undefined => number("OMPI_COMM_WORLD_SIZE");

/** This process's number among those of its host, and how many there are: of mpirun, or of Slurm's srun. */
export function localRank(): { rank: number; size: number } | undefined {
  const rank = number("OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"), size = number("OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE");
  return rank === undefined ? undefined : { rank, size: size ?? rank + 1 };
}

/** Threads of a process that shares its cores with others of this host; undefined where it is alone. */
export function localThreads(): number | undefined {
  const size = launched() === undefined ? 1 : localRank()?.size ?? 1;
  return size > 1 ? Math.max(1, Math.floor((globalThis.navigator?.hardwareConcurrency ?? 1) / size)) : undefined;
}
