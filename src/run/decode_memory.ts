/**
 * Memory tokens while decoding: between the windows of a sequence they go through the model too, so that their keys and values are in the
 * caches. Loaded where a model has them.
 *
 * @module
 */

import { positionRows, positionSizes } from "../files/model_config.ts";
import { compileWith } from "../model/compile.ts";
import { type CacheTensors, decodeBlocks } from "../model/decode.ts";
import { Emitter } from "../model/emitter.ts";
import type { Parameters } from "../model/parameters.ts";
import { insertMemory } from "../model/token_rows.ts";
import { type Engine, type Executable, Program, type Tensor, tensor } from "../ops/mod.ts";
import type { CachePlan } from "../pattern/cache.ts";
import type { Memory } from "../pattern/memory.ts";

/** Decodes the memory tokens of a window for every sequence of a decoder. */
export class MemoryDecoder {
  private constructor(
    private readonly engine: Engine,
    private readonly params: Parameters,
    private readonly memory: Memory,
    /** What a memory token is: its row of the token table, then those of the positional ones; and its place in the caches' tables. */
    private readonly indices: readonly Tensor[],
    private readonly position: Tensor,
    private readonly executable: Executable,
  ) {}

  /**
   * Records one memory token's position, over the caches of a decoder.
   *
   * @throws {OutOfMemoryError} where the engine has not the memory
   */
  static async create(
    engine: Engine,
    params: Parameters,
    batch: number,
    memory: Memory,
    plans: readonly CachePlan[],
    caches: readonly CacheTensors[],
  ): Promise<MemoryDecoder> {
    const program = new Program("decode memory"),
      e = new Emitter(program, params, batch, 1),
      y = e.matrix("embedded", params.config.d_model);
    const u32 = (name: string) => tensor(name, [1], "u32"), position = u32("memory_position");
    const indices = ["token", ...positionSizes(params.config)].map((_, table) => u32(`memory_index.${table}`));
    program.add({ op: "embedding", indices, ...e.tables(), y });
    decodeBlocks(e, y, position, plans, caches);
    const executable = await compileWith(engine, program, [position, ...indices], new Map());
    return new MemoryDecoder(engine, params, memory, indices, position, executable);
  }

  /** Tokens of a window. */
  get stride(): number {
    return this.memory.stride;
  }

  /** What sequences of n tokens read, with what memory tokens between them do. */
  between(tokens: Uint32Array, n: number): Uint32Array {
    return insertMemory(tokens, this.memory, this.params.config.vocab_size, n);
  }

  /** Decodes the memory tokens before token i, the first of a window; once more changes nothing. */
  async before(i: number): Promise<void> {
    const { config } = this.params,
      { stride, count } = this.memory,
      write = (t: Tensor, value: number) => this.engine.write(t, Uint32Array.of(value));
    positionRows(config, i - 1).forEach((row, table) => write(this.indices[table + 1], row));
    for (let k = 0; k < count; k++) {
      write(this.indices[0], config.vocab_size + 1 + k);
      write(this.position, config.n_ctx + (i / stride - 1) * count + k);
      await this.executable.run();
    }
  }

  /** Frees what this made. */
  dispose(): void {
    this.executable.dispose();
    this.engine.free([this.position, ...this.indices]);
  }
}
