/**
 * The pass of the build that pastes functions where they are called, and checks what later passes take for granted. Nothing that runs
 * imports it.
 *
 * @module
 */

import { isChoice } from "./body.ts";
import { gather } from "./link.ts";
import { as, closing, type Declaration, find, reads, type Token, wrong } from "./tokens.ts";

/** The mark of a function without parameters, whose body sees its caller's names and adds to them. */
const SPLICE = "// @splice";

/** What a call gives for a parameter. */
interface Argument {
  readonly isPointer: boolean;
  /** A name with its fields. */
  readonly tokens: readonly Token[];
}

/** Parameters of a function marked `// @inline`, and its body with its braces. */
function partsOf({ tokens, name, mark }: Declaration) {
  const open = tokens.findIndex(({ text }) => text === "("), close = closing(tokens, open), parameters: string[] = [];
  const isSpliced = mark === SPLICE;
  for (let at = open + 1; at < close; at++) {
    parameters.push(tokens[at].text);
    // Types such as ptr<function, Sums> have commas too: a parameter is what a colon follows.
    do at++; while (at < close && !(tokens[at].text === "," && tokens[at + 2]?.text === ":"));
  }
  if (isSpliced && parameters.length) throw wrong(tokens[0], `${name} is spliced, so it has no parameters`);
  const body = tokens.slice(find(tokens, close + 1, "{"));
  const declared = new Set(body.filter((_, i) => body[i - 1]?.text === "let" || body[i - 1]?.text === "var").map(({ text }) => text));
  return { parameters, isSpliced, body, declared };
}

/** What a call gives: names, with their fields or with `&`. */
function argumentsOf(call: readonly Token[], name: string): Argument[] {
  const given: Argument[] = [];
  for (let at = 0; at < call.length;) {
    const end = find(call, at, ","), isPointer = call[at].text === "&", tokens = call.slice(isPointer ? at + 1 : at, end);
    if (!tokens.every(({ text }, i) => i % 2 ? text === "." : /^[A-Za-z_]/.test(text)) || tokens.length % 2 === 0) {
      throw wrong(call[at], `${name} takes names, found ${tokens.map(({ text }) => text).join(" ")}`);
    }
    given.push({ isPointer, tokens });
    at = end + 1;
  }
  return given;
}

/** A body in which parameters are what a call gives: `(*p)` is `x` where it gives `&x`. */
function substitute(body: readonly Token[], given: ReadonlyMap<string, Argument>, name: string): Token[] {
  const made: Token[] = [];
  for (let at = 0; at < body.length; at++) {
    const isPointer = body[at].text === "(" && body[at + 1].text === "*" && body[at + 3].text === ")";
    const token = body[isPointer ? at + 2 : at], argument = made.at(-1)?.text === "." ? undefined : given.get(token.text);
    if (!argument) {
      made.push(body[at]);
      continue;
    }
    if (argument.isPointer !== isPointer) throw wrong(token, `${name} takes ${token.text} otherwise than given`);
    made.push(...argument.tokens.map(({ text }) => as(token, text)));
    if (isPointer) at += 3;
  }
  return made;
}

/** What is pasted, by name. */
export type Pasted = ReadonlyMap<string, ReturnType<typeof partsOf>>;

/** The functions among some declarations that are marked to be pasted. */
export const markedOf = (module: readonly Declaration[]): Pasted =>
  new Map(module.filter(({ mark }) => mark).map((one) => [one.name, partsOf(one)]));

/**
 * Paste: functions marked `// @inline` or `// @splice` stand where they are called as statements, so that they work on registers of
 * their caller. An inlined one has parameters and a block of its own; a spliced one neither: it sees its caller's names and adds to them.
 */
