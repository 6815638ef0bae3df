/**
 * Dispatches of Muon: many matrices of one shape at a time, one dispatch per product for all of them. Where they may be of f16 and the device
 * multiplies matrices of it, what products take and leave is stored in f16; momentum, the norm, all sums and the step are f32.
 *
 * @module
 */

import type { DType, Muon, Tensor } from "../../../ops/mod.ts";
import { NEWTON_SCHULZ } from "../../../ops/newton_schulz.ts";
import { tooLarge } from "../bands.ts";
import { bindable, paddedBytes, roundUp, storage4 } from "../storage.ts";
import { chooseLinear } from "../tuning/select.ts";
import { linearProblem } from "../tuning/problems.ts";
import { type LinearKernel, tilesOf } from "../tuning/variants.ts";
import type { Plan } from "./plan.ts";
import { planReduce } from "./reduce.ts";
import { contiguousRuns, type Run } from "./runs.ts";

/** Bytes of X in f32 that are worked on at a time, and of the X that follows it. */
const AT_ONCE = 64 * 2 ** 20;

/** Matrices of one shape in one run of neighbours. */
interface Batch {
  readonly run: Run;
  readonly shape: readonly number[];
  /** First element of each, in the run. */
  readonly places: number[];
}

function batches(plan: Plan, op: Muon): Batch[] {
  const made: Batch[] = [], most = bindable(plan.context.limits);
  for (const run of contiguousRuns(plan, [op.params, op.grads, op.m])) {
    const byShape = new Map<string, Batch>();
    let bytes = 0;
    for (const t of op.params.slice(run.first, run.first + run.count)) {
      const key = t.shape.join(), held = 4 * t.shape.reduce((all, side) => all * roundUp(side, 4), 1);
      if (held > most) throw tooLarge("plan muon", t, held, plan.context.limits, "use narrower layers, or the optimizer adamw");
      let batch = byShape.get(key);
      if (!batch) byShape.set(key, batch = { run, shape: t.shape, places: [] });
      batch.places.push(bytes / 4);
      bytes += paddedBytes(t);
    }
    for (const { shape, places } of byShape.values()) {
      const each = 4 * shape.reduce((all, side) => all * roundUp(side, 4), 1),
        some = Math.max(1, Math.floor(Math.min(AT_ONCE, most) / each));
      for (let at = 0; at < places.length; at += some) made.push({ run, shape, places: places.slice(at, at + some) });
    }
  }
  return made;
}

/** p ← p − η·(√max(1, out/in)·X + wd·p), X the momentum with its singular values brought near 1 */
export async function planMuon(plan: Plan, op: Muon): Promise<void> {
  const all = batches(plan, op);
  for (const [at, batch] of all.entries()) {
    await plan.step(at, all.length, () => {
      planBatch(plan, op, batch);
      return Promise.resolve();
    });
  }
}

function planBatch(plan: Plan, op: Muon, { run, shape: [out, inner], places }: Batch): void {
  const MATRICES = op.dtype === "f16" ? plan.context.matrices?.part : undefined, dtype: DType = MATRICES ? "f16" : "f32";
  const count = places.length, TALL = out > inner, r = roundUp(Math.min(out, inner), 4), c = roundUp(Math.max(out, inner), 4);
  const bind = (list: readonly Tensor[]) => ({ tensor: list[run.first], bytes: run.bytes }), { a, b, c: cc, times } = NEWTON_SCHULZ;
  // What is past the matrix's last row or column is made 0, so the tiles go over the rounded sides.
  const tiles = [Math.ceil(roundUp(inner, 4) / 32), Math.ceil(roundUp(out, 4) / 32)], grid = [...tiles, count] as [number, number, number];
  const params = { rows: out, columns: inner, stride: c, size: r * c },
    shared = {
      places: plan.constant("places of matrices", Uint32Array.from(places)),
      factor: op.factor,
    };
  const partials = plan.temporary("squares by tile", tiles[0] * tiles[1] * count), squares = plan.temporary("squares", count);
  const held = (name: string, columns: number) => plan.temporaryOf({ name, shape: [count * r, columns], dtype, scratch: true });
  const u = plan.temporary("u", count * r, c), gram = held("A", r), polynomial = held("P", r), STORAGE = storage4(gram);
  let x = held("X0", c), next = MATRICES ? held("X1", c) : u;
  plan.dispatch({
    kernel: "muon_momentum",
    values: { TALL },
    bindings: { ...shared, g: bind(op.grads), m: bind(op.m), x: u, squares: partials },
    params: { ...params, mu: op.momentum },
    grid,
  });
  planReduce(plan, { partials, count: tiles[0] * tiles[1], stride: count, offset: 0, y: squares, elements: count, accumulate: false });
  plan.dispatch({
    kernel: "muon_normalise",
    values: { STORAGE },
    bindings: { u, squares, x },
    params: { count: count * r * c / 4, each: r * c / 4 },
    grid: plan.linear(count * r * c / 4),
  });
  // By matrices both operands are f16, as those of dyᵀ·x are.
  const choose = (kernel: LinearKernel, inner: number, columns: number) =>
    chooseLinear(plan, MATRICES ? "linear_weight_grad" : kernel, linearProblem(r, inner, columns, !!MATRICES), r * count, columns);
  const symmetric = (x: Tensor, inner: number, y: Tensor, POLYNOMIAL: boolean) => {
    const variant = choose("linear", inner, r), bindings = { x, y };
    const rest = { bindings, params: { rows: r, inner4: inner / 4, a, b, c: cc }, grid: [...tilesOf(variant, r, r), count] as const };
    if (MATRICES) plan.dispatch({ kernel: "muon_gram_whole", values: { POLYNOMIAL, ...variant, MATRICES, STORAGE }, ...rest });
    else plan.dispatch({ kernel: "muon_gram", values: { POLYNOMIAL, ...variant, STORAGE }, ...rest });
  };
  for (let time = 0; time < times; time++) {
    symmetric(x, c, gram, false);
    symmetric(gram, r, polynomial, true);
    const variant = choose("linear_input_grad", r, c);
    plan.dispatch({
      kernel: "muon_apply",
      values: { ...variant, MATRICES, STORAGE },
      bindings: { polynomial, x, y: next },
      params: { rows: r, inner4: r / 4, out4: c / 4 },
      grid: [...tilesOf(variant, r, c), count],
    });
    [x, next] = [next, x];
  }
  plan.dispatch({
    kernel: "muon_update",
    values: { TALL, STORAGE },
    bindings: { ...shared, p: bind(op.params), hyper: op.hyper, x },
    params: { ...params, scale: Math.sqrt(Math.max(1, out / inner)), decay: op.weightDecay },
    grid,
  });
}
