/**
 * Programs with tensors of their own, put on an engine.
 *
 * @module
 */

import { type Engine, type Executable, type Program, type Tensor, type TensorData } from "../ops/mod.ts";

/** Numbers to write into tensors before a program's first run. */
export type Constants = Map<Tensor, TensorData>;

/**
 * Makes a program's own tensors on an engine, writes its constants and compiles it. Where that fails it leaves nothing behind.
 *
 * @throws {OutOfMemoryError} where the engine has not the memory
 */
export async function compileWith(engine: Engine, program: Program, tensors: readonly Tensor[], constants: Constants): Promise<Executable> {
  engine.allocate(tensors);
  try {
    for (const [t, data] of constants) engine.write(t, data);
    return await engine.compile(program);
  } catch (error) {
    engine.free(tensors);
    throw error;
  }
}
