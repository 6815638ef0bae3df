/**
 * What all SVG pictures have in common.
 *
 * @module
 */

import { type Color, INK } from "./colors.ts";

/** A colour as CSS writes it. */
export const css = (color: Color): string => `rgb(${color.join(",")})`;

/** The text as XML or HTML shows it, between tags or in quotes. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&${{ "&": "amp", "<": "lt", ">": "gt", '"': "quot" }[c]};`);
}

/**
 * The lines that a picture begins with: its size, its title for those who hear it, a ground, white as a rule. `</svg>` is the caller's.
 *
 * @param more attributes of the whole, for example a font's size
 * @param colors as CSS writes them, for an attribute
 */
export function svgHead(
  width: number,
  height: number,
  title: string,
  more = "",
  colors = { ink: INK.text as string, ground: "#fff" },
): string[] {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" fill="${colors.ink}"${more}>`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="100%" height="100%" fill="${colors.ground}"/>`,
  ];
}

/** Bytes in base64, as a `data:` address has them. */
export function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
