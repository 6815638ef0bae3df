/**
 * The page that trains: shows what its worker (train_worker.ts) sends.
 *
 * @module
 */

import type { Answer, Made, Question } from "./train_worker.ts";

const find = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const form = find<HTMLFormElement>("choices"), go = find<HTMLButtonElement>("go"), save = find<HTMLButtonElement>("save");
const drop = find("drop"), input = find<HTMLInputElement>("file"), progress = find<HTMLProgressElement>("progress");
const status = find("status"), error = find("error"), numbers = find("numbers");
let file: File | undefined, worker: Worker | undefined, training = false;

const ask = (question: Question) => worker?.postMessage(question);
const reveal = (id: string) => find(id).closest("section")!.hidden = false;
const take = (chosen: File | undefined) => {
  if (!chosen) return;
  file = chosen;
  find("chosen").textContent = `${file.name}, ${file.size.toLocaleString("en")} bytes`;
  go.disabled = false;
};
const rest = () => {
  training = false;
  go.textContent = "Train";
};

function show({ step, text, image, wav }: Made): void {
  const at = document.createElement("p");
  at.textContent = `After step ${step}`;
  let made: HTMLElement;
  if (image) {
    const canvas = made = document.createElement("canvas"), [height, width, channels] = image.shape;
    Object.assign(canvas, { width, height });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Image made after step ${step}`);
    const context = (canvas as HTMLCanvasElement).getContext("2d")!, pixels = context.createImageData(width, height);
    for (let pixel = 0; pixel < width * height; pixel++) {
      const color = Array.from({ length: 3 }, (_, c) => image.row[pixel * channels + Math.min(c, channels - 1)]);
      pixels.data.set([...color, 255], pixel * 4);
    }
    context.putImageData(pixels, 0, 0);
  } else if (wav) {
    made = document.createElement("audio");
    Object.assign(made, { controls: true, src: URL.createObjectURL(new Blob([wav], { type: "audio/wav" })) });
  } else {
    made = document.createElement("pre");
    made.textContent = text ?? "";
  }
  find("samples").prepend(at, made);
  reveal("samples");
}

function answered(answer: Answer): void {
  switch (answer.is) {
    case "begun":
      status.textContent = `Training on ${answer.about}. ${answer.engine}`;
      // Drawings of our own, every text in them escaped.
      find("layout").innerHTML = answer.layout;
      reveal("layout");
      return;
    case "report":
      Object.assign(progress, { hidden: false, max: answer.steps, value: answer.step });
      numbers.textContent = answer.numbers;
      find("curve").innerHTML = answer.curve;
      reveal("curve");
      save.disabled = false;
      if (!answer.last) return;
      status.textContent = answer.step === answer.steps ? "Training is done" : "Training has stopped";
      return rest();
    case "sample":
      return show(answer.made);
    case "saved": {
      const link = document.createElement("a"), url = URL.createObjectURL(new Blob([answer.zip], { type: "application/zip" }));
      Object.assign(link, { href: url, download: "longstride-run.zip" }).click();
      // The browser has the address by then; the bytes go once it is revoked.
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      find("resume").hidden = false;
      find("resume").querySelector("code")!.textContent = `deno task train --resume longstride-run --data ${file!.name}`;
      return;
    }
    case "error":
      status.textContent = "";
      error.textContent = answer.message;
      error.hidden = false;
      return rest();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (training) {
    status.textContent = "Stopping after this step";
    return ask({ ask: "stop" });
  }
  const fields = new FormData(form), lr = fields.get("lr");
  worker?.terminate();
  worker = new Worker(new URL("./train_worker.ts", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => answered(data);
  worker.onerror = (event) => answered({ is: "error", message: `The worker failed: ${event.message}` });
  training = true;
  error.hidden = true;
  save.disabled = true;
  find("samples").replaceChildren();
  go.textContent = "Stop";
  status.textContent = "Reading the file";
  ask({
    ask: "train",
    file: file!,
    backend: String(fields.get("backend")) as "auto",
    small: fields.get("size") === "small",
    train: { steps: Number(fields.get("steps")), seed: Number(fields.get("seed")), ...lr ? { lr: Number(lr) } : {} },
  });
});
save.addEventListener("click", () => ask({ ask: "save" }));
input.addEventListener("change", () => take(input.files?.[0]));
for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragenter" || type === "dragover");
    if (type === "drop") take((event as DragEvent).dataTransfer?.files[0]);
  });
}
