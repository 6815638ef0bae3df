/**
 * The page that samples: its form sets the element's properties.
 *
 * @module
 */

import type { LongstrideSample } from "./longstride_sample.ts";
import { findData, type KeptRun, listRuns } from "./runs.ts";
import { bind, check, hand, partsFor, showFor, type Suiting } from "./sample_form.ts";

const find = <T extends HTMLElement>(selector: string) => document.querySelector<T>(selector)!;
const form = find<HTMLFormElement>("#choices"), element = find<LongstrideSample>("longstride-sample"), about = find("#about");
const drop = find("#drop"), zip = find<HTMLInputElement>("#zip"), run = find<HTMLSelectElement>("[name=run]");
const picture = find<HTMLInputElement>("[name=picture]");

/** What suits each kind. */
const SUITS = {
  text: { kind: "text", temperature: 0.7, samples: 1, length: 500 },
  image: { kind: "image", temperature: 0.9, samples: 4 },
  sound: { kind: "audio", temperature: 1, samples: 1, seconds: 2 },
} as const satisfies Readonly<Record<string, Suiting>>;

/** What each model was trained on; its folder says with which command. */
const ABOUT: Readonly<Record<string, string>> = {
  text: "Learnt The World Factbook: facts about countries, a line each.",
  image: "Learnt 3,000 crops of photographs, 32 by 32 pixels; it paints row by row, red, green and blue in turn.",
  sound: "Learnt eight minutes of piano at 12 kHz, a third of a second of context.",
  own: "A run that was trained here or by the command line.",
};

/** The run's zip, once one is given. */
let own: Blob | undefined;
let runs: readonly KeptRun[] = [];

function apply(): void {
  const model = String(new FormData(form).get("model")), isOwn = model === "own";
  const suits = isOwn ? SUITS[partsFor(element.kind)] : SUITS[model as "text"];
  showFor(form, partsFor(suits.kind), isOwn ? "own" : `shipped ${model}`);
  about.textContent = ABOUT[model];
  element.file = isOwn ? own : undefined;
  const source = isOwn ? "" : `models/${model}/`;
  if (element.src !== source) {
    element.src = source;
    element.promptTokens = undefined;
    picture.value = "";
    picture.setCustomValidity("");
  }
  hand(form, element, suits);
  // A run says itself what it makes.
  if (isOwn) element.kind = undefined;
  const backend = new FormData(form).get("backend") as LongstrideSample["backend"];
  if (element.backend !== backend) element.backend = backend;
  element.disabled = !check(form) || isOwn && !own;
}

/** Opens a run's zip; then what it makes is known, and the form shows what that takes. */
async function take(file: Blob | undefined, name: string): Promise<void> {
  if (!file) return;
  own = file;
  find("#chosen").textContent = name;
  apply();
  await element.load().catch(() => {});
  apply();
}

async function takeRun(id: string): Promise<void> {
  const made = runs.find((one) => one.id === id), data = made && await findData(id);
  if (!made || !data) return;
  run.value = id;
  await take(data.zip, `${made.name}, after step ${made.step}`);
}

/** Opens what was chosen or dropped. */
function takeFile(file: File | undefined): void {
  if (!file) return;
  run.value = "";
  void take(file, file.name);
}

/** The upper half of a picture, scaled to the model's size, as its tokens. */
async function upperHalf(file: File, side: number): Promise<Uint8Array> {
  const bitmap = await createImageBitmap(file), edge = Math.min(bitmap.width, bitmap.height);
  const canvas = new OffscreenCanvas(side, side), context = canvas.getContext("2d")!;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (bitmap.width - edge) / 2, (bitmap.height - edge) / 2, edge, edge, 0, 0, side, side);
  return context.getImageData(0, 0, side, side / 2).data.filter((_, at) => at % 4 !== 3) as unknown as Uint8Array;
}

picture.addEventListener("change", async () => {
  const [file] = picture.files ?? [];
  element.clear();
  picture.setCustomValidity("");
  try {
    element.promptTokens = file && await upperHalf(file, 32);
  } catch {
    element.promptTokens = undefined;
    picture.setCustomValidity(`${file.name} is no picture that this browser can read`);
  }
  apply();
});
zip.addEventListener("change", () => takeFile(zip.files?.[0]));
run.addEventListener("change", () => takeRun(run.value));
for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragenter" || type === "dragover");
    const [file] = type === "drop" ? (event as DragEvent).dataTransfer?.files ?? [] : [];
    takeFile(file);
  });
}
find<HTMLDetailsElement>("#more").open = matchMedia("(min-width: 62rem)").matches;

await customElements.whenDefined("longstride-sample");
bind(form, apply, () => void (!element.disabled && element.sample().catch(() => {})));
// Without a place for runs, as in a private window, there are none.
runs = await listRuns().catch(() => []);
run.append(...runs.map(({ id, name, step }) => new Option(`${name}, ${step} steps`, id)));
find("#kept").hidden = runs.length === 0;
const wanted = new URLSearchParams(location.search).get("run");
if (wanted) form.querySelector<HTMLInputElement>("[value=own]")!.checked = true;
apply();
if (wanted) await takeRun(wanted);
