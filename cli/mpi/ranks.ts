/**
 * A command that several processes do together: joined, checked to be about the same, and ended together.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { ConfigError, LongstrideError } from "../../mod.ts";
import { DataParallel, type DataParallelOptions } from "../../ops.ts";
import { UsageError } from "../flags.ts";
import { bytes as size, percent } from "../format.ts";
import { VERSION } from "../program.ts";
import { Report } from "../report.ts";
import { Screen } from "../terminal.ts";
import { OpenMpi } from "./open_mpi.ts";
import { takeOwnGpu } from "./own_gpu.ts";

/** Milliseconds that other ranks wait before they tell of a failure: where the first has the same to tell, it ends them. */
const PATIENCE = 500;

/** Says nothing: what all ranks but the first report to. */
class Silence extends Report {
  override say(): void {}
  override show(): void {}
  override progress(): void {}
  override keep(): void {}
  override event(): void {}
}

/** The processes of a command, of which this is one. */
export class Ranks {
  readonly together: DataParallel;
  readonly #mpi: OpenMpi;

  constructor(mpi: OpenMpi, options: DataParallelOptions) {
    this.#mpi = mpi;
    this.together = new DataParallel(mpi, options);
  }

  /** Whether it is this one that reports and writes. */
  get isFirst(): boolean {
    return this.together.isFirst;
  }

  /** For people. */
  get description(): string {
    const { size, wire } = this.together;
    return `${size} process${size === 1 ? "" : "es"} on MPI, gradients as ${wire}`;
  }

  /** Tells how long sums of gradients took, and how much of that the backward pass hid. */
  tellTimes(report: Report): void {
    const { steps, exchange, exposed, bytes } = this.together.times();
    if (steps === 0 || this.together.size === 1) return;
    const hidden = Math.max(0, 1 - exposed / Math.max(1e-9, exchange));
    report.event("exchange", { steps, milliseconds: exchange / steps, left: exposed / steps, hidden, bytes: bytes / steps });
    report.fact("Exchange", `${(exchange / steps).toFixed(1)} ms per step for ${size(bytes / steps)}, ${percent(hidden)} of it hidden`);
  }

  /** What reports here. */
  report(json: boolean, goesOn?: string): Report {
    return this.isFirst ? new Report(json, goesOn) : new Silence(json);
  }

  /**
   * Makes sure that all ranks are about the same.
   *
   * @param facts by what a message calls them: anything that JSON holds
   * @throws {ConfigError} where a rank has something else than the first, on all ranks
   */
  async agree(facts: Readonly<Record<string, unknown>>): Promise<void> {
    const all = { "version of this program": VERSION, wire: this.together.wire, "who makes Muon's update": this.together.muon, ...facts };
    const digests = Object.values(all).map((fact) => createHash("sha256").update(JSON.stringify(fact) ?? "").digest());
    const [first, ...others] = await this.together.gather(new Uint8Array(Buffer.concat(digests)));
    others.forEach((other, at) => {
      const wrong = Object.keys(all).filter((_, i) => digestAt(other, i) !== digestAt(first, i));
      if (wrong.length === 0) return;
      throw new ConfigError(
        `Cannot train together: rank ${at + 1} has another ${wrong.join(" and another ")} than rank 0; start all with the same program, ` +
          `flags and files`,
      );
    });
  }

  /** Ends what all have come to the end of. */
  finish(): void {
    this.#mpi.finalize();
  }

  /** Tells of a failure and ends all ranks. */
  async fail(error: unknown): Promise<never> {
    const { rank, size } = this.together;
    if (rank > 0) await new Promise((resume) => setTimeout(resume, PATIENCE));
    const text = error instanceof LongstrideError ? error.message : (error as Error).stack ?? String(error);
    new Screen(Deno.stderr).print(size > 1 ? `Rank ${rank} of ${size}: ${text}` : text);
    return this.#mpi.abort(error instanceof UsageError ? 2 : 1);
  }
}

const digestAt = (bytes: Uint8Array, at: number) => bytes.subarray(32 * at, 32 * at + 32).join();

/** Joins the processes that mpirun started, each with a GPU of its own where it is to have one. */
export async function join(options: DataParallelOptions & { readonly gpu: boolean }): Promise<Ranks> {
  if (options.gpu) await takeOwnGpu();
  return new Ranks(new OpenMpi(), options);
}
