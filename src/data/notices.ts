/**
 * What is told of data beside errors: what was read otherwise than files say, or left out.
 *
 * @module
 */

/** Takes a sentence on what was read otherwise than the file says, or left out: no error, but to be told. */
export type Notify = (name: string, what: string) => void;

/** The notices of a data set: the same of many files, but for numbers, is one sentence. */
export class Notices {
  readonly #found = new Map<string, { text: string; more: number }>();

  readonly add: Notify = (name, what) => {
    const key = what.replace(/\d+/g, "#"), before = this.#found.get(key);
    if (before) before.more++;
    else this.#found.set(key, { text: `${name}: ${what}`, more: 0 });
  };

  /** One sentence per kind, in the order they came. */
  get all(): string[] {
    return Array.from(this.#found.values(), ({ text, more }) => text + (more > 0 ? `; and so in ${more} more` : ""));
  }
}

/** A count for people, with its unit. */
export const counted = (count: number, what: string): string => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
