/**
 * What is printed on terminals of several widths: nothing is cut, lines break at words, and the line that is rewritten leaves nothing.
 *
 * Plan. A terminal of our own: rows of so many columns, into which characters and control sequences are put as terminals do. The screen of the
 * command line writes to it, and whole commands under `script`, which gives a process a terminal.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { compact, tableLines } from "../cli/format.ts";
import { fitParts, type Part, Screen, type Stream, widthOf } from "../cli/terminal.ts";
import { Random } from "../src/base/random.ts";
import { command, MAIN } from "./commands.ts";

/** A terminal: what would be seen there. */
class Emulated implements Stream {
  /** Characters of each row. */
  #rows: string[][] = [[]];
  #row = 0;
  #column = 0;
  /** Rows that went on because they were full. */
  wrapped = 0;
  readonly #decoder = new TextDecoder();

  constructor(public width: number) {}

  isTerminal(): boolean {
    return true;
  }

  writeSync(bytes: Uint8Array): number {
    this.put(this.#decoder.decode(bytes, { stream: true }));
    return bytes.length;
  }

  put(text: string): void {
    // deno-lint-ignore no-control-regex
    for (const [found, numbers, what] of text.matchAll(/\x1b\[([\d;]*)([A-Za-z])|[\s\S]/gu)) {
      if (what !== undefined) this.#control(what, Number(numbers) || 0);
      else if (found === "\r") this.#column = 0;
      else if (found === "\n") this.#down();
      else this.#character(found);
    }
  }

  #control(what: string, number: number): void {
    if (what === "m") return;
    if (what === "A") this.#row = Math.max(0, this.#row - number);
    else if (what === "G") this.#column = number;
    else if (what === "K") this.#rows[this.#row].length = Math.min(this.#rows[this.#row].length, number === 2 ? 0 : this.#column);
    else if (what === "J") {
      this.#rows[this.#row].length = Math.min(this.#rows[this.#row].length, this.#column);
      this.#rows.length = this.#row + 1;
    } else throw new Error(`what does ${what} do?`);
  }

  #down(): void {
    this.#row++;
    this.#column = 0;
    this.#rows[this.#row] ??= [];
  }

  #character(character: string): void {
    const width = widthOf(character);
    if (this.#column + width > this.width) {
      this.#down();
      this.wrapped++;
    }
    const row = this.#rows[this.#row];
    while (row.length < this.#column) row.push(" ");
    row.splice(this.#column, width, character, ...Array(Math.max(0, width - 1)).fill(""));
    this.#column += width;
  }

  /** What becomes of it when its window is made narrower: rows that were longer are several. */
  narrow(width: number): void {
    this.width = width;
    const rows: string[][] = [];
    this.#rows.forEach((row, at) => {
      const into = Math.max(1, Math.ceil(row.length / width));
      for (let part = 0; part < into; part++) rows.push(row.slice(part * width, (part + 1) * width));
      if (at === this.#row) {
        this.#row = rows.length - 1;
        this.#column = rows.at(-1)!.length;
      }
    });
    this.#rows = rows;
  }

  get seen(): string[] {
    return this.#rows.map((row) => row.join("").trimEnd());
  }
}

const consoleSize = Deno.consoleSize;
/** A screen on a terminal of that width, the width that the command line is told. */
function onTerminal(width: number, use: (screen: Screen, terminal: Emulated) => void): Emulated {
  const terminal = new Emulated(width), term = Deno.env.get("TERM");
  Deno.consoleSize = () => ({ columns: terminal.width, rows: 24 });
  Deno.env.set("TERM", "xterm");
  try {
    use(new Screen(terminal), terminal);
  } finally {
    Deno.consoleSize = consoleSize;
    if (term === undefined) Deno.env.delete("TERM");
    else Deno.env.set("TERM", term);
  }
  return terminal;
}

const WIDTHS = [40, 60, 80, 200], random = new Random(7, 7);
const WORDS = ["step", "of", "held-out", "a-longer-word-than-others", "größer", "エントロピー", "(131,328", "bits/byte"];
const words = (count: number) => Array.from({ length: count }, () => WORDS[random.below(WORDS.length)]).join(" ");

