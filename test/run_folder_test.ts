/**
 * Run folders: nothing that was saved is ever lost or mixed with another save, whenever the process dies.
 *
 * Plan. A run is read back as saved, by other programs too; what is damaged, of two saves, another's or taken is said. Then a save in which
 * each single change of the disk fails or is the last, and processes killed at any time: what is left loads and is of one step.
 */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { loadRun, loadTrained, openRunFolder, saveRun } from "../cli/run_folder.ts";
import { CheckpointError, ConfigError } from "../src/base/errors.ts";
import { Random } from "../src/base/random.ts";
import { files } from "./commands.ts";
import { checkpointAt, MODEL, stepOf } from "./files_saver.ts";
import { leftovers, names, withFolder } from "./folders.ts";

/** A run saved at these steps. */
function saved(path: string, ...steps: number[]): void {
  const folder = openRunFolder(path, false);
  for (const step of steps) saveRun(folder, checkpointAt(step));
  folder.close();
}

Deno.test("run folder: a run is read back as saved, from a folder that other programs understand", () =>
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

Deno.test("run folder: the same numbers are saved as the same bytes", () =>
  withFolder((path) => {
    saved(`${path}/a`, 1, 7);
    saved(`${path}/b`, 7);
    for (const name of ["config.json", "model.safetensors", "state-7/optimizer.safetensors", "state-7/run.json"]) {
      assertEquals(Deno.readFileSync(`${path}/a/${name}`), Deno.readFileSync(`${path}/b/${name}`), name);
    }
  }));

Deno.test("run folder: files of two saves or damaged ones are not taken for one run", () =>
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

Deno.test("run folder: a run folder is taken once, for what was asked", () =>
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

Deno.test("run folder: a lock that was deleted lets nobody overwrite anything", () =>
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

Deno.test("run folder: what is left of a run is said as it is", () =>
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

Deno.test("run folder: a model or configuration that the run did not save is said", () =>
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

Deno.test("run folder: what dead runs left behind goes at the next start, what users have stays", () =>
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
  Deno.test(`run folder: ${once ? "a disk that fails" : "a process that dies"} at any one change of a save loses nothing`, () => {
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

Deno.test("run folder: 60 processes killed while saving leave a run that loads and is of one step", () =>
  withFolder(async (path) => {
    const random = new Random(Date.now() % 2 ** 32, 1), script = new URL("./files_saver.ts", import.meta.url);
    let kept = 0, interrupted = 0;
    // On, where by chance too few hit a save.
    for (let kill = 0; kill < 60 || (interrupted < 10 && kill < 300); kill++) {
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
    assert(interrupted >= 10, `only ${interrupted} of 300 kills hit a save under way: the test shows too little`);
  }));
