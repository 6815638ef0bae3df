/**
 * Data-parallel training: several processes, each with the whole model and a share of every batch, whose gradients are summed while the
 * backward pass goes on. A trainer is given one of these; what trains alone loads nothing of it.
 *
 * @module
 */

import { expect, whole } from "../base/check.ts";
import { ConfigError, KernelError, LongstrideError } from "../base/errors.ts";
import { byMuon, type OptimizerName } from "../files/train_config.ts";
import type { Share } from "../model/train.ts";
import { type Engine, type Executable, type Program, size, type Tensor } from "../ops/mod.ts";
import { bucketsOf, endsOf } from "./buckets.ts";
import { checkCommunicator, type Communicator, type Wire, WIRES } from "./communicator.ts";
import { shareOf } from "./evaluate.ts";
import { HalvesSum } from "./halves_sum.ts";
import { type HostGradients, ReadGradients } from "./host_gradients.ts";
import { SharedMatrices } from "./shared_matrices.ts";

/** Who makes Muon's update: each process all of it, or a part that the others then get. */
export type MuonShares = "each" | "shared";

/** The names of {@linkcode MuonShares}. */
export const MUON_SHARES: readonly MuonShares[] = ["each", "shared"];

/** Choices of {@linkcode DataParallel}. */
export interface DataParallelOptions {
  /** What gradients are on their way; with f16 the loss is scaled whatever activations are stored in. Default f32. */
  readonly wire?: Wire;
  /** Who makes Muon's update. Default each. */
  readonly muon?: MuonShares;
  /** Bytes of gradients that go together; by default a sixteenth of all, at least 1 MiB. */
  readonly bucketBytes?: number;
}

/** How long exchanges took, in milliseconds, all steps since the last look together. */
export interface ExchangeTimes {
  /** Steps. */
  readonly steps: number;
  /** From the first byte on the way to the last, summed over buckets. */
  readonly exchange: number;
  /** What of it was left when the backward pass was over: the step waited for that long. */
  readonly exposed: number;
  /** Bytes of gradients that each rank gave away. */
  readonly bytes: number;
}

const SMALLEST_BUCKET = 2 ** 20, BUCKETS = 16;

/** Gradient norms of ranks that differ by more than this part of each other are of different models. */
const APART = 1e-4;

/** What is decided before a step. */
export interface Decisions {
  /** Whether no step follows. */
  readonly stops: boolean;
  /** Whether a report follows the step. */
  readonly reports: boolean;
  /** Whether an evaluation does. */
  readonly evaluates: boolean;
}

/** A share of an update, in the form that a training program is made of. */
export interface Part {
  /** Sequences of each of its micro-batches. */
  readonly batch: number;
  /** Its micro-batches. */
  readonly accumulate: number;
  /** Where they lie in the whole. */
  readonly share: Share;
}

/** One of the processes that train a model together. */
export class DataParallel {
  /** What gradients are on their way. */
  readonly wire: Wire;
  /** Who makes Muon's update. */
  readonly muon: MuonShares;
  readonly #bucketBytes: number | undefined;
  readonly #halves: HalvesSum;
  #turn: Promise<unknown> = Promise.resolve();
  /** Sums on a thread of the communicator's, which come one after another there. */
  #apart: Promise<unknown> = Promise.resolve();
  #times = { steps: 0, exchange: 0, exposed: 0, bytes: 0 };

  /**
   * Joins nothing: the communicator has done that.
   *
   * @throws {ConfigError} where a choice is none
   */
  constructor(readonly communicator: Communicator, options: DataParallelOptions = {}) {
    checkCommunicator("Cannot train together", communicator);
    expect("Cannot train together", { options: [options, "an object"] });
    const { wire = "f32", muon = "each", bucketBytes } = options;
    expect("Cannot train together", {
      wire: [wire, { oneOf: WIRES }],
      muon: [muon, { oneOf: MUON_SHARES }],
      bucketBytes: [bucketBytes === undefined ? 1 : bucketBytes, whole(1)],
    });
    this.wire = wire;
    this.muon = muon;
    this.#bucketBytes = bucketBytes;
    this.#halves = new HalvesSum(communicator);
  }

  /** This process's number. */
  get rank(): number {
    return this.communicator.rank;
  }

  /** Processes in all. */
  get size(): number {
    return this.communicator.size;
  }

  /** Which of how many this is. */
  get place(): readonly [rank: number, size: number] {
    return [this.rank, this.size];
  }

  /** What of so many things in order is this rank's: [from, to). */
  range(count: number): [from: number, to: number] {
    return shareOf(count, this.place);
  }

