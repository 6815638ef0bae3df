/**
 * A model's parameters: their tensors.
 *
 * @module
 */

import { expect } from "../base/check.ts";
import { ShapeError } from "../base/errors.ts";
import { type Tensor, tensor } from "../ops/mod.ts";
import type { ModelConfig } from "../files/model_config.ts";
import { parameterShapes } from "../files/parameter_shapes.ts";
import { isInt8, type Model, SCALE } from "../files/weights.ts";

/** Parameter tensors, in the order of {@linkcode parameterShapes}: rank 2 first, then rank 1, then the scales of int8 matrices. */
export class Parameters {
  readonly #byName: ReadonlyMap<string, Tensor>;

  /**
   * Tensors of that model, not yet on any engine.
   *
   * @param of parameters to share: of the same model but for what has no weights, and with position tables at least as long; or the
   * weights that they will get, where those may be int8
   */
  constructor(
    /** The model. */
    readonly config: ModelConfig,
    of?: Parameters | Model["weights"],
  ) {
    if (of instanceof Parameters) {
      this.#byName = of.#byName;
      return;
    }
    if (of !== undefined) expect("Cannot make the parameters", { "their weights": [of, "a Map"] });
    const made = new Map<string, Tensor>(), scales: Tensor[] = [];
    for (const [name, shape] of parameterShapes(config)) {
      const scaled = isInt8(of?.get(name));
      made.set(name, tensor(name, shape, scaled ? "i8" : "f32"));
      if (scaled) scales.push(tensor(name + SCALE, [shape[0]]));
    }
    for (const scale of scales) made.set(scale.name, scale);
    this.#byName = made;
  }

  /** All of them, in order. */
  get all(): Tensor[] {
    return [...this.#byName.values()];
  }

  /**
   * The parameter of that name.
   *
   * @throws {ShapeError} where there is none
   */
  get(name: string): Tensor {
    expect("Cannot find the parameter", { name: [name, "a string"] });
    const found = this.#byName.get(name);
    if (!found) throw new ShapeError(`Cannot find parameter ${name}: the model has none of that name`);
    return found;
  }

  /** A matrix and, where it is int8, its scales: operands of {@linkcode Linear}. */
  matrix(name: string): { w: Tensor; scale?: Tensor } {
    return { w: this.get(name), scale: this.#byName.get(name + SCALE) };
  }
}
