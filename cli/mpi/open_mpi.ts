/**
 * Open MPI, called through Deno's FFI: no build step, no native code of our own.
 *
 * @module
 */

import { BackendError, ConfigError } from "../../mod.ts";
import type { Communicator, Wire } from "../../ops.ts";
import { launched, localRank } from "./environment.ts";
import { type Pointer, runtime } from "./runtime.ts";
import { Summer } from "./summer.ts";

/** The library of Open MPI 4 and 5, by system. */
const LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  linux: ["libmpi.so.40", "libmpi.so"],
  darwin: ["libmpi.40.dylib", "libmpi.dylib", "/opt/homebrew/lib/libmpi.dylib", "/usr/local/lib/libmpi.dylib"],
};

const HANDLE = "pointer", PLACE = "buffer", COUNT = "i32", CODE = "i32";
const exchange = [PLACE, COUNT, HANDLE, PLACE, COUNT, HANDLE, HANDLE] as const;

/**
 * Constants of mpi.h are addresses in Open MPI. Collective calls run on a thread of their own, so that the event loop goes on, or hold this one.
 */
const symbols = (nonblocking: boolean) => ({
  MPI_Init_thread: { parameters: [HANDLE, HANDLE, COUNT, PLACE], result: CODE },
  MPI_Comm_rank: { parameters: [HANDLE, PLACE], result: CODE },
  MPI_Comm_size: { parameters: [HANDLE, PLACE], result: CODE },
  MPI_Allreduce: { parameters: [HANDLE, PLACE, COUNT, HANDLE, HANDLE, HANDLE], result: CODE, nonblocking },
  MPI_Alltoall: { parameters: exchange, result: CODE, nonblocking },
  MPI_Allgather: { parameters: exchange, result: CODE, nonblocking },
  MPI_Abort: { parameters: [HANDLE, CODE], result: CODE },
  MPI_Finalize: { parameters: [], result: CODE },
  ompi_mpi_comm_world: { type: HANDLE },
  ompi_mpi_float: { type: HANDLE },
  ompi_mpi_double: { type: HANDLE },
  ompi_mpi_byte: { type: HANDLE },
  ompi_mpi_op_sum: { type: HANDLE },
} as const);

type Exchange = (
  from: Uint8Array,
  each: number,
  type: Pointer,
  to: Uint8Array,
  count: number,
  as: Pointer,
  world: Pointer,
) => Promise<number> | number;

/** What {@linkcode symbols} are. */
interface Library {
  MPI_Init_thread(argc: Pointer, argv: Pointer, wanted: number, provided: Int32Array): number;
  MPI_Comm_rank(world: Pointer, out: Int32Array): number;
  MPI_Comm_size(world: Pointer, out: Int32Array): number;
  MPI_Allreduce(
    send: Pointer,
    data: Float32Array | Float64Array,
    count: number,
    type: Pointer,
    op: Pointer,
    world: Pointer,
  ): Promise<number> | number;
  readonly MPI_Alltoall: Exchange;
  readonly MPI_Allgather: Exchange;
  MPI_Abort(world: Pointer, code: number): number;
  MPI_Finalize(): number;
  readonly ompi_mpi_comm_world: Pointer;
  readonly ompi_mpi_float: Pointer;
  readonly ompi_mpi_double: Pointer;
  readonly ompi_mpi_byte: Pointer;
  readonly ompi_mpi_op_sum: Pointer;
}

/** MPI_THREAD_SERIALIZED: threads call it, one at a time. */
const SERIALIZED = 2;
/** MPI counts in 32 bits. */
const MOST = 2 ** 30;

const INSTALL = "install Open MPI (Debian, Ubuntu: apt install openmpi-bin; Fedora: dnf install openmpi; macOS: brew install open-mpi)";

/** Names the library's file, where it is not where the system looks. */
const NAMED = "LONGSTRIDE_MPI";

