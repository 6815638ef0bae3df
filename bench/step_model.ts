/**
 * A model of a data-parallel training step: what of the exchange of gradients is left when the backward pass is over, from the time of a step
 * on one device, the bytes of the gradients, and the network. docs/scaling.md says what it leaves out.
 *
 *     deno run bench/step_model.ts
 *
 * @module
 */

import { parameterCount } from "../src/files/parameter_shapes.ts";
import { preset } from "../src/files/presets.ts";
import { report } from "./lib.ts";

/** A training step on one device. */
export interface Step {
  /** Milliseconds of forward and backward passes. */
  readonly compute: number;
  /** Milliseconds of the update. */
  readonly update: number;
  /** Part of `compute` that is the backward pass with what it makes again: 3/4 with recomputation, else 2/3. */
  readonly backward: number;
  /** Bytes of gradients as they go: 4 or 2 per parameter. */
  readonly bytes: number;
  /** Buckets that they go in. */
  readonly buckets: number;
}

/** What is between the ranks. */
export interface Link {
  /** Milliseconds of one message. */
  readonly latency: number;
  /** Bytes per millisecond of each rank, either way. */
  readonly rate: number;
  /** Bytes per millisecond from a device into the memory that is sent from, and back: both are on the way. */
  readonly staging: number;
}

/** What the model says. */
export interface Predicted {
  /** Milliseconds of a step. */
  readonly step: number;
  /** Milliseconds of all exchanges, one after another. */
  readonly exchange: number;
  /** Milliseconds of them after the backward pass. */
  readonly exposed: number;
  /** Time of a step on one device over this. */
  readonly efficiency: number;
}

/**
 * Predicts a step on so many ranks, each with as much to compute as one device had. Bucket k of K is ready after k/K of the backward pass; its
 * exchange begins when it is ready and the one before is over. A sum goes round a ring, so each rank sends and receives 2·(R − 1)/R of it.
 */
export function predict({ compute, update, backward, bytes, buckets }: Step, ranks: number, { latency, rate, staging }: Link): Predicted {
  const each = bytes / buckets, alone = compute + update;
  const sum = ranks === 1 ? 0 : 2 * (ranks - 1) * (latency + each / ranks / rate) + 2 * each / staging;
  let end = 0;
  for (let k = 1; k <= buckets; k++) end = Math.max(end, compute * (1 - backward + backward * k / buckets)) + sum;
  const exposed = end - compute;
  return { step: alone + exposed, exchange: sum * buckets, exposed, efficiency: alone / (alone + exposed) };
}

/** Networks by name; rates are what a sum reaches, about 80 % of the line. */
export const LINKS: Readonly<Record<string, Link>> = {
  "one host": { latency: 0.02, rate: 5e6, staging: 5e6 },
  "InfiniBand 400 Gb/s": { latency: 0.01, rate: 40e6, staging: 5e6 },
  "Ethernet 100 Gb/s": { latency: 0.03, rate: 10e6, staging: 5e6 },
  "Ethernet 10 Gb/s": { latency: 0.05, rate: 1e6, staging: 5e6 },
};

/** Milliseconds of forward and backward passes, batch 1, and of the update, of presets on one H200: docs/results.md. */
const MEASURED: Readonly<Record<string, { compute: number; update: number }>> = {
  "enwik8": { compute: 315, update: 4 },
};

if (import.meta.main) {
  const rows = Object.entries(MEASURED).flatMap(([name, { compute, update }]) =>
    Object.entries(LINKS).flatMap(([network, link]) =>
      [4, 2].map((width) => {
        const { model, train } = preset(name), bytes = parameterCount(model) * width, backward = train.recompute ? 3 / 4 : 2 / 3;
        const of = (ranks: number) => predict({ compute, update, backward, bytes, buckets: 16 }, ranks, link);
        const percent = (ranks: number) => `${Math.round(of(ranks).efficiency * 100)} %`;
        return {
          "preset, strided": name,
          "network": network,
          "wire": width === 4 ? "f32" : "f16",
          "exchange at 8, ms": of(8).exchange,
          "left over, ms": of(8).exposed,
          ...Object.fromEntries([2, 4, 8, 16, 64].map((ranks) => [`${ranks} devices`, percent(ranks)])),
        };
      })
    )
  );
  report("efficiency by devices, each with its own sequence", rows);
}
