/**
 * Files that are written: whole or not at all.
 *
 * Plan. A write replaces, streams, and leaves nothing beside it; one that fails, of whatever, keeps what was there and says what to do.
 */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { writeAtomic } from "../cli/disk.ts";
import { CheckpointError } from "../src/base/errors.ts";
import { names, withFolder } from "./folders.ts";

Deno.test("files: an atomic write replaces, streams, and leaves nothing beside it", () =>
  withFolder((path) => {
    const file = `${path}/a.bin`;
    writeAtomic(file, "text ☃");
    assertEquals(Deno.readTextFileSync(file), "text ☃");
    writeAtomic(file, [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)]);
    assertEquals(Deno.readFileSync(file), Uint8Array.of(1, 2, 3));
    writeAtomic(file, Uint8Array.of(4));
    assertEquals(Deno.readFileSync(file), Uint8Array.of(4));
    assertEquals(names(path), ["a.bin"]);
  }));

Deno.test("files: short writes are gone on with", () =>
  withFolder((path) => {
    const write = Deno.FsFile.prototype.writeSync, bytes = Uint8Array.from({ length: 1000 }, (_, i) => i);
    Deno.FsFile.prototype.writeSync = function (data) {
      return write.call(this, data.subarray(0, 7));
    };
    try {
      writeAtomic(`${path}/a.bin`, bytes);
    } finally {
      Deno.FsFile.prototype.writeSync = write;
    }
    assertEquals(Deno.readFileSync(`${path}/a.bin`), bytes);
  }));

Deno.test("files: a failed write keeps what was there and says what to do", () =>
  withFolder((path) => {
    const file = `${path}/a.bin`;
    writeAtomic(file, "before");
    assertThrows(() =>
      writeAtomic(
        file,
        function* () {
          yield Uint8Array.of(1);
          throw new RangeError("made by the test");
        }(),
      ), RangeError);
    assertThrows(() => writeAtomic(`${path}/none/a`, "x"), CheckpointError, "the folder does not exist");
    assertThrows(() => writeAtomic(`${file}/a`, "x"), CheckpointError, "part of the path is a file");
    Deno.mkdirSync(`${path}/folder/full`, { recursive: true });
    assertThrows(() => writeAtomic(`${path}/folder`, "x"), CheckpointError, `Cannot write ${path}/folder: `);
    assertEquals(names(path), ["a.bin", "folder"]);
    assertEquals(Deno.readTextFileSync(file), "before");
  }));

Deno.test("files: a write over the size that the system allows is an error, in a process of its own", () =>
  withFolder(async (path) => {
    writeAtomic(`${path}/a.bin`, "before");
    const code = `import { writeAtomic } from ${JSON.stringify(new URL("../cli/disk.ts", import.meta.url).href)};
      try { writeAtomic(${
      JSON.stringify(`${path}/a.bin`)
    }, new Uint8Array(1e6)); } catch (error) { console.log(error.name + ": " + error.message); }`;
    // The signal of a file too large is ignored, so that the call answers with an error, as a full disk's does.
    const script = 'trap "" XFSZ; ulimit -f 100; exec "$0" eval "$1"';
    const { stdout } = await new Deno.Command("bash", { args: ["-c", script, Deno.execPath(), code], stderr: "inherit" }).output();
    assertStringIncludes(
      new TextDecoder().decode(stdout),
      `CheckpointError: Cannot write ${path}/a.bin: File too large`,
    );
    assertEquals(names(path), ["a.bin"]);
    assertEquals(Deno.readTextFileSync(`${path}/a.bin`), "before");
  }));
