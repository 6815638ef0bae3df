/**
 * What an operation says of itself: which of its fields are tensors, what happens to them, and which shapes they have. Everything that is
 * the same for all operations (checks, lifetimes, pieces, conversions) goes by this, and asks no operation for its name.
 *
 * @module
 */

import type { Tensor } from "./tensor.ts";

/** What every operation has: its name, in which it is told from the others. */
export interface Named {
  /** Which operation. */
  readonly op: string;
}

/** Fields of O that hold a tensor or a list of them. */
export type TensorField<O> = {
  [K in keyof O & string]: NonNullable<O[K]> extends Tensor | readonly Tensor[] ? K : never;
}[keyof O & string];

/** "dropout.seeds": tensors one step down, in an option of O. */
export type OptionField<O> = {
  [K in Exclude<keyof O & string, TensorField<O>>]: `${K}.${TensorField<NonNullable<O[K]>>}`;
}[Exclude<keyof O & string, TensorField<O>>];

/** Where operation O names its tensors: a field, or `option.field`. A name that it has not is a type error. */
export type Operand<O> = TensorField<O> | OptionField<O>;

/** An operation's description of itself. */
export interface Descriptor<O extends Named> {
  /** Operands that are read; absent ones are passed over. */
  readonly reads: readonly Operand<O>[];
  /** Operands that are written. One that is in both lists is updated in place. */
  readonly writes: readonly Operand<O>[];
  /** Operands that hold activations or their gradients, which may be f16: all of one operation or none. */
  readonly activations: readonly Operand<O>[];
  /** Operands that hold weights, which may be i8. */
  readonly weights?: readonly Operand<O>[];
  /**
   * Where the operation's rows do not know each other: the operands with a row for each of them. It can then be done as several, each over
   * some of the rows; sums over rows go on with `accumulate`, and a dropout's mask with the number of its first element.
   */
  readonly rows?: readonly TensorField<O>[];
  /** Sampling does without it: an engine may load what does it when a program first has it. */
  readonly late?: true;
  /** Most models do without it: what it says of itself, and what an engine does for it, is loaded with the layers that have it. */
  readonly apart?: true;
  /**
   * Looks whether operands fit each other in shape and type; {@linkcode activations} have been looked at before.
   *
   * @throws {ShapeError} where they do not, naming operation and tensors
   */
  check(op: O): void;
}

/** The tensors that an operation has under those names, in order. */
export function pick(op: Named, names: readonly string[]): Tensor[] {
  type Fields = Readonly<Record<string, Tensor | readonly Tensor[] | undefined>>;
  return names.flatMap((name) => {
    const [option, field] = name.split("."), own = (op as unknown as Fields)[option];
    return (field === undefined ? own : (own as unknown as Fields | undefined)?.[field]) ?? [];
  });
}
