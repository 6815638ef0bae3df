/**
 * The page that trains: shows what its worker (train_worker.ts) sends, keeps a list of the browser's runs, and prompts what was learnt.
 *
 * @module
 */

import type { DataKind } from "../data.ts";
import { type CurveMark, lossCurveSvg } from "../pictures.ts";
import type { LongstrideSample } from "./longstride_sample.ts";
import { type Chosen, findData, forgetRun, type KeptRun, listRuns, RUN_FOLDER } from "./runs.ts";
import { bind, check, hand, partsFor, showFor, type Suiting } from "./sample_form.ts";
import type { Answer, HeadMap, Made, Question, Report } from "./train_worker.ts";
import { make } from "./view.ts";

const find = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const form = find<HTMLFormElement>("choices"), prompts = find<HTMLFormElement>("prompts"), go = find<HTMLButtonElement>("go");
const save = find<HTMLButtonElement>("save"), stop = find<HTMLButtonElement>("stop"), newer = find<HTMLButtonElement>("newer");
const drop = find("drop"), input = find<HTMLInputElement>("file"), progress = find<HTMLProgressElement>("progress");
const status = find("status"), error = find("error"), element = document.querySelector<LongstrideSample>("longstride-sample")!;

/** The run that a reload goes on with: while it trains, in this tab. */
const TRAINING = "longstride-training";

/** What suits each kind where the person says nothing. */
const SUITS: Readonly<Record<ReturnType<typeof partsFor>, Suiting>> = {
  text: { kind: "text", temperature: 0.8, samples: 1, length: 400 },
  image: { kind: "image", temperature: 1, samples: 4 },
  sound: { kind: "audio", temperature: 1, samples: 1, seconds: 2 },
};

/** What is shown. */
interface Board {
  readonly id: string;
  name: string;
  kind: DataKind;
  rate?: number;
  marks: readonly CurveMark[];
  report?: Report;
  heads: readonly HeadMap[];
  zip?: { readonly file: Blob; readonly step: number };
  /** The step of what is prompted. */
  prompted?: number;
}

let file: File | undefined, worker: Worker | undefined, training = false, board: Board | undefined;

const ask = (question: Question) => worker?.postMessage(question);
const number = (x: number) => Math.round(x).toLocaleString("en");

/** The latest loss on what is held out. */
const heldOutOf = ({ history }: KeptRun) => history.findLast(({ heldOut }) => heldOut !== undefined)?.heldOut;

