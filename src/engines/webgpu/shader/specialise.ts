/**
 * A kernel for one set of values: the passes of this folder, one after the other. README.md has the dialect.
 *
 * @module
 */

import { KernelError } from "../../../base/errors.ts";
import { bodyOf, read } from "./body.ts";
import { assign, type Constants } from "./constants.ts";
import { expand } from "./expand.ts";
import { link, type Parts } from "./link.ts";
import { isBound, spaceOf, written } from "./reflect.ts";
import type { Declaration } from "./tokens.ts";

/** How a kernel's activations lie in memory: a file storage_*.wgsl. */
export type Storage = "f32" | "f32x4" | "f16x4";

/** How a kernel's weights lie in memory where they are not f32: a file weights_*.wgsl. */
export type Weights = "i8";

/** What kernels that multiply subgroup matrices take them for: a file matrices_*.wgsl. */
export type Matrices = "subgroup" | "plain";

/** Values for a kernel's `override` and `const` declarations, and for the parts it takes where they are not the file's own. */
export type Values = Readonly<Record<string, number | boolean | Storage | Weights | Matrices | undefined>>;

/** A canonical string for a kernel with values: the key of pipelines. */
export function kernelKey(kernel: string, values: Values): string {
  const pairs = Object.keys(values).filter((name) => values[name] !== undefined).sort().map((name) => `${name}=${values[name]}`);
  return pairs.length ? `${kernel}(${pairs.join(",")})` : kernel;
}

/** A kernel whose constants have their values. */
export interface Variant {
  readonly module: readonly Declaration[];
  readonly constants: Constants;
}

/** Does a pass; what is wrong names kernel and values too. */
function of<T>(kernel: string, values: Values, pass: () => T): T {
  try {
    return pass();
  } catch (cause) {
    if (!(cause instanceof KernelError)) throw cause;
    throw new KernelError(`Cannot specialise kernel ${kernelKey(kernel, values)}: ${cause.message}`, { cause });
  }
}

/**
 * A kernel with all that it imports, and its constants.
 *
 * @param kernel a file of wgsl/, without its ending
 * @param values by name, for `override` and `const` declarations of the file and its imports
 * @throws {KernelError} where a value has no declaration
 */
export function variantOf(kernel: string, values: Values): Variant {
  return of(kernel, values, () => {
    const { STORAGE, WEIGHTS, MATRICES, ...rest } = values;
    const parts = { STORAGE, WEIGHTS, MATRICES, PRODUCT: rest.MATRIX ? "matrices" : undefined } as Parts;
    const { module, constants, unknown } = assign(link(kernel, parts), rest as Readonly<Record<string, number | boolean>>);
    if (unknown.size) throw new KernelError(`it declares no ${[...unknown].join(", ")}`);
    return { module, constants };
  });
}

/**
 * The text to compile, and the module that it is of.
 *
 * @param writing names of read-only bindings to declare read_write
 * @param marks whether each line begins with a comment that says where it comes from
 * @throws {KernelError} where the text goes beyond what the passes understand, with file and line; and as {@linkcode variantOf}
 */
export function specialised(kernel: string, values: Values, writing: readonly string[] = [], marks = false) {
  const { module: assigned, constants } = variantOf(kernel, values), module = written(assigned, writing);
  const textOf = (one: Declaration) => {
    const nodes = one.kind !== "fn" || marks ? read(one.tokens, marks) : bodyOf(one);
    return expand(nodes, constants) + "\n";
  };
  let binding = 0;
  const texts = of(kernel, values, () => module.map((one) => (isBound(one) ? `@group(0) @binding(${binding++}) ` : "") + textOf(one)));
  const functions = texts.filter((_, at) => module[at].kind === "fn").join("");
  // Workgroup memory that is left without use may be of a type that the device has not.
  const isUsed = (one: Declaration) => spaceOf(one) !== "workgroup" || new RegExp(`\\b${one.name}\\b`).test(functions);
  return { module, text: texts.filter((_, at) => isUsed(module[at])).join("") };
}

/** The text to compile. */
export const specialise = (kernel: string, values: Values): string => specialised(kernel, values).text;
