/**
 * The page that samples: its form sets the element's properties.
 *
 * @module
 */

import type { LongstrideSample } from "./longstride_sample.ts";

const form = document.querySelector<HTMLFormElement>("#choices")!, element = document.querySelector<LongstrideSample>("longstride-sample")!;
const about = document.querySelector<HTMLElement>("#about")!;

/** What each model was trained on (its folder says with which command), and what suits it. */
const MODELS: Readonly<
  Record<
    string,
    { readonly about: string; readonly temperature: number; readonly length: number; readonly kind: "text" | "image" | "audio" }
  >
> = {
  text: { about: "Learnt The World Factbook: facts about countries, a line each.", temperature: 0.7, length: 500, kind: "text" },
  image: {
    about: "Learnt 3,000 crops of photographs, 32 by 32 pixels; it paints row by row, red, green and blue in turn.",
    temperature: 0.9,
    length: 3072,
    kind: "image",
  },
  sound: {
    about: "Learnt eight minutes of piano at 12 kHz, a third of a second of context.",
    temperature: 1,
    length: 24000,
    kind: "audio",
  },
};

function apply(): void {
  const fields = new FormData(form), model = String(fields.get("model")), suits = MODELS[model];
  const number = (name: string) => fields.get(name) ? Number(fields.get(name)) : undefined;
  for (const part of form.querySelectorAll<HTMLElement>("[data-of]")) part.hidden = part.dataset.of !== model;
  about.textContent = suits.about;
  if (element.getAttribute("src") !== `models/${model}/`) {
    element.src = `models/${model}/`;
    element.promptTokens = undefined;
  }
  for (const name of ["length", "temperature"] as const) {
    form.querySelector<HTMLInputElement>(`[name=${name}]`)!.placeholder = String(suits[name]);
  }
  element.kind = suits.kind;
  element.prompt = model === "text" ? String(fields.get("prompt")) : "";
  element.length = number("length") ?? suits.length;
  element.temperature = number("temperature") ?? suits.temperature;
  element.topK = number("topK");
  element.topP = number("topP");
  element.seed = number("seed");
  if (element.backend !== fields.get("backend")) element.backend = String(fields.get("backend")) as LongstrideSample["backend"];
}

/** The upper half of a picture, scaled to the model's size, as its tokens. */
async function upperHalf(file: File, side: number): Promise<Uint8Array> {
  const picture = await createImageBitmap(file), edge = Math.min(picture.width, picture.height);
  const canvas = new OffscreenCanvas(side, side), context = canvas.getContext("2d")!;
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, (picture.width - edge) / 2, (picture.height - edge) / 2, edge, edge, 0, 0, side, side);
  return context.getImageData(0, 0, side, side / 2).data.filter((_, at) => at % 4 !== 3) as unknown as Uint8Array;
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", apply);
form.querySelector<HTMLInputElement>("[name=picture]")!.addEventListener("change", async ({ currentTarget }) => {
  const [file] = (currentTarget as HTMLInputElement).files ?? [];
  element.promptTokens = file && await upperHalf(file, 32);
});
await customElements.whenDefined("longstride-sample");
apply();
