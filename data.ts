/**
 * Text, images and sound as tokens, and back: a data set of files in any of their formats, packed or not, and the codecs one by one.
 *
 * @example
 * ```ts
 * import { encodeWav, loadDataset } from "./data.ts";
 *
 * // A second of a rising tone.
 * const tone = Float32Array.from({ length: 12000 }, (_, at) => Math.sin(at * at / 30000));
 * const { kind, rate, train } = await loadDataset([{ name: "tone.wav", data: await encodeWav(tone) }]);
 * console.log(kind, rate, train.length);
 * ```
 *
 * @module
 */

export { checkDataset, type Dataset, DATASET_FIELDS, type DatasetOptions, type LargeOptions, type Skipped } from "./src/data/dataset.ts";
export { histogram } from "./src/data/entropy.ts";
export { unzip, zipChunks, zipEntries, type ZipEntry, type ZipPlace } from "./src/data/zip.ts";
export { isHidden } from "./src/data/members.ts";
export { loadDataset, openDataset } from "./src/data/load.ts";
export { type Stretch, type Tokenful, TokenRange, type TokenSource } from "./src/data/token_range.ts";
export { withHeldOut } from "./src/data/valid.ts";
export type { TokenStore } from "./src/data/token_store.ts";
export type { Bytes, DataFile, Sliceable } from "./src/data/reader.ts";
export type { Notify } from "./src/data/notices.ts";
export { checkSameData, DATA_KINDS, type DataIdentity, type DataKind, type DataSource, identify } from "./src/data/identity.ts";
export { entropy0, entropyOf } from "./src/data/entropy.ts";
export { splitHeldOut } from "./src/data/held_out.ts";
export { type LetThrough, StopStrings, StopTokens } from "./src/data/stop.ts";
export { byteLabels, BYTES, type Codec, TextStream, type TokenArray, visible } from "./src/data/text.ts";
export { type LearnOptions, type Learnt, parseTokenizer, Tokenizer, VOCABULARY_LIMIT } from "./src/data/tokenizer.ts";
export { wrapText } from "./src/base/wrap.ts";
export { excerpt } from "./src/base/errors.ts";
export { decodePng, encodePng } from "./src/data/png.ts";
export { type Image, type ImageShape } from "./src/data/image.ts";
export { decodeMulaw, encodeMulaw, mulaw, mulawAmplitude, SILENCE } from "./src/data/mulaw.ts";
export { decodeWav, encodeWav } from "./src/data/wav.ts";
export { orderG711 } from "./src/data/g711.ts";
export { type Sound, SOUND_RATE, type SoundEncoding, type SoundLevels, type WavFormat } from "./src/data/sound.ts";