  /** Whether it is this one that reports and saves. */
  get isFirst(): boolean {
    return this.rank === 0;
  }

  /**
   * What of an update is this rank's: as many micro-batches as each other rank has, or rows of each micro-batch, or micro-batches as they go.
   *
   * @param batch sequences of a micro-batch, of all ranks
   * @throws {ConfigError} where there are fewer of both than ranks
   */
  share(batch: number, accumulate: number): Part {
    expect("Cannot share an update out", { batch: [batch, whole(1)], accumulate: [accumulate, whole(1)] });
    const { size, wire } = this, of = batch * accumulate, scaled = wire === "f16";
    if (batch >= size && accumulate % size !== 0) {
      const [row, end] = this.range(batch);
      return { batch: end - row, accumulate, share: { micro: 0, row, of, scaled } };
    }
    if (accumulate >= size) {
      const [micro, end] = this.range(accumulate);
      return { batch, accumulate: end - micro, share: { micro, row: 0, of, scaled } };
    }
    throw new ConfigError(
      `Cannot train on ${size} processes: batch is ${batch} and accumulate ${accumulate}, and one of them is shared out, so one must be at ` +
        `least ${size}; they count the sequences of all processes together`,
    );
  }

  /** Muon's matrices among parameters, shared out; undefined where every process updates them all. */
  matrices(params: readonly Tensor[], optimizer: OptimizerName): SharedMatrices | undefined {
    if (this.size === 1 || this.muon === "each") return;
    const shared = new SharedMatrices(this, params, ({ name, shape }) => byMuon(name, shape, optimizer));
    return shared.isEmpty ? undefined : shared;
  }

