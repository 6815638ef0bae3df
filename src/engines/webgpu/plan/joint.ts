/**
 * Products of one input by weights that lie side by side, as one product: q, k and v of a decoded position, of whose three
 * dispatches each would take its latency.
 *
 * @module
 */

import type { Linear, Op, Tensor } from "../../../ops/mod.ts";
import { ALIGNMENT, bindable, isPacked, storedBytes } from "../storage.ts";
import { isFew, type JointLinear } from "./linear.ts";
import { type Plan, timeOf } from "./plan.ts";

/** Most products that linear_few.wgsl joins. */
const MOST = 3;

/** Whether `b` begins where `a` ends, in one page. */
function follows(plan: Plan, a: Tensor | undefined, b: Tensor | undefined): boolean {
  if (!a || !b) return a === b;
  const place = plan.context.place(a), next = plan.context.place(b);
  return !!place && next?.buffer === place.buffer && next.offset === place.offset + storedBytes(a);
}

/** The operations from number `at` on that can be one product, itself alone where none follows. */
export function jointProducts(plan: Plan, ops: readonly Op[], at: number): readonly Op[] {
  const first = ops[at], made: Linear[] = [];
  if (first.op !== "linear") return [first];
  const rows = first.x.shape[0];
  let columns = 0, bytes = 0;
  for (const op of ops.slice(at, at + MOST)) {
    const last = made.at(-1);
    if (op.op !== "linear" || !isFew(op) || op.residual || !op.y.scratch || isPacked(op.y)) break;
    // Every y begins where a binding may begin.
    bytes += storedBytes(op.w);
    if (columns * rows * 4 % ALIGNMENT !== 0 || bytes > bindable(plan.context.limits)) break;
    const alike = op.x === first.x && op.norm?.gain === first.norm?.gain && op.norm?.bias === first.norm?.bias &&
      op.activation === first.activation;
    if (last && !(alike && follows(plan, last.w, op.w) && follows(plan, last.b, op.b) && follows(plan, last.scale, op.scale))) break;
    columns += op.w.shape[0];
    made.push(op);
  }
  return made.length > 1 ? made : [first];
}

/**
 * Those operations as one.
 *
 * @param lives first and last operation that touches each scratch tensor
 */
export function join(plan: Plan, ops: readonly Linear[], lives: ReadonlyMap<Tensor, readonly [number, number]>): JointLinear {
  const [{ x, w, scale, b, y, norm, activation }] = ops, rows = x.shape[0], names = ops.map(({ y }) => y.name).join(", ");
  const starts = [0];
  for (const { w } of ops) starts.push(starts.at(-1)! + w.shape[0]);
  const columns = starts.pop()!, times = ops.map(({ y }) => lives.get(y)!);
  const joint: Tensor = { ...y, name: names, shape: [rows, columns], dtype: "f32" };
  plan.temporaries.set(joint, timeOf(Math.min(...times.map(([first]) => first)), Math.max(...times.map(([, last]) => last))));
  ops.forEach(({ y }, i) => plan.view(joint, starts[i] * rows * 4, y));
  return {
    op: "linear",
    x,
    norm,
    w: plan.view(w, 0, { ...w, shape: [columns, w.shape[1]] }),
    scale: scale && plan.view(scale, 0, { ...scale, shape: [columns] }),
    b: b && plan.view(b, 0, { ...b, shape: [columns] }),
    y: joint,
    activation,
    starts: starts.slice(1),
  };
}
