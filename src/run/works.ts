/**
 * What there is to tune for a model.
 *
 * @module
 */

import { checkConfig, type ModelConfig } from "../files/model_config.ts";
import { checkTrain, type TrainConfig } from "../files/train_config.ts";
import { Parameters } from "../model/parameters.ts";
import { trainingProgram } from "../model/train.ts";
import { optimizerTensors } from "../model/optimizer.ts";
import { type TuneWork, worksOf } from "../engines/webgpu/tuning/tune.ts";

/**
 * The attention of each distinct kind and the matrix products of a training step, as `tune` takes them.
 *
 * @throws {ConfigError} where a field is out of range
 *
 * @example
 * ```ts
 * import { preset } from "../../mod.ts";
 * import { trainingWorks } from "../../device.ts";
 * const { model, train } = preset("text");
 * console.log(trainingWorks(model, train).length > 3);
 * ```
 */
export function trainingWorks(config: ModelConfig, train: Partial<TrainConfig>): TuneWork[] {
  const params = new Parameters(checkConfig(config)), constants = checkTrain(train);
  return worksOf(trainingProgram(params, optimizerTensors(params.all, constants.optimizer), constants).program);
}
