/**
 * Text as it comes: the prompt in bold, and, where asked, every token tinted by its bits and open to a pointer and to arrow keys.
 *
 * @module
 */

import { TextStream } from "../data.ts";
import { make, type Shown, type View } from "./view.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Characters of a block of text: a browser lays out a whole block when a character is added to it. */
const BLOCK = 1000;

/** Least bits of each tint; the stylesheet has a class for each, from `t1`. */
const TINTS = [1, 2, 3, 4.5, 6, 8];

/** Text that can be looked into. */
export interface TextView extends View {
  /** Marks earlier tokens by what they weigh, from 0 to 1; of the sequence, prompt included. */
  mark(at: number, weights: ReadonlyMap<number, number>): void;
}

/** What a {@linkcode textView} tells. */
export interface TextEvents {
  /** A token of the sequence was pointed to (`isSure` where it was clicked, tapped or reached by a key). */
  pick(at: number, isSure: boolean): void;
}

/** Where text is shown, its prompt in bold, and its first block. */
function regionIn(into: HTMLElement) {
  const given = make("b"), block = make("div", {}, {}, given);
  const region = make("pre", { tabIndex: 0 }, { role: "region", "aria-label": "Text" }, block);
  into.prepend(region);
  return { region, given, block };
}

/** What a sample of text comes to. */
const shownAs = (text: string): Shown => ({ text, file: new Blob([text], { type: "text/plain" }), name: "sample.txt" });

/** Shows text that is read and nothing else: as long as it comes. */
export function plainView(into: HTMLElement, prompt: readonly number[], vocabulary: Vocabulary): View {
  const { region, given, block: first } = regionIn(into), stream = new TextStream(), before = new TextStream();
  given.append(before.push(vocabulary.bytesOf(prompt)) + before.end());
  let block = first, node: Text | undefined, filled = 0, text = "";
  const add = (piece: string): string => {
    text += piece;
    filled += piece.length;
    const cut = filled > BLOCK ? piece.indexOf("\n") : -1;
    if (cut < 0) {
      if (!node) block.append(node = document.createTextNode(""));
      node.appendData(piece);
      return piece;
    }
    // The end of a block stands for the line's.
    node?.appendData(piece.slice(0, cut));
    block = make("div");
    block.append(node = document.createTextNode(piece.slice(cut + 1)));
    region.append(block);
    filled = node.length;
    return piece;
  };
  return {
    show: (tokens) => add(stream.push(vocabulary.bytesOf(tokens))),
    end() {
      add(stream.end());
      return Promise.resolve(shownAs(text));
    },
  };
}

/** Lets a pointer and arrow keys go from token to token, each an element of `spans`, but those of the prompt. */
function letPick(region: HTMLElement, spans: readonly HTMLElement[], given: number, { pick }: TextEvents): void {
  let current = -1;
  const at = ({ target }: Event) => spans.indexOf(target as HTMLElement);
  const go = (to: number, isSure: boolean) => {
    if (to < given || to >= spans.length) return;
    spans[current]?.classList.remove("at");
    spans[current = to].classList.add("at");
    pick(to, isSure);
  };
  region.onpointerover = (event) => event.pointerType === "mouse" && go(at(event), false);
  region.onclick = (event) => go(at(event), true);
  region.onkeydown = (event) => {
    const last = spans.length - 1;
    const to = ({ ArrowRight: current + 1, ArrowLeft: current - 1, Home: given, End: last } as Record<string, number>)[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go(Math.max(given, Math.min(last, to)), true);
    spans[current].scrollIntoView({ block: "nearest" });
  };
  region.setAttribute("aria-description", "Arrow keys go from token to token and tell each one's likeliest others");
}

/** Shows text whose tokens are tinted and can be picked: each is an element of its own. */
export function textView(into: HTMLElement, prompt: readonly number[], vocabulary: Vocabulary, events: TextEvents): TextView {
  const { region, given, block: first } = regionIn(into), stream = new TextStream(), spans: HTMLElement[] = [];
  let block = first, filled = 0, text = "", marked: HTMLElement[] = [];

  /** A token's element: of a character in several tokens, the one they share. */
  let open: HTMLElement | undefined;
  const put = (piece: string, to: HTMLElement) => {
    const span = open ?? make("span");
    spans.push(span);
    open = piece === "" ? span : undefined;
    if (!span.isConnected) to.append(span);
    span.append(piece);
  };
  const before = new TextStream();
  for (const token of prompt) put(before.push(vocabulary.bytesOf([token])), given);
  given.append(before.end());
  open = undefined;
  letPick(region, spans, prompt.length, events);

  return {
    show(tokens) {
      let added = "";
      for (const token of tokens) {
        const piece = stream.push(vocabulary.bytesOf([token]));
        put(piece, block);
        added += piece;
        filled += piece.length;
        if (filled > BLOCK && piece === "\n") {
          region.append(block = make("div"));
          filled = 0;
        }
      }
      text += added;
      return added;
    },
    tint(from, bits) {
      bits.forEach((bits, at) => {
        const tint = TINTS.findLastIndex((least) => bits >= least) + 1;
        if (tint > 0) spans[from + at]?.classList.add(`t${tint}`);
      });
    },
    mark(at, weights) {
      for (const span of marked) span.classList.remove("read");
      marked = [];
      for (const [token, weight] of weights) {
        const span = spans[token];
        if (!span || token >= at) continue;
        span.classList.add("read");
        span.style.setProperty("--weight", weight.toFixed(3));
        marked.push(span);
      }
    },
    end() {
      const rest = stream.end();
      block.append(rest);
      text += rest;
      return Promise.resolve(shownAs(text));
    },
  };
}
