/**
 * A form of a page: says at each field what it may be, and begins by Enter or, in a text, by Ctrl+Enter.
 *
 * @module
 */

import type { DataKind } from "../data.ts";
import type { LongstrideSample } from "./longstride_sample.ts";
import { make } from "./view.ts";

type Field = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

/** Says beneath a field what is wrong with it, if anything. */
function judge(field: Field): void {
  const label = field.closest(".field"), wrong = label?.querySelector<HTMLElement>(".wrong");
  if (!label) return;
  if (field.validity.valid) {
    wrong?.remove();
    field.removeAttribute("aria-invalid");
    return;
  }
  field.setAttribute("aria-invalid", "true");
  // In the label, so that it is read with the field's name.
  if (wrong) wrong.textContent = field.validationMessage;
  else label.append(make("span", { className: "wrong", textContent: field.validationMessage }));
}

/** Whether every field is what it may be; the first that is not is focused where `isAsked`. */
export function check(form: HTMLFormElement, isAsked = false): boolean {
  const fields = ([...form.elements] as Field[]).filter(({ willValidate }) => willValidate);
  fields.forEach(judge);
  const wrong = fields.find(({ validity }) => !validity.valid);
  if (wrong && isAsked) {
    for (let at: Element | null = wrong; at; at = at.parentElement) if (at instanceof HTMLDetailsElement) at.open = true;
    wrong.focus();
  }
  return !wrong;
}

/** Shows the parts of a form that are for what is chosen, and takes the others' fields out of it. */
export function showFor(form: HTMLFormElement, ...chosen: string[]): void {
  for (const part of form.querySelectorAll<HTMLElement>("[data-of]")) {
    part.hidden = !chosen.includes(part.dataset.of!);
    for (const field of part.querySelectorAll<Field>("input, select, textarea")) field.disabled = part.hidden;
  }
}

/** Calls `begin` for Enter in a line and Ctrl+Enter anywhere, `changed` after every input with whether all is right. */
export function bind(form: HTMLFormElement, changed: (isRight: boolean) => void, begin: () => void): void {
  const go = (event: Event) => {
    event.preventDefault();
    if (check(form, true)) begin();
  };
  form.addEventListener("submit", go);
  form.addEventListener("input", () => changed(check(form)));
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    const { type, localName } = event.target as Field, isLine = localName === "input" && !["radio", "file", "checkbox"].includes(type);
    if (event.ctrlKey || event.metaKey || isLine) go(event);
  });
}

/** What suits a model where a field is empty. */
export interface Suiting {
  readonly kind: DataKind;
  readonly temperature: number;
  readonly samples: number;
  /** Bytes of text. */
  readonly length?: number;
  /** Of sound. */
  readonly seconds?: number;
}

/** Which parts of a form are for a kind. */
export const partsFor = (kind: DataKind): "text" | "image" | "sound" => kind === "audio" ? "sound" : kind === "image" ? "image" : "text";

/** Hands a form's fields to the element, and writes what suits into empty fields, as what stands there in grey. */
export function hand(form: HTMLFormElement, element: LongstrideSample, suits: Suiting): void {
  const fields = new FormData(form), number = (name: string) => fields.get(name) ? Number(fields.get(name)) : undefined;
  for (const [name, value] of Object.entries(suits)) {
    const field = form.elements.namedItem(name);
    if (field instanceof HTMLInputElement) field.placeholder = String(value);
  }
  const isText = suits.kind === "text" || suits.kind === "bytes", seconds = number("seconds") ?? suits.seconds;
  element.kind = suits.kind;
  element.prompt = isText ? String(fields.get("prompt") ?? "") : "";
  element.length = suits.kind === "audio"
    ? seconds && Math.round(seconds * element.rate)
    : isText
    ? number("length") ?? suits.length
    : undefined;
  element.samples = number("samples") ?? suits.samples;
  element.temperature = number("temperature") ?? suits.temperature;
  element.topK = number("topK");
  element.topP = number("topP");
  element.seed = number("seed");
}