/** Seconds as people say them. */
function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} min`;
  return `${Math.floor(whole / 3600)}:${String(Math.floor(whole % 3600 / 60)).padStart(2, "0")} h`;
}

/** Takes a file; what was said of the one before goes. */
function take(chosen: File | undefined): void {
  if (!chosen) return;
  file = chosen;
  find("chosen").textContent = `${file.name}, ${file.size.toLocaleString("en")} bytes`;
  error.hidden = find("resume").hidden = true;
  if (!training) status.textContent = "";
  judge();
}

function judge(): void {
  go.disabled = !file || training || !check(form);
}

function rest(): void {
  training = false;
  sessionStorage.removeItem(TRAINING);
  stop.hidden = true;
  judge();
  void list();
}

/** Empties the view for a run. */
function begin(id: string, name: string): void {
  board = { id, name, kind: "text", marks: [], heads: [] };
  for (const part of ["resume", "notices", "prompting"]) find(part).hidden = true;
  error.hidden = find("blank").hidden = true;
  find("run").hidden = false;
  find("name").textContent = name;
  find("numbers").replaceChildren();
  find("curve").replaceChildren();
  find("heads").replaceChildren();
  find("heads-about").textContent = "";
  find("samples").replaceChildren(make("p", { className: "hint", textContent: "The first sample comes in a few seconds." }));
  element.file = undefined;
  element.clear();
  progress.value = 0;
  save.disabled = true;
}

function train(question: Extract<Question, { ask: "train" }>, name: string): void {
  begin(question.id, name);
  worker?.terminate();
  worker = new Worker(new URL("./train_worker.ts", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => answered(data);
  worker.onerror = (event) => answered({ is: "error", message: `The worker failed: ${event.message}` });
  training = true;
  sessionStorage.setItem(TRAINING, question.id);
  stop.hidden = false;
  status.textContent = "Reading the file";
  judge();
  ask(question);
  document.body.classList.add("running");
  void list();
  find("board").scrollIntoView({ block: "start" });
}

/** The curve as wide as there is room; its colours are turned by page.css, since a policy may forbid a drawing its own rules. */
function drawCurve(): void {
  const { report, marks, name } = board ?? {};
  if (!report) return;
  const curve = find("curve"), width = Math.max(320, Math.round(curve.clientWidth));
  // A drawing of our own, every text in it escaped. The page has the heading.
  curve.innerHTML = lossCurveSvg("", report.history, report.steps, marks, width).replace(/<style>[^<]*<\/style>\n?/, "");
  curve.firstElementChild!.setAttribute("aria-label", name!);
  // Its ground is the page's.
  curve.querySelector("rect")!.remove();
}

function drawHeads(): void {
  const ink = getComputedStyle(find("heads")).getPropertyValue("color").match(/[\d.]+/g)!.map(Number);
  find("heads").style.setProperty(
    "--heads",
    String(Math.max(1, (board?.heads ?? []).filter(({ layer }) => layer === board!.heads[0].layer).length)),
  );
  find("heads").replaceChildren(...(board?.heads ?? []).map(({ layer, head, side, cells }) => {
    const title = `Layer ${layer + 1}, head ${head + 1}`,
      canvas = make("canvas", { width: side, height: side }, {
        role: "img",
        "aria-label": `Attention of layer ${layer + 1}, head ${head + 1}: queries down, keys across`,
      });
    const context = canvas.getContext("2d")!, pixels = context.createImageData(side, side);
    // Outside the pattern a trace of grey, inside it the more of the ink the more it weighs.
    cells.forEach((cell, at) =>
      pixels.data.set([...ink.slice(0, 3), cell === 0 ? 0 : cell === 1 ? 18 : 40 + (cell - 2) * 215 / 253], at * 4)
    );
    context.putImageData(pixels, 0, 0);
    return make("figure", {}, {}, canvas, make("figcaption", { textContent: title }));
  }));
}

function showReport(report: Report): void {
  const { step, steps, loss, heldOut, tokensPerSecond, secondsLeft, phase, last } = report;
  board!.report = report;
  Object.assign(progress, { max: steps, value: step });
  const numbers: [string, string, string][] = [
    [`step of ${number(steps)}${phase && `, ${phase}`}`, number(step), ""],
    ["loss, bits/byte", loss.toFixed(3), "near"],
    ["held out, bits/byte", heldOut?.toFixed(3) ?? "–", "far"],
    ["tokens per second", number(tokensPerSecond), ""],
    ...last ? [] : [["left", duration(secondsLeft), ""] as [string, string, string]],
  ];
  find("numbers").replaceChildren(
    ...numbers.map(([name, value, className]) =>
      make("div", { className }, {}, make("dt", { textContent: name }), make("dd", { textContent: value }))
    ),
  );
  drawCurve();
  save.disabled = false;
  if (!last) return;
  status.textContent = step === steps ? "Training is done" : "Training has stopped";
  rest();
}

function showSample({ step, text, image, wav }: Made): void {
  const at = make("p", { className: "hint", textContent: `After step ${number(step)}` });
  let made: HTMLElement;
  if (image) {
    const [height, width, channels] = image.shape, canvas = make("canvas", { width, height }, { role: "img" });
    canvas.setAttribute("aria-label", `Image made after step ${step}`);
    const context = canvas.getContext("2d")!, pixels = context.createImageData(width, height);
    for (let pixel = 0; pixel < width * height; pixel++) {
      const color = Array.from({ length: 3 }, (_, c) => image.row[pixel * channels + Math.min(c, channels - 1)]);
      pixels.data.set([...color, 255], pixel * 4);
    }
    context.putImageData(pixels, 0, 0);
    made = canvas;
  } else if (wav) {
    made = make("audio", { controls: true, src: URL.createObjectURL(new Blob([wav], { type: "audio/wav" })) });
    made.setAttribute("aria-label", `Sound made after step ${step}`);
  } else made = make("pre", { textContent: text ?? "" });
  // Earlier ones stay, folded up.
  const samples = find("samples"), [first, last] = [...samples.children] as HTMLElement[];
  let before = samples.querySelector("details");
  if (first && last && first.localName !== "details") {
    before ??= make("details", {}, {}, make("summary", { textContent: "Earlier ones" }));
    before.firstElementChild!.after(first, last);
  }
  samples.replaceChildren(at, made, ...before ? [before] : []);
}

/** Opens what was learnt for prompts, unless somebody looks at what another step made: then offers it. */
function offer(file: Blob, step: number): void {
  board!.zip = { file, step };
  find("prompting").hidden = false;
  const isLooking = element.busy || element.hasMade;
  newer.hidden = !isLooking;
  newer.textContent = `Take the newer one, after step ${number(step)}`;
  if (!isLooking) prompt();
}

function prompt(): void {
  const { zip, kind, rate } = board!, suits = SUITS[partsFor(kind)];
  if (!zip) return;
  element.rate = rate;
  element.file = zip.file;
  board!.prompted = zip.step;
  find("prompted").textContent = `As it is after step ${number(zip.step)}.`;
  newer.hidden = true;
  showFor(prompts, partsFor(kind));
  hand(prompts, element, suits);
}

function answered(answer: Answer): void {
  switch (answer.is) {
    case "begun": {
      Object.assign(board!, { name: answer.name, kind: answer.kind, marks: answer.marks });
      find("name").textContent = answer.name;
      status.textContent = `${
        answer.from > 0 ? `Going on from step ${number(answer.from)} with` : "Training on"
      } ${answer.about}. ${answer.engine}`;
      find("notices").replaceChildren(...answer.notices.map((notice) => make("li", { textContent: notice })));
      find("notices").hidden = answer.notices.length === 0;
      return;
    }
    case "report":
      return showReport(answer);
    case "sample":
      board!.heads = answer.heads;
      find("heads-about").textContent = `Of its last sample: queries from above down, keys from left to right, ${
        number(answer.positions)
      } positions.`;
      drawHeads();
      return showSample(answer.made);
    case "kept":
      offer(answer.zip, answer.step);
      if (answer.why) status.textContent += `. It could not be kept in this browser: ${answer.why}`;
      return void list();
    case "saved":
      return download(answer.zip);
    case "error":
      status.textContent = "";
      error.textContent = answer.message;
      error.hidden = false;
      if (!board?.report) {
        find("run").hidden = true;
        find("blank").hidden = false;
      }
      return rest();
  }
}

function download(zip: Blob): void {
  const url = URL.createObjectURL(zip);
  make("a", { href: url, download: `${RUN_FOLDER}.zip` }).click();
  // The browser has the address by then; the bytes go once it is revoked.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  find("resume").hidden = false;
  find("resume").querySelector("code")!.textContent = `deno task train --resume ${RUN_FOLDER} --data ${board!.name}`;
}

/** The loss as a line a thumb high. */
function spark({ history }: KeptRun): SVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS(svg.namespaceURI, "path");
  const losses = history.map(({ loss }) => loss).filter(Number.isFinite), most = Math.max(...losses), least = Math.min(...losses);
  const points = losses.map((loss, at) =>
    `${at / Math.max(1, losses.length - 1) * 80} ${28 - (loss - least) / Math.max(1e-9, most - least) * 26}`
  );
  svg.setAttribute("viewBox", "0 0 80 30");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("class", "spark");
  path.setAttribute("d", points.length ? `M${points.join("L")}` : "");
  svg.append(path);
  return svg as SVGElement;
}

/** Shows the runs of this browser. */
async function list(): Promise<KeptRun[]> {
  // Without a place for runs, as in some private windows, there are none.
  const runs = await listRuns().catch(() => []);
  find("history").hidden = runs.length === 0;
  find("runs").replaceChildren(...runs.map((run) => {
    const { id, name, step, steps, kept } = run, held = heldOutOf(run);
    const isUnderWay = training && board?.id === id;
    const button = (textContent: string, label: string, onclick: () => void) =>
      make("button", { type: "button", className: "quiet", textContent, onclick }, { "aria-label": label });
    const actions = make("div", { className: "row" });
    if (!training) {
      if (step < steps) actions.append(button("Go on", `Go on with ${name}`, () => goOn(run)));
      actions.append(button("Show", `Show ${name}`, () => void show(run)));
      actions.append(button("Forget", `Forget ${name}`, () => void forgetRun(id).then(list)));
    }
    const when = new Date(kept).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    const words = [`step ${number(step)} of ${number(steps)}`, ...held === undefined ? [] : [`${held.toFixed(3)} bits/byte`], when].join(
      " · ",
    );
    return make(
      "li",
      {},
      {},
      make(
        "div",
        {},
        {},
        make("strong", { textContent: name }),
        make("div", { className: "hint", textContent: isUnderWay ? "training now" : words }),
      ),
      spark(run),
      actions,
    );
  }));
  return runs;
}

/** Goes on with a run of this browser; a file that was chosen is taken for its own where that was not kept. */
function goOn({ id, name }: KeptRun): void {
  void findData(id).then((data) => train({ ask: "train", id, file: data?.file ? undefined : file }, name));
}

/** Shows a run as it was, for prompts and to save it. */
async function show(run: KeptRun): Promise<void> {
  const { id, name, about, kind, rate, step, steps, history } = run, data = await findData(id);
  if (!data) return;
  worker?.terminate();
  worker = undefined;
  begin(id, name);
  Object.assign(board!, { kind, rate });
  const { loss } = history.at(-1)!;
  showReport({ step, steps, loss, heldOut: heldOutOf(run), tokensPerSecond: 0, secondsLeft: 0, phase: "", last: true, history });
  status.textContent = `Kept: ${about}`;
  find("samples").replaceChildren(make("p", { className: "hint", textContent: "Samples are not kept; prompt it below." }));
  offer(data.zip, step);
}

bind(form, judge, () => {
  if (training || !file) return;
  const fields = new FormData(form), lr = fields.get("lr");
  const chosen: Chosen = {
    backend: String(fields.get("backend")) as Chosen["backend"],
    small: fields.get("size") === "small",
    steps: Number(fields.get("steps")),
    seed: Number(fields.get("seed")),
    ...lr ? { lr: Number(lr) } : {},
  };
  train({ ask: "train", id: `${Date.now()}-${Math.random().toString(36).slice(2)}`, file, chosen }, file.name);
});
stop.addEventListener("click", () => {
  status.textContent = "Stopping after this step";
  ask({ ask: "stop" });
});
save.addEventListener("click", () => {
  if (worker) ask({ ask: "save" });
  else if (board?.zip) download(board.zip.file);
});
newer.addEventListener("click", () => {
  element.stop();
  prompt();
});
input.addEventListener("change", () => take(input.files?.[0]));
for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragenter" || type === "dragover");
    if (type === "drop") take((event as DragEvent).dataTransfer?.files[0]);
  });
}
new ResizeObserver(drawCurve).observe(find("curve"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawHeads);

await customElements.whenDefined("longstride-sample");
bind(prompts, (isRight) => {
  element.disabled = !isRight;
  if (isRight && board) hand(prompts, element, SUITS[partsFor(board.kind)]);
}, () => void element.sample().catch(() => {}));
// A reload, or a page that was left and is come back to, goes on with what it trained.
const before = sessionStorage.getItem(TRAINING),
  runs = await list(),
  left = runs.find(({ id, step, steps }) => id === before && step < steps);
if (left) goOn(left);
else sessionStorage.removeItem(TRAINING);