Deno.test("terminal: the one of our own shows what terminals show", () => {
  const terminal = new Emulated(5);
  terminal.put("abcdefg\rX\n12\x1b[1m3\x1b[0m\r\x1b[K4\x1b[1A\rZZ\x1b[J");
  assertEquals([terminal.seen, terminal.wrapped], [["abcde", "ZZ"], 1]);
  const narrowed = new Emulated(10);
  narrowed.put("12345678");
  narrowed.narrow(5);
  assertEquals(narrowed.seen, ["12345", "678"]);
});

Deno.test("terminal: texts break at words, are whole, and hang below their label", () => {
  for (const width of WIDTHS) {
    for (let round = 0; round < 60; round++) {
      const text = words(1 + random.below(60)), label = ["", "Data      ", "  Note: "][random.below(3)];
      const terminal = onTerminal(width, (screen) => screen.print(text, label)), lines = terminal.seen.slice(0, -1);
      assertEquals(terminal.wrapped, 0, `${width} columns: ${text}`);
      assert(lines[0].startsWith(label) && lines.slice(1).every((line) => /^ */.exec(line)![0].length === label.length), lines.join("\n"));
      assertEquals(lines.map((line) => line.slice(label.length).trim()).join(" "), text);
      // As few lines as there can be: the first word of the next did not fit.
      lines.slice(1).forEach((line, at) => assert(widthOf(`${lines[at]} ${line.trim().split(" ")[0]}`) > width - 1, lines.join("\n")));
    }
    const copied = `To go on:\n\n  deno task train --resume ${"runs/".repeat(30)} --steps 3\n`;
    const terminal = onTerminal(width, (screen) => screen.print(copied));
    assertEquals(terminal.seen.slice(2, -2).join(""), copied.split("\n")[2], "a command is not broken: what is copied runs");
  }
});

Deno.test("terminal: without a terminal lines are whole, whatever their length", () => {
  const written: string[] = [],
    stream = { isTerminal: () => false, writeSync: (bytes: Uint8Array) => written.push(new TextDecoder().decode(bytes)) && bytes.length };
  const screen = new Screen(stream), text = words(60);
  screen.print(text, "Data      ");
  screen.progress([{ text }, { text: "long", short: "l" }]);
  screen.clear();
  assertEquals(written.join(""), `Data      ${text}\n${text}  long\n`);
});

/** Parts as a training run has them. */
const partsOf = (step: number): Part[] => [
  { text: `step ${step}/20000` },
  { text: "phase 2/3", spare: true },
  { text: `loss ${(8 / step).toFixed(3)}` },
  { text: "held-out 2.412 bits/byte", short: "held-out 2.412" },
  { text: "1,234,567 tokens/s", short: `${compact(1234567)}/s` },
  { text: "2:03:04 left" },
];

Deno.test("terminal: a line of parts is in full where there is room, then in short, then without what is spare", () => {
  const parts = partsOf(12345), full = parts.map(({ text }) => text).join("  "), fit = (most: number) => fitParts(parts, most);
  assertEquals(fit(full.length), full);
  assertEquals(fit(full.length - 1), "step 12345/20000  phase 2/3  loss 0.001  held-out 2.412  1.2M/s  2:03:04 left");
  assertEquals(fit(76), "step 12345/20000  loss 0.001  held-out 2.412  1.2M/s  2:03:04 left");
  assertEquals([fit(60), fit(30), fit(5)], ["step 12345/20000  loss 0.001  held-out 2.412  1.2M/s", "step 12345/20000  loss 0.001", ""]);
  for (let most = 0; most < 120; most++) assert(widthOf(fit(most)) <= most);
});