export function paste(tokens: readonly Token[], marked: Pasted, within: readonly string[] = []): Token[] {
  const made: Token[] = [];
  for (let at = 0; at < tokens.length; at++) {
    const { text: name } = tokens[at], one = tokens[at + 1]?.text === "(" ? marked.get(name) : undefined;
    if (!one || tokens[at - 1]?.text === ".") {
      made.push(tokens[at]);
      continue;
    }
    const close = closing(tokens, at + 1), { parameters, body, isSpliced, declared } = one;
    const fail = (reason: string): never => {
      throw wrong(tokens[at], `${name} ${reason}`);
    };
    if (tokens[close + 1]?.text !== ";" || !["{", "}", ";"].includes(tokens[at - 1]?.text)) {
      fail("is pasted, so it is called as a statement");
    }
    if (within.includes(name)) fail("is pasted into itself");
    const given = argumentsOf(tokens.slice(at + 2, close), name);
    if (given.length !== parameters.length) fail(`takes ${parameters.length} arguments, found ${given.length}`);
    for (const { tokens: [{ text: root }] } of given) if (declared.has(root)) fail(`declares ${root}, which its caller gives it`);
    const filled = substitute(body, new Map(parameters.map((parameter, i) => [parameter, given[i]])), name);
    const pasted = paste(filled, marked, [...within, name]);
    // A spliced body keeps its lines; an inlined one is of the line that calls it.
    made.push(...isSpliced ? pasted.slice(1, -1) : pasted.map(({ text }) => as(tokens[at], text)));
    at = close + 1;
  }
  return made;
}

/**
 * Checks the form of what `read` and `expand` rewrite.
 *
 * @throws {KernelError} where an `@unroll` stands above another loop than `for (var i = …; i < …; i++) { … }`, or a loop's index is declared
 * again in it; where an `else` of a choice has no block
 */
export function check(tokens: readonly Token[]): void {
  tokens.forEach((token, at) => {
    if (token.text === "@unroll") {
      const index = tokens[at + 4]?.text, middle = find(tokens, at + 6, ";"), end = find(tokens, middle + 1, ";");
      if (
        !reads(tokens, at + 1, "for", "(", "var", index, "=") || !reads(tokens, middle + 1, index, "<") ||
        !reads(tokens, end + 1, index, "++", ")", "{")
      ) throw wrong(token, "what is unrolled is written for (var i = …; i < …; i++) { … }");
      for (let i = end + 4, close = closing(tokens, i); i < close; i++) {
        if (/^(var|let)$/.test(tokens[i].text) && tokens[i + 1].text === index) {
          throw wrong(tokens[i], `a loop over ${index} declares it again`);
        }
      }
    }
    if (token.text === "if" && isChoice(tokens, at)) {
      const close = closing(tokens, at + 6);
      if (tokens[close + 1]?.text === "else" && tokens[close + 2].text !== "{") {
        throw wrong(tokens[close + 1], "an else of a choice has a block");
      }
    }
  });
}

/**
 * The files of wgsl/ with their functions pasted, by name. A function of a part that calls what the kernel brings stands in each kernel
 * that imports the part, and not in the part.
 *
 * @param files declarations by name
 */
export function pasteAll(files: ReadonlyMap<string, readonly Declaration[]>): Map<string, Token[]> {
  const imported = new Set([...files.values()].flat().filter(({ kind }) => kind === "import").map(({ name }) => name));
  const hooks = new Set([...files.values()].flat().filter(({ mark }) => mark === SPLICE).map(({ name }) => name)),
    made = new Map<string, Token[]>();
  for (const [file, own] of files) {
    const module = gather(file, {}, (name) => files.get(name)), marked = markedOf(module);
    const isSkeleton = ({ kind, tokens }: Declaration) =>
      kind === "fn" && tokens.some(({ text }, at) => hooks.has(text) && reads(tokens, at + 1, "(", ")", ";"));
    const brought = imported.has(file) ? [] : module.filter((one) => isSkeleton(one) && !own.includes(one) && !one.mark);
    const kept = [...own.filter((one) => !one.mark && !(imported.has(file) && isSkeleton(one))), ...brought];
    made.set(file, kept.flatMap(({ kind, tokens }) => kind === "fn" ? paste(tokens, marked) : tokens));
    check(made.get(file)!);
  }
  return made;
}
