/**
 * Muon's matrices shared out among processes: each orthogonalises its part of them, and what came of it is gathered.
 *
 * @module
 */

import { type Engine, size, type Tensor } from "../ops/mod.ts";

/** What it asks of the processes: `gather` gets byte strings of one length, by rank. */
export interface Group {
  /** This one's number. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  /** What every one gives, by rank. */
  gather(bytes: Uint8Array): Promise<Uint8Array[]>;
}

/** What bringing a matrix's singular values near 1 costs: products of its shorter side's square with the longer. */
const costOf = ([rows, columns]: readonly number[]): number => Math.min(rows, columns) * rows * columns;

/** Which of so many ranks has each matrix: the dearest first, each to who has least to do. The same on all ranks. */
export function ownersOf(shapes: readonly (readonly number[])[], ranks: number): number[] {
  const owners = new Array<number>(shapes.length), load = new Array<number>(ranks).fill(0), costs = shapes.map(costOf);
  const order = shapes.map((_, at) => at).sort((a, b) => costs[b] - costs[a] || a - b);
  for (const at of order) load[owners[at] = load.indexOf(Math.min(...load))] += costs[at];
  return owners;
}

/** The matrices of a model, shared out. */
export class SharedMatrices {
  readonly #owners: readonly (number | undefined)[];

  /**
   * Nothing is exchanged yet.
   *
   * @param params all parameters, in the order of their moments
   * @param isShared which of them are shared out
   */
  constructor(private readonly group: Group, params: readonly Tensor[], isShared: (t: Tensor) => boolean) {
    const shared = params.map((t, at) => isShared(t) ? at : -1).filter((at) => at >= 0);
    const owners = ownersOf(shared.map((at) => params[at].shape), group.size), made: (number | undefined)[] = params.map(() => undefined);
    shared.forEach((at, i) => made[at] = owners[i]);
    this.#owners = made;
  }

  /** Whether there are none. */
  get isEmpty(): boolean {
    return this.#owners.every((owner) => owner === undefined);
  }

  /** Whether this rank makes the update of parameter number `at`: its own part, and all that is not shared out. */
  has(at: number): boolean {
    return this.#owners[at] === undefined || this.#owners[at] === this.group.rank;
  }

  /** Gives each rank what the others have made of shared tensors: parameters, or their momenta. */
  async gather(engine: Engine, tensors: readonly Tensor[]): Promise<void> {
    const of = Array.from({ length: this.group.size }, (_, rank) => tensors.filter((_, at) => this.#owners[at] === rank));
    const lengths = of.map((some) => some.reduce((sum, t) => sum + size(t), 0)), own = new Float32Array(Math.max(...lengths));
    let at = 0;
    for (const data of await Promise.all(of[this.group.rank].map((t) => engine.read(t)))) {
      own.set(data, at);
      at += data.length;
    }
    const all = await this.group.gather(new Uint8Array(own.buffer));
    all.forEach((bytes, rank) => {
      if (rank === this.group.rank) return;
      const data = new Float32Array(bytes.buffer, bytes.byteOffset, own.length);
      let at = 0;
      for (const t of of[rank]) engine.write(t, data.subarray(at, at += size(t)));
    });
  }
}