Deno.test("terminal: the line that is rewritten never wraps and leaves nothing, also where the window was made narrower", () => {
  for (const width of WIDTHS) {
    const kept: string[] = [];
    const terminal = onTerminal(width, (screen, terminal) => {
      for (let step = 1; step <= 200; step++) {
        if (step % 50 === 0) {
          kept.push(`evaluated at step ${step}`);
          screen.keep([{ text: kept.at(-1)! }]);
        } else screen.progress(partsOf(step * 10 ** random.below(4)));
        if (step === 30) terminal.narrow(Math.ceil(width * 0.7));
        if (step === 120) terminal.narrow(30);
      }
      screen.progress(partsOf(20000));
      screen.clear();
    });
    assertEquals([terminal.seen, terminal.wrapped], [[...kept, ""], 0]);
  }
});

Deno.test("terminal: one that cannot go back gets lines", () => {
  const terminal = onTerminal(60, (screen) => {
    Deno.env.set("TERM", "dumb");
    const dumb = new Screen(screen.stream);
    dumb.progress(partsOf(1));
    dumb.progress(partsOf(2));
    dumb.clear();
  });
  assertEquals(terminal.seen.length, 3);
  assertEquals([terminal.seen[0].startsWith("step 1/"), terminal.seen[1].startsWith("step 2/"), terminal.wrapped], [true, true, 0]);
});

Deno.test("terminal: tables fit, their texts break at words, their numbers are whole", () => {
  for (let round = 0; round < 100; round++) {
    const rows = Array.from(
      { length: 1 + random.below(6) },
      () => [words(random.below(6) + 1), words(random.below(4) + 1), String(random.below(1e9)), "12.5 %"],
    );
    for (const most of [77, 197]) {
      const lines = tableLines(rows, 2, most),
        longest = Math.max(...rows.flatMap((row) => row.slice(0, 2)).flatMap((text) => text.split(" ").map((word) => word.length)));
      // Words are not broken: two columns of the longest must have room.
      if (2 * longest + 24 <= most) assert(lines.flat().every((line) => line.length <= most), lines.flat().join("\n"));
      lines.forEach((of, at) => {
        assertMatch(of[0], new RegExp(`${rows[at][2]}\\s+12\\.5 %$`));
        for (const word of rows[at].slice(0, 2).join(" ").split(" ")) {
          assert(of.some((line) => line.includes(word)), `${word} in ${of.join("\n")}`);
        }
      });
    }
  }
  assertEquals(tableLines([["a", "b"], ["word", "1"]], 1, 80), [["a     b"], ["word  1"]]);
});

Deno.test("terminal: numbers in little room", () => {
  assertEquals([0, 7, 999, 1000, 9949, 9950, 12345, 999_499, 999_500, 1_234_567, 2.5e12].map(compact), [
    ...["0", "7", "999", "1.0k", "9.9k", "10k", "12k", "999k", "1.0M", "1.2M", "2.5T"],
  ]);
});

const folder = Deno.makeTempDirSync({ prefix: "longstride-terminal-" }), at = (name: string) => join(folder, name);
Deno.writeTextFileSync(at("t.txt"), "It was the best of times, it was the worst of times.\n".repeat(80));
const MODEL = "--n-ctx 32 --layers 2 --heads 2 --d-model 16 --d-ff 32 --d-qk 16 --stride 8 --batch 2 --backend wasm --threads 1".split(" ");

/** Runs a command in a terminal of so many columns, and gives what is seen there. */
async function seen(
  width: number,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ terminal: Emulated; raw: string }> {
  const quoted = [Deno.execPath(), "run", "-A", MAIN, ...args].map((word) => `'${word}'`).join(" ");
  const { code, stdout } = await new Deno.Command("script", {
    // Who tests may want no colours.
    args: ["-qec", `stty cols ${width} rows 50; ${"NO_COLOR" in env ? "" : "unset NO_COLOR; "}exec ${quoted}`, "/dev/null"],
    env: { TERM: "xterm-256color", ...env },
    stdin: "null",
    stdout: "piped",
  }).output();
  const raw = new TextDecoder().decode(stdout), terminal = new Emulated(width);
  assertEquals(code, 0, raw);
  // What Deno itself prints while it starts ends with an empty line.
  terminal.put(raw);
  return { terminal, raw };
}

const noScript = Deno.build.os !== "linux";

