/**
 * README's picture: what models of the three kinds make, and what a sparse head reads. All in it is made by the models of web/models.
 *
 * @module
 */

import { type OpenedModel, openModel } from "../mod.ts";
import { decodeMulaw, encodePng } from "../data.ts";
import { resolveSets } from "../ops.ts";
import { envelope, imagesOf, patternMap } from "../pictures.ts";
import { TOKENS } from "../web/look.ts";
import { escapeHtml } from "./docs_markdown.ts";

const WIDTH = 1200, HEIGHT = 640;

/** A colour of the site, by day and by night. */
function color(name: string): [day: string, night: string] {
  const [, day, night] = new RegExp(`--ls-${name}: light-dark\\((#\\w+), (#\\w+)\\)`).exec(TOKENS)!;
  return [day, night];
}
const HEAT = /--ls-heat: ([\d ]+)/.exec(TOKENS)![1].replaceAll(" ", ",");

/** What a model of web/models makes, on the CPU with one thread: the same everywhere. */
async function made<T>(name: string, use: (model: OpenedModel) => Promise<T>): Promise<T> {
  const model = await openModel(new URL(`../web/models/${name}/`, import.meta.url), { backend: "wasm", threads: 1 });
  try {
    return await use(model);
  } finally {
    model.dispose();
  }
}

async function rows(
  model: OpenedModel,
  batch: number,
  length: number,
  options: { seed: number; temperature?: number },
): Promise<Uint8Array> {
  const all = new Uint8Array(batch * length);
  let at = 0;
  for await (const tokens of model.samples({ batch, length, ...options })) {
    tokens.forEach((token, row) => all[row * length + at] = token);
    at++;
  }
  return all;
}

const picture = (x: number, y: number, width: number, height: number, png: Uint8Array) =>
  `<image x="${x}" y="${y}" width="${width}" height="${height}" style="image-rendering:pixelated" href="data:image/png;base64,${png.toBase64()}"/>`;

/** Text in cells, each tinted by its bits: what the model found surprising is strong. */
function tinted(text: string, bits: readonly number[], [x, y]: readonly [number, number], columns: number, lines: number): string {
  const cell = 9, line = 21, out: string[] = [];
  const words = text.split(/(?<=\s)/), wrapped: string[] = [""];
  for (const word of words) {
    if (wrapped.at(-1)!.length + word.trimEnd().length > columns) wrapped.push("");
    wrapped[wrapped.length - 1] += word;
    if (word.endsWith("\n")) wrapped.push("");
  }
  let at = 0;
  for (const [row, full] of wrapped.slice(0, lines).entries()) {
    const shown = full.replace(/\s+$/, ""), top = y + row * line;
    for (let column = 0; column < shown.length;) {
      const level = (place: number) => Math.min(5, Math.round(bits[at + place]));
      let end = column + 1;
      while (end < shown.length && level(end) === level(column)) end++;
      if (level(column) > 0) {
        out.push(
          `<rect x="${x + column * cell}" y="${top - 15}" width="${(end - column) * cell}" height="20" fill="rgb(${HEAT})" fill-opacity="${
            (level(column) * 0.11).toFixed(2)
          }"/>`,
        );
      }
      column = end;
    }
    if (shown) {
      out.push(
        `<text x="${x}" y="${top}" textLength="${shown.length * cell}" lengthAdjust="spacingAndGlyphs" class="m" xml:space="preserve">${
          escapeHtml(shown)
        }</text>`,
      );
    }
    at += full.length;
  }
  return out.join("\n");
}

