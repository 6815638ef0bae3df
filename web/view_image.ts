/**
 * An image as its pixels come.
 *
 * @module
 */

import { make, type View } from "./view.ts";

/** Shows an image of height, width and channels: each pixel when all its channels are there. */
export function imageView(into: HTMLElement, prompt: readonly number[], [height, width, channels]: readonly number[]): View {
  const canvas = make("canvas", { width, height, className: "image" }, {
      role: "img",
      "aria-label": `Image of ${width} by ${height} pixels, not painted yet`,
    }),
    context = canvas.getContext("2d")!;
  into.prepend(canvas);
  const row: number[] = [], pixels = context.createImageData(width, height);
  let painted = 0;
  const show = (tokens: readonly number[]): undefined => {
    for (const token of tokens) row.push(token);
    const from = painted;
    for (; (painted + 1) * channels <= row.length && painted < width * height; painted++) {
      const at = painted * channels;
      pixels.data.set([row[at], row[at + (channels === 3 ? 1 : 0)], row[at + (channels === 3 ? 2 : 0)], 255], painted * 4);
    }
    if (painted > from) {
      const top = Math.floor(from / width), bottom = Math.ceil(painted / width);
      context.putImageData(pixels, 0, 0, 0, top, width, bottom - top);
    }
  };
  show(prompt);
  return {
    show,
    end: async () => {
      const share = Math.round(painted / (width * height) * 100);
      canvas.setAttribute("aria-label", `Image of ${width} by ${height} pixels${share < 100 ? `, ${share} % painted` : ""}`);
      const file = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
      return file ? { file, name: "sample.png" } : {};
    },
  };
}