function load(nonblocking: boolean): Library {
  const { dlopen } = runtime(), reasons: string[] = [], named = Deno.env.get(NAMED);
  for (const name of named ? [named] : LIBRARIES[Deno.build.os] ?? []) {
    try {
      return dlopen(name, symbols(nonblocking)).symbols as Library;
    } catch (error) {
      if ((error as Error).name === "NotCapable") {
        throw new ConfigError(`Cannot train on MPI: Deno may not load ${name}; give it --allow-ffi, or -A`, { cause: error });
      }
      const { message } = error as Error;
      // MPICH and its kin have a library of that name too.
      if (/ompi_|Failed to register symbol/.test(message)) {
        throw new BackendError(`Cannot train on MPI: ${name} is not Open MPI's; ${INSTALL}`, { cause: error });
      }
      reasons.push(message.split("\n")[0]);
    }
  }
  const why = reasons[0] ?? `it is not known on ${Deno.build.os}`;
  throw new BackendError(`Cannot train on MPI: its library was not found (${why}); ${INSTALL}, or name its file by ${NAMED}`);
}

/**
 * Has MPI sum by segments of 1 MiB between the processes of one host, where nobody chose: 24 MB over two take 8.5 ms by them, 18 by Open MPI's own
 * choice. It reads this when it is initialised.
 */
function preferSegments(): void {
  const choice = { use_dynamic_rules: 1, allreduce_algorithm: 5, allreduce_algorithm_segmentsize: 2 ** 20 };
  const all = Object.entries(choice).map(([name, value]) => [`OMPI_MCA_coll_tuned_${name}`, value] as const);
  if (localRank()?.size !== launched() || all.some(([name]) => Deno.env.get(name) !== undefined)) return;
  for (const [name, value] of all) Deno.env.set(name, String(value));
}

/** The processes that mpirun started. */
export class OpenMpi implements Communicator {
  readonly rank: number;
  readonly size: number;
  readonly #library: Library;
  readonly #inPlace = runtime().UnsafePointer.create(1n);
  #summer: Summer | undefined;

  /**
   * Joins them.
   *
   * @param isJoined whether another thread of this process has done so; then calls hold the thread
   * @throws {BackendError} where the library is not there
   */
  constructor(isJoined = false) {
    if (!isJoined) preferSegments();
    const library = this.#library = load(!isJoined), out = new Int32Array(1), world = library.ompi_mpi_comm_world;
    if (!isJoined) {
      library.MPI_Init_thread(null, null, SERIALIZED, out);
      if (out[0] < SERIALIZED) throw new BackendError("Cannot train on MPI: this Open MPI was built without threads; use another build");
    }
    const ask = (call: (world: Pointer, out: Int32Array) => number) => {
      call(world, out);
      return out[0];
    };
    this.rank = ask(library.MPI_Comm_rank);
    this.size = ask(library.MPI_Comm_size);
  }

  async allreduce(data: Float32Array | Float64Array): Promise<void> {
    const { MPI_Allreduce, ompi_mpi_float, ompi_mpi_double, ompi_mpi_op_sum, ompi_mpi_comm_world } = this.#library;
    const type = data instanceof Float32Array ? ompi_mpi_float : ompi_mpi_double;
    for (let from = 0; from < data.length; from += MOST) {
      const some = data.subarray(from, from + MOST);
      check("MPI_Allreduce", await MPI_Allreduce(this.#inPlace, some, some.length, type, ompi_mpi_op_sum, ompi_mpi_comm_world));
    }
  }

  sumApart(data: Float32Array | Uint16Array, wire: Wire): Promise<number> {
    return (this.#summer ??= new Summer()).sum(data, wire);
  }

  async alltoall(send: Uint8Array, receive: Uint8Array): Promise<void> {
    await this.#exchange("MPI_Alltoall", send, receive, send.length / this.size);
  }

  async allgather(send: Uint8Array, receive: Uint8Array): Promise<void> {
    await this.#exchange("MPI_Allgather", send, receive, send.length);
  }

  async #exchange(name: "MPI_Alltoall" | "MPI_Allgather", send: Uint8Array, receive: Uint8Array, each: number): Promise<void> {
    const { ompi_mpi_byte: byte, ompi_mpi_comm_world: world } = this.#library;
    check(name, await this.#library[name](send, each, byte, receive, each, byte, world));
  }

  /** Leaves, when all have come to this. */
  finalize(): void {
    this.#summer?.end();
    this.#library.MPI_Finalize();
  }

  /** Ends all processes at once. */
  abort(code: number): never {
    this.#library.MPI_Abort(this.#library.ompi_mpi_comm_world, code);
    return Deno.exit(code);
  }
}

/** By default Open MPI ends the run where a call fails; some builds are told to answer instead. */
function check(name: string, code: number): void {
  if (code !== 0) throw new BackendError(`Cannot go on: ${name} failed with code ${code}; mpirun's messages say more`);
}
