/**
 * WebGPU's flags as numbers: `GPUBufferUsage` and its like are globals that a runtime may lack.
 *
 * @module
 */

/** What a buffer is used for. */
export const USAGE = {
  MAP_READ: 0x1,
  MAP_WRITE: 0x2,
  COPY_SRC: 0x4,
  COPY_DST: 0x8,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  QUERY_RESOLVE: 0x200,
} as const;

/** Which stages see a binding. */
export const STAGE = { COMPUTE: 0x4 } as const;

/** How a buffer is mapped. */
export const MAP = { READ: 0x1, WRITE: 0x2 } as const;
