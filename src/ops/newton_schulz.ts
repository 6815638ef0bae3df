/**
 * The polynomial of Muon, apart from the operation: what sampling loads has neither.
 *
 * @module
 */

/** a, b, c of {@linkcode ./muon.ts!Muon}'s iteration, chosen by Jordan et al. (2024) so that five of them bring singular values near 1. */
export const NEWTON_SCHULZ = { a: 3.4445, b: -4.775, c: 2.0315, times: 5 } as const;
