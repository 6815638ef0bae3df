/**
 * Hidden states of texts of any length, with parameters that are on an engine.
 *
 * @module
 */

import { OutOfMemoryError } from "../base/errors.ts";
import { checkComputed } from "../base/finite.ts";
import { loadLayers } from "../model/layers.ts";
import { withMemory } from "../model/token_rows.ts";
import { compileWith } from "../model/compile.ts";
import { type HiddenLayer, type HiddenProgram, hiddenProgram } from "../model/hidden.ts";
import type { Parameters } from "../model/parameters.ts";
import type { Engine, Executable, Tensor } from "../ops/mod.ts";
import { Windows } from "./windows.ts";

/** What the sequences of a {@linkcode HiddenStates} are. */
export interface HiddenShape {
  /** Sequences at once. */
  readonly batch: number;
  /** Positions of each: from 2 to n_ctx. */
  readonly n: number;
  /** Where the states are taken. */
  readonly layer: HiddenLayer;
}

/** Gives hidden states: of n positions, the first reads the start token and each later one a token. */
export class HiddenStates {
  private constructor(
    private readonly engine: Engine,
    private readonly params: Parameters,
    private readonly shape: HiddenShape,
    private readonly made: HiddenProgram,
    private readonly executable: Executable,
    private readonly tensors: readonly Tensor[],
  ) {}

  /**
   * Records the program for parameters already on the engine.
   *
   * @throws {OutOfMemoryError} where the engine has not the memory
   */
  static async create(engine: Engine, params: Parameters, shape: HiddenShape): Promise<HiddenStates> {
    await loadLayers(params.config);
    const made = hiddenProgram(params, shape.batch, shape.n, shape.layer), tensors = [made.tokens, made.hidden, ...made.constants.keys()];
    return new HiddenStates(engine, params, shape, made, await compileWith(engine, made.program, tensors, made.constants), tensors);
  }

  /**
   * The state after each token, [tokens, d_model]: that of the position which has read the token, and predicts the next.
   *
   * @param tokens below the vocabulary's size; at least 1
   * @param minContext tokens that each has before it in its window, but for those of the first; below n − 1
   * @throws {OutOfMemoryError} where so many states do not fit
   * @throws {DivergedError} where they are not finite
   */
  async of(tokens: Uint32Array, minContext: number, signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>> {
    const { engine, shape: { batch, n }, params: { config: { d_model, vocab_size } }, made } = this,
      windows = new Windows(tokens.length, n - 1, minContext);
    const all = roomFor(tokens.length, d_model);
    for (let done = 0; done < windows.count;) {
      signal?.throwIfAborted();
      const rows = new Uint32Array(batch * n).fill(vocab_size), some = [];
      for (let row = 0; row < batch && done < windows.count; row++, done++) {
        const window = windows.at(done);
        some.push(window);
        rows.set(tokens.subarray(window.from, window.end), row * n + 1);
      }
      engine.write(made.tokens, withMemory(rows, this.params.config, n));
      await this.executable.run();
      const states = checkComputed(await engine.read(made.hidden), "Cannot embed", "the hidden states", engine);
      some.forEach(({ from, first, end }, row) => {
        // Of position 0 nothing is taken: it has read the start token.
        const at = (token: number) => (row * n + 1 + token - from) * d_model;
        all.set(states.subarray(at(first), at(end)), first * d_model);
      });
      // Lets signals, timers and a page's frames run between batches.
      await new Promise((resume) => setTimeout(resume, 0));
    }
    return all;
  }

  /** Frees what this made; the parameters stay. */
  dispose(): void {
    this.executable.dispose();
    this.engine.free(this.tensors);
  }
}

function roomFor(tokens: number, width: number): Float32Array<ArrayBuffer> {
  try {
    return new Float32Array(tokens * width);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new OutOfMemoryError(`Cannot embed: ${tokens} states of ${width} numbers do not fit into memory; embed a part at a time`, {
      cause: error,
    });
  }
}