  /** Makes a call on the communicator when those before it have ended. */
  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const made = Promise.all([this.#turn, this.#apart]).then(call);
    // Whoever made a call hears how it ended.
    this.#turn = made.catch(() => {});
    return made;
  }

  /** Sums numbers over all ranks. */
  async sum(...numbers: number[]): Promise<Float64Array> {
    const data = Float64Array.from(numbers);
    await this.#inTurn(() => this.communicator.allreduce(data));
    return data;
  }

  /** What every rank gives, by rank: byte strings of one length. */
  async gather(bytes: Uint8Array): Promise<Uint8Array[]> {
    const all = new Uint8Array(bytes.length * this.size);
    await this.#inTurn(() => this.communicator.allgather(bytes, all));
    return Array.from({ length: this.size }, (_, rank) => all.subarray(rank * bytes.length, (rank + 1) * bytes.length));
  }

  /** All ranks' rows of so many bytes, in the order of the ranks. */
  async gatherRows(rows: readonly Uint8Array[], bytes: number): Promise<Uint8Array[]> {
    const counts = await this.sum(...Array.from({ length: this.size }, (_, rank) => rank === this.rank ? rows.length : 0));
    const own = new Uint8Array(Math.max(...counts) * bytes);
    rows.forEach((row, at) => own.set(row, at * bytes));
    const all = await this.gather(own);
    return all.flatMap((some, rank) => Array.from({ length: counts[rank] }, (_, at) => some.slice(at * bytes, (at + 1) * bytes)));
  }

  /** What all do, of what each would: they stop where any would, and report and evaluate where the first would. */
  async agree({ stops, reports, evaluates }: Decisions): Promise<Decisions> {
    const asked = [stops, this.isFirst && reports, this.isFirst && evaluates];
    const [stop, report, evaluation] = await this.sum(...asked.map(Number));
    return { stops: stop > 0, reports: report > 0, evaluates: evaluation > 0 };
  }

  /**
   * The loss of all ranks' shares together.
   *
   * @param loss of this rank's share
   * @param squareNorm the squared gradient norm, which must be the same on all ranks
   * @throws {KernelError} where it is another on this rank
   */
  async loss(loss: number, squareNorm: number): Promise<number> {
    const [total, squares] = await this.sum(loss, squareNorm), mean = squares / this.size;
    if (Number.isFinite(mean) && Math.abs(squareNorm - mean) > APART * mean) {
      throw new KernelError(
        `Cannot go on training: the squared gradient norm is ${squareNorm} on rank ${this.rank} and ${mean} on average, so its model is ` +
          `another by now; verify tells whether its device computes rightly, and the last save was the first rank's`,
      );
    }
    return total;
  }

  /** Mean bits per token over all ranks, of this one's and its tokens, which may be none. */
  async mean(bits: number, tokens: number): Promise<{ bits: number; tokens: number }> {
    const [total, of] = await this.sum(bits * tokens, tokens);
    return { bits: total / of, tokens: of };
  }

  /** How long exchanges took since the last call. */
  times(): ExchangeTimes {
    const times = this.#times;
    this.#times = { steps: 0, exchange: 0, exposed: 0, bytes: 0 };
    return times;
  }

  /**
   * Allocates gradients on an engine, in the buckets in which they will go.
   *
   * @param program a training step: one of the run's
   */
  async exchange(engine: Engine, program: Program, grads: readonly Tensor[]): Promise<Exchange> {
    const all = grads.reduce((sum, t) => sum + 4 * size(t), 0);
    const buckets = bucketsOf(program, grads, this.#bucketBytes ?? Math.max(SMALLEST_BUCKET, Math.ceil(all / BUCKETS)));
    return new Exchange(this, engine, buckets, await this.#hostGradients(engine, buckets));
  }

  async #hostGradients(engine: Engine, buckets: readonly (readonly Tensor[])[]): Promise<HostGradients> {
    if (engine.name !== "webgpu") return new ReadGradients(engine, buckets);
    const { MappedGradients } = await import("./mapped_gradients.ts");
    return await MappedGradients.create(engine as Parameters<typeof MappedGradients.create>[0], buckets, this.wire === "f16");
  }

  /** Sums a bucket over ranks, in place: f32, or the bits of f16 with f16 on the wire. */
  async sumBucket(data: Float32Array | Uint16Array): Promise<void> {
    const { communicator, wire } = this,
      sum = async () => {
        const begun = performance.now();
        await (wire === "f16" ? this.#halves.sum(data) : communicator.allreduce(data as Float32Array));
        return performance.now() - begun;
      };
    let milliseconds: Promise<number>;
    if (communicator.sumApart) {
      milliseconds = this.#turn.then(() => communicator.sumApart!(data, wire));
      this.#apart = Promise.allSettled([this.#apart, milliseconds]);
    } else milliseconds = this.#inTurn(sum);
    const took = await milliseconds;
    this.#times.exchange += took;
    this.#times.bytes += data.length * (wire === "f16" ? 2 : 4);
  }

  /** Notes a step, and how long it waited for its last bucket. */
  waited(milliseconds: number): void {
    this.#times.steps++;
    this.#times.exposed += milliseconds;
  }
}

/** A trainer's gradients on an engine, and what sums them over processes in the course of a step. */
export class Exchange {
  #cuts: { readonly of: Program; readonly ends: readonly number[] } | undefined;

  /** Takes gradients that are allocated: {@linkcode DataParallel.exchange} makes one. */
  constructor(
    private readonly group: DataParallel,
    private readonly engine: Engine,
    private readonly buckets: readonly (readonly Tensor[])[],
    private readonly host: HostGradients,
  ) {}

  #endsOf(program: Program): readonly number[] {
    if (this.#cuts?.of !== program) this.#cuts = { of: program, ends: endsOf(program, this.buckets) };
    return this.#cuts.ends;
  }

  /**
   * Runs a training step: backward pass by parts, each bucket on its way as soon as it is whole, then the update.
   *
   * @throws {KernelError} naming what failed, on the device or between the processes
   */
  async run(executable: Executable, program: Program): Promise<void> {
    const { host, buckets } = this, sums: Promise<void>[] = [];
    let from = 0, taken = 0;
    const send = async (bucket: number) => {
      const data = await host.take(bucket);
      taken = performance.now();
      await this.group.sumBucket(data);
      if (host.eager) await host.put(bucket);
    };
    try {
      for (const [bucket, end] of this.#endsOf(program).entries()) {
        if (end > from) await executable.part(from, end);
        host.copy(bucket);
        from = end;
        // While the device does that the host has its turn with buckets before: in Deno, taking one holds this thread until the device has
        // nothing left to do, which then waits for the next part.
        await new Promise((resume) => setTimeout(resume, 0));
        const sum = send(bucket);
        // It is waited for below; should a part fail before, its own failure is not the one to tell.
        sum.catch(() => {});
        sums.push(sum);
      }
      await Promise.all(sums);
    } catch (error) {
      throw await this.#told(error);
    }
    this.group.waited(performance.now() - taken);
    if (!host.eager) { for (const bucket of buckets.keys()) await host.put(bucket); }
    await executable.part(from, program.ops.length);
  }

  /** What the engine says of a failure, where it says more. */
  async #told(error: unknown): Promise<unknown> {
    if (error instanceof LongstrideError) return error;
    try {
      await this.engine.read(this.buckets[0][0]);
    } catch (told) {
      return told;
    }
    return new KernelError(`Cannot sum gradients: ${(error as Error).message}`, { cause: error });
  }

  /** Frees the gradients. */
  dispose(): void {
    this.engine.free(this.buckets.flat());
    this.host.dispose();
  }
}