/** Draws it. */
export async function drawOverview(): Promise<string> {
  const written = await made("text", async (model) => {
    const prompt = "Climate: ";
    let text = prompt;
    for await (const piece of model.text({ prompt, length: 760, temperature: 0.6, seed: 8 })) text += piece;
    return { text, bits: Array.from((await model.score(text)).logProbabilities, (p) => -p / Math.LN2) };
  });
  const painted = await made("image", (model) => rows(model, 14, 3072, { seed: 21, temperature: 0.95 }));
  const played = await decodeMulaw(await made("sound", (model) => rows(model, 1, 24000, { seed: 2, temperature: 0.9 })));
  const sheet = imagesOf(painted, [32, 32, 3]).map((image, at) =>
    picture(620 + at % 7 * 78, 62 + Math.floor(at / 7) * 78, 72, 72, encodePng(image))
  );

  /** A layer's pairs as squares, a path for each colour. */
  const pattern = async (layer: number, left: number) => {
    const n = 32, side = 5, sets = resolveSets({ pattern: "strided", stride: 8, integration: "interleaved" }, { n, layer, heads: 1 });
    const map = await patternMap("", sets, n, n), paths = new Map<string, string>();
    for (let row = 0; row < n; row++) {
      for (let column = 0; column <= row; column++) {
        const at = row * n + column, kind = map.near[at] > 0 ? "near" : map.far[at] > 0 ? "far" : "line";
        paths.set(kind, `${paths.get(kind) ?? ""}M${left + column * side} ${298 + row * side}h4v4h-4z`);
      }
    }
    return [...paths].map(([kind, d]) => `<path class="${kind}" d="${d}"/>`).join("");
  };
  const bars = 264, wide = 1136, { high, low, peak } = envelope(played, bars);
  const wave = Array.from(high, (top, at) => {
    const x = 32 + (at + 0.5) * wide / bars, up = top / peak * 42, down = Math.min(low[at] / peak * 42, up - 1);
    return `M${x.toFixed(1)} ${(568 - up).toFixed(1)}V${(568 - down).toFixed(1)}`;
  }).join("");

  const names = ["ground", "panel", "line", "ink", "soft", "near", "far"] as const,
    rule = (night: 0 | 1) => names.map((name) => `.${name}{fill:${color(name)[night]}}`).join("");
  const stroke = (night: 0 | 1) => `.wave{stroke:${color("near")[night]}}.card{stroke:${color("line")[night]}}`;
  const card = (x: number, y: number, width: number, height: number, title: string, about: string) =>
    `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="14" class="panel card"/><text x="${x + 20}" y="${
      y + 32
    }" font-size="19" font-weight="650" class="ink">${title}</text><text x="${x + width - 20}" y="${
      y + 31
    }" font-size="14.5" text-anchor="end" class="soft">${about}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="system-ui, -apple-system, Segoe UI, Roboto, sans-serif">
<title>What Longstride's models make: text tinted by its bits, painted images, a sound; and what two sparse layers read</title>
<style>${rule(0)}${stroke(0)}.m{font:15px ui-monospace,Menlo,Consolas,monospace;fill:${color("ink")[0]}}@media(prefers-color-scheme:dark){${
    rule(1)
  }${stroke(1)}.m{fill:${color("ink")[1]}}}</style>
<rect width="${WIDTH}" height="${HEIGHT}" rx="20" class="ground"/>
${card(16, 16, 560, 452, "It writes", "the stronger the tint, the more surprising")}
${tinted(written.text, written.bits, [36, 84], 57, 18)}
${card(592, 16, 592, 216, "It paints", "32 × 32 pixels, one after another")}
${sheet.join("\n")}
${card(592, 248, 592, 220, "It computes little", "strided attention: two layers reach everything")}
${await pattern(0, 642)}
${await pattern(1, 958)}
<text x="878" y="366" font-size="15" text-anchor="middle" class="soft">a window,</text>
<text x="878" y="388" font-size="15" text-anchor="middle" class="soft">then every 8th</text>
${card(16, 484, 1168, 140, "It plays", "two seconds of piano, 12,000 samples per second")}
<path d="${wave}" class="wave" stroke-width="2.4" stroke-linecap="round" fill="none"/>
</svg>
`;
}
