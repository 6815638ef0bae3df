/**
 * The samples of a document: its files and command lines, run in a folder that looks like a clone.
 *
 * A block of code is what its first line says: `sh` command lines, any language with a name after it a file of that name; others, as
 * `text`, only show something. (`ignore` at its end is for `deno test --doc`, which would run it where it stands.)
 *
 * @module
 */

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { LongstrideError } from "../mod.ts";

const ROOT = new URL("../", import.meta.url);

/** A block of code. */
export interface Block {
  readonly language: string;
  /** Of a file. */
  readonly name?: string;
  readonly text: string;
}

/** A document's blocks of code, in order. */
export function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\S*)(?: (?!ignore$)(\S+))?(?: ignore)?\n([^]*?)^```$/gm)].map(([, language, name, text]) => ({
    language,
    name,
    text,
  }));
}

/** Pictures of a document and what each is a copy of: `<!-- from FILE -->` before it. */
export function picturesOf(markdown: string): { from: string; to: string }[] {
  return [...markdown.matchAll(/<!-- from (\S+) -->\s+!?\[[^\]]*\]\((\S+?)[ )]/g)].map(([, from, to]) => ({ from, to }));
}

/** A folder with everything of the project but what it makes and its history, as links: what is written there is written there alone. */
export async function likeClone(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "longstride-clone-" });
  for await (const { name } of Deno.readDir(ROOT)) {
    if (!/^(\.git|runs|dist|site|node_modules)$/.test(name)) await Deno.symlink(fileURLToPath(new URL(name, ROOT)), join(folder, name));
  }
  return folder;
}

/**
 * Writes a document's files and runs its command lines, in order.
 *
 * @param change what is run in place of a block of lines
 * @param programs paths of programs by the name that the lines call them
 * @returns what each block of lines printed
 * @throws {LongstrideError} where one fails
 */
export async function runBlocks(
  blocks: readonly Block[],
  folder: string,
  { change = (lines) => lines, programs = {} }: { change?: (lines: string) => string; programs?: Readonly<Record<string, string>> } = {},
): Promise<string[]> {
  const printed: string[] = [], here = join(folder, ".bin");
  await Deno.mkdir(here, { recursive: true });
  // The Deno that this is, under its name, and what else is named.
  for (const [name, program] of Object.entries({ deno: Deno.execPath(), ...programs })) await Deno.symlink(program, join(here, name));
  const path = `${here}:${Deno.env.get("PATH")}`;
  for (const { language, name, text } of blocks) {
    if (name !== undefined) {
      await Deno.mkdir(dirname(join(folder, name)), { recursive: true });
      await Deno.writeTextFile(join(folder, name), text);
    }
    if (language !== "sh" || name !== undefined) continue;
    const lines = change(text);
    const command = new Deno.Command("bash", {
      args: ["-euo", "pipefail", "-c", lines],
      cwd: folder,
      env: { NO_COLOR: "1", PATH: path },
      stdin: "null",
    });
    const { success, stdout, stderr } = await command.output(), decoder = new TextDecoder(), out = decoder.decode(stdout);
    if (!success) throw new LongstrideError(`Cannot run\n${lines}${out}${decoder.decode(stderr)}`);
    printed.push(out);
  }
  return printed;
}
