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

export { checkDataset, type Dataset, type DatasetOptions, histogram, isHidden, loadDataset, type Skipped } from "./src/data/dataset.ts";
export type { Bytes, DataFile, Notify, Sliceable } from "./src/data/reader.ts";
export {
  checkSameData,
  DATA_KINDS,
  type DataIdentity,
  type DataKind,
  type DataSource,
  entropy0,
  entropyOf,
  identify,
  splitHeldOut,
} from "./src/data/bytes.ts";
export { TextStream, visible, wrapText } from "./src/data/text.ts";
export { excerpt } from "./src/base/errors.ts";
export { decodePng, encodePng, type Image, type ImageShape } from "./src/data/image.ts";
export {
  decodeMulaw,
  decodeWav,
  encodeMulaw,
  encodeWav,
  mulaw,
  mulawAmplitude,
  orderG711,
  SILENCE,
  type Sound,
  SOUND_RATE,
  type SoundEncoding,
  type SoundLevels,
  type WavFormat,
} from "./src/data/audio.ts";
