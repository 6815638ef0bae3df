/**
 * What the views of a sample have in common.
 *
 * @module
 */

/** What a view comes to when its sample is there. */
export interface Shown {
  /** The sample as text, where it is text. */
  readonly text?: string;
  /** The sample as a file, prompt included where it is a picture or a sound. */
  readonly file?: Blob;
  /** What the file is called. */
  readonly name?: string;
}

/** Shows tokens of one sample as they come. */
export interface View {
  /** Shows more; answers the text that these complete, where it is text. */
  show(tokens: readonly number[]): string | undefined;
  /** Tints tokens, from one of the sequence on, by their bits. */
  tint?(from: number, bits: Float32Array): void;
  /** The sample is whole, or was stopped. */
  end(): Promise<Shown>;
  /** It is shown no more. */
  close?(): void;
}

/** An element with its properties, classes and attributes, and what it holds. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  attributes: Readonly<Record<string, string>> = {},
  ...content: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  return made;
}