for (const width of [60, 80, 200]) {
  Deno.test(
    { name: `terminal: train on ${width} columns: nothing is cut, each evaluation leaves its line`, ignore: noScript },
    async () => {
      const args = ["train", "--data", at("t.txt"), "--out", at(`run-${width}`), "--steps", "300", ...MODEL];
      const { terminal, raw } = await seen(width, args, width === 60 ? { NO_COLOR: "1" } : {});
      const lines = terminal.seen, text = lines.join("\n");
      assertEquals(raw.includes("\x1b[1m"), width !== 60, "colours and weights where they are wanted");
      // At which steps it was evaluated, the run tells.
      const states = [...Deno.readDirSync(at(`run-${width}`))].find(({ name, isDirectory }) => isDirectory && name !== "best")!.name;
      const { history } = JSON.parse(Deno.readTextFileSync(at(`run-${width}/${states}/run.json`))) as {
        history: { step: number; heldOut?: number }[];
      };
      const evaluated = history.filter(({ heldOut }) => heldOut !== undefined);
      const kept = lines.filter((line) => line.startsWith("step "));
      assertEquals(kept.length, evaluated.length, text);
      assert(evaluated.length >= 5);
      kept.forEach((line, i) => {
        const { step, heldOut } = evaluated[i];
        assertMatch(
          line,
          new RegExp(`^step +${step}/300  loss \\d+\\.\\d{3}  held-out ${heldOut!.toFixed(3)}( bits/byte)?  ([\\d,]+ tokens|[\\d.]+k?)/s$`),
        );
      });
      assert(!/…|preparing| left$/m.test(text), text);
      // Prose is whole and within its column; what a model wrote may be long.
      const facts = lines.slice(0, lines.indexOf("")), names = ["Data", "Held out", "Model", "Training", "Memory", "Engine", "Run"];
      assert(facts.every((line) => line.length < width || line.includes(folder)), text);
      assertEquals(
        facts.filter((line) => !line.startsWith(" ")).map((line) => line.slice(0, 10).trim()).filter((name) => name !== "Reach"),
        names,
      );
      assertStringIncludes(facts.map((line) => line.slice(10)).join(" "), "one epoch is ");
      assertMatch(text, /Held-out bits\/byte\n {2}this model +\d\.\d{3}\n {2}gzip −9 +\d\.\d{3}\n {2}order-0 entropy +\d\.\d{3}\n\nIn /);
    },
  );

  Deno.test({ name: `terminal: layout, help and errors on ${width} columns`, ignore: noScript }, async () => {
    for (
      const args of [
        ["layout", "--preset", "enwik8"],
        ["layout", "--pattern", "fixed", "--stride", "16", "--c", "4", "--integration", "multihead"],
        ["train", "--help"],
        ["--help"],
      ]
    ) {
      const { terminal } = await seen(width, args);
      const examples = terminal.seen.indexOf("Examples:"), lines = terminal.seen.slice(0, examples < 0 ? undefined : examples);
      // A line that had to go on is broken by the terminal, in a word as like as not; commands to copy may be.
      assertEquals(examples < 0 ? terminal.wrapped : 0, 0, `${args}\n${lines.join("\n")}`);
      assert(lines.every((line) => line.length <= width));
    }
  });
}

Deno.test("terminal: what is piped has each fact in one line, and each evaluation", async () => {
  const { code, stdout, stderr } = await command(["train", "--data", at("t.txt"), "--out", at("piped"), "--steps", "40", ...MODEL])
    .output();
  const out = new TextDecoder().decode(stdout);
  assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  // deno-lint-ignore no-control-regex
  assert(!/[\x1b\r]/.test(out), "no control sequences");
  assertMatch(out, /^Training +40 steps of .* one epoch is [\d,]+ steps$/m);
  assertEquals(new Set(out.match(/^step +\d+\/40 .*held-out \d\.\d{3} bits\/byte {2}[\d,]+ tokens\/s$/gm)).size >= 5, true, out);
});

Deno.test("terminal: end", () => Deno.removeSync(folder, { recursive: true }));
