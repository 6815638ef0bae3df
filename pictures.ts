/**
 * What is drawn, as SVG or as pixels: attention patterns, loss curves, what a model's heads attend to, sheets of images, waveforms.
 *
 * @example A strided pattern and a loss curve
 * ```ts
 * import { resolveSets } from "./ops.ts";
 * import { lossCurveSvg, patternMap, patternSvg } from "./pictures.ts";
 *
 * const sets = resolveSets({ pattern: "strided", stride: 8 }, { n: 64, layer: 0, heads: 2 });
 * console.log(patternSvg([await patternMap("strided, stride 8", sets, 64, 64)], "64 positions"));
 * console.log(lossCurveSvg("a run", [{ step: 1, loss: 8 }, { step: 100, loss: 3.2 }], 100));
 * ```
 *
 * @module
 */

export {
  cellColor,
  DRAWN_LIMIT,
  type Panel,
  panelsOf,
  patternImage,
  type PatternMap,
  patternMap,
  patternSvg,
} from "./src/pictures/layouts.ts";
export { type Color, COLORS } from "./src/pictures/colors.ts";
export { type CurveMark, type CurvePoint, lossCurveSvg } from "./src/pictures/curves.ts";
export { type Envelope, envelope, type Wave, waveformImage, waveformSvg } from "./src/pictures/waveform.ts";
export { contactSheet, imagesOf, tileImages } from "./src/pictures/sheets.ts";
export { attentionImage, attentionOverImage, attentionOverImageSvg, attentionSvg, type AttentionSvgOptions } from "./src/pictures/maps.ts";
export { type AttentionMap, attentionMaps, type AttentionRow, type MapOptions, ROWS_LIMIT } from "./src/run/maps.ts";
