// Every export of kernels.wasm, one file an operation.
export * from "./layout";
export { setWorkspace } from "./workspace";
export { dropout } from "./dropout";
export { embedding, embedding_backward, embedding_decode } from "./embedding";
export { layernorm, layernorm_backward, layernorm_backward_sum } from "./layernorm";
export { pack_forward, pack_backward, linear, linear_few, linear_weight_grad } from "./linear";
export { cross_entropy } from "./cross_entropy";
export { sum_chunks, square_chunks, sum_partials, clip } from "./norm";
export { adam } from "./adam";
export {
  bpe_decode,
  bpe_encode,
  bpe_merges,
  bpe_pairs,
  bpe_pieces,
  bpe_rehash,
  bpe_symbols,
  bpe_table,
} from "./bpe";
export { muon } from "./muon";
export { attention, attention_delta, attention_backward_queries, attention_backward_keys } from "./attention";
export { attention_decode } from "./attention_decode";
export { cache_fill } from "./cache_fill";
export { choose, choose_advance } from "./choose";
export { histogram } from "./histogram";
export { image_interleave } from "./image";
export { mulaw_decode, mulaw_encode } from "./mulaw";
export { pcm_mono, pcm_s16 } from "./pcm";
export { resample } from "./resample";
