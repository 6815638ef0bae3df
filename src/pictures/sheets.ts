/**
 * Images of tokens, and many of them in one.
 *
 * @module
 */

import { expect, MOST } from "../base/check.ts";
import { ShapeError } from "../base/errors.ts";
import { IMAGE_SHAPE } from "../base/limits.ts";
import type { Image, ImageShape } from "../data/image.ts";

/** Puts images beside each other, `columns` per row, on white with `gap` pixels around each. */
export function tileImages(images: readonly Image[], columns: number, gap = 16): Image {
  expect("Cannot tile images", { images: [images, "a list"], columns: [columns, [1, MOST]], gap: [gap, [0, 4096]] });
  for (const one of images) expect("Cannot tile images", { image: [one, "an object"], rgb: [one?.rgb, "an array of bytes"] });
  const across = Math.min(columns, images.length), down = Math.ceil(images.length / across);
  const cellWidth = Math.max(...images.map(({ width }) => width)) + gap, cellHeight = Math.max(...images.map(({ height }) => height)) + gap;
  const width = across * cellWidth + gap, height = down * cellHeight + gap, rgb = new Uint8Array(width * height * 3).fill(255);
  images.forEach((image, at) => {
    const left = gap + (at % across) * cellWidth, top = gap + Math.floor(at / across) * cellHeight;
    for (let y = 0; y < image.height; y++) {
      rgb.set(image.rgb.subarray(y * image.width * 3, (y + 1) * image.width * 3), ((top + y) * width + left) * 3);
    }
  });
  return { width, height, rgb };
}

/**
 * Makes pictures of tokens.
 *
 * @param rows tokens of whole images, [images, H, W, C] with 1 channel (grey) or 3
 * @param scale screen pixels per pixel, whole
 * @throws {ShapeError} where the rows are not whole images
 */
export function imagesOf(rows: Uint8Array, shape: ImageShape, scale = 1): Image[] {
  expect("Cannot draw images", { rows: [rows, "an array of bytes"], shape: [shape, IMAGE_SHAPE] });
  const [height, width, channels] = shape, unit = height * width * channels;
  if ((channels !== 1 && channels !== 3) || !(unit > 0)) {
    throw new ShapeError(`Cannot draw images of shape ${shape.join(" × ")}: they must have 1 or 3 channels`);
  }
  if (rows.length % unit !== 0) {
    throw new ShapeError(`Cannot draw images of ${shape.join(" × ")} = ${unit} tokens: got ${rows.length}, not a multiple of that`);
  }
  expect("Cannot draw images", { "the scale": [scale, [1, 64]] });
  return Array.from({ length: rows.length / unit }, (_, n) => {
    const across = width * scale, rgb = new Uint8Array(across * height * scale * 3);
    for (let y = 0; y < height * scale; y++) {
      const from = n * unit + Math.floor(y / scale) * width * channels;
      if (y % scale > 0) {
        rgb.copyWithin(y * across * 3, (y - 1) * across * 3, y * across * 3);
        continue;
      }
      for (let x = 0; x < across; x++) {
        const at = from + Math.floor(x / scale) * channels, to = (y * across + x) * 3;
        for (let c = 0; c < 3; c++) rgb[to + c] = rows[channels === 1 ? at : at + c];
      }
    }
    return { width: across, height: height * scale, rgb };
  });
}

/**
 * One picture of many images.
 *
 * @param rows tokens of whole images, [images, H, W, C]
 * @param columns images per row; without it, as many as make the sheet about square
 * @throws {ShapeError} where there is no image, or the rows are not whole images
 *
 * @example
 * ```ts
 * import { contactSheet } from "../../pictures.ts";
 * import { encodePng } from "../../data.ts";
 * const tokens = crypto.getRandomValues(new Uint8Array(6 * 32 * 32 * 3));
 * console.log(encodePng(contactSheet(tokens, [32, 32, 3], 3)).length > 0);
 * ```
 */
export function contactSheet(rows: Uint8Array, shape: ImageShape, columns?: number): Image {
  expect("Cannot draw a contact sheet", {
    rows: [rows, "an array of bytes"],
    shape: [shape, "a list"],
    columns: [columns === undefined ? 1 : columns, [1, MOST]],
  });
  if (rows.length === 0) throw new ShapeError("Cannot draw a contact sheet: there is no image");
  // Small images are drawn larger: 32 × 32 three pixels per pixel.
  const images = imagesOf(rows, shape, Math.max(1, Math.floor(96 / Math.max(shape[0], shape[1]))));
  return tileImages(images, columns ?? Math.ceil(Math.sqrt(images.length)), 4);
}
