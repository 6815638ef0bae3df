/**
 * What a query weighs, by whatever attention.
 *
 * @module
 */

/** What one query weighs. */
export interface AttentionRow {
  /** Its position. */
  readonly query: number;
  /**
   * Positions of its keys, ascending: those of the set. Memory tokens count with the token before them. Of routed attention those of all
   * branches, each with its share of the gates, and the mean of a block with every position that it is the mean of.
   */
  readonly keys: Uint32Array;
  /** Weight of each key; they sum to 1. */
  readonly weights: Float32Array;
}
