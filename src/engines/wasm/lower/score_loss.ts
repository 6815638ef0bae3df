/** Calls of the loss of one number per row. @module */

import type { ScoreLoss } from "../../../ops/mod.ts";
import type { Call } from "../plan.ts";
import { call, PIECE } from "./lowering.ts";

/** Some rows at a time. */
export function lowerScoreLoss({ x, targets, weights, losses, dX, lossScale, scale, kind }: ScoreLoss): Call[] {
  const args = { x, targets, weights, losses, dX, lossScale, squared: kind === "squared" ? 1 : 0, meanScale: scale };
  return [call("score_loss", { units: x.shape[0], grain: PIECE / 16, args })];
}
