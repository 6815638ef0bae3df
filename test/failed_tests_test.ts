/**
 * What is told of tests that failed or hang, and CI's second try.
 *
 * Plan. Throw-away files of tests: one that fails, one that leaves a promise uncaught, one that ends its process, each read from what
 * `deno test` really prints; one that fails once counts as passed at the second try and is named, one that always fails stays failed, and
 * where much fails nothing is tried again. `.ci/run`, on tests that only print: the list comes after the static checks, its last line is
 * alone.
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { endWhenStuck, type Group, listFailed, secondTry, type Tested, tested } from "../tools/failed_tests.ts";
import { until } from "./until.ts";

/** Files of a folder that is there for one test; each finds its variable set. */
const FILES = {
  "fails_test.ts": `Deno.test("fine", () => {});\nDeno.test("a => b", () => { throw new Error("one\\n\\ntwo"); });`,
  "uncaught_test.ts":
    `Deno.test("left", async () => { Promise.reject(new Error("nobody")); await new Promise((r) => setTimeout(r, 5000)); });
Deno.test("after", () => {});`,
  "ends_test.ts": `Deno.test("fine too", () => {});\naddEventListener("unload", () => Deno.kill(Deno.pid, "SIGKILL"));`,
  "once_test.ts": `import { existsSync } from "node:fs";
Deno.test("well", () => {});
Deno.test("raced", () => { if (!existsSync("raced")) { Deno.writeTextFileSync("raced", ""); throw new Error("too early"); } });`,
};

/** Runs `deno test` on files of {@linkcode FILES}. */
async function onFiles(use: (run: (group: Group) => Promise<Tested>, tried: string[][]) => Promise<void>): Promise<void> {
  const cwd = await Deno.makeTempDir(), tried: string[][] = [];
  try {
    for (const [name, text] of Object.entries(FILES)) await Deno.writeTextFile(`${cwd}/${name}`, text);
    await use(async (group) => {
      tried.push([...group.args]);
      const args = ["test", "-A", "--no-config", "--no-check", ...group.args];
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd, env: { NO_COLOR: "1" } }).output();
      return tested([stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n"), code, group);
    }, tried);
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
}

Deno.test("failed tests: each is named with its place and the first lines of its error", () =>
  onFiles(async (run) => {
    const many = await run({ args: ["fails_test.ts", "uncaught_test.ts"] });
    assertEquals(many.counts, [1, 4, 0]);
    assertEquals(many.failed.map(({ title, again }) => [title, again.args.at(-1)]), [
      ["a => b => ./fails_test.ts:2:6", "./fails_test.ts"],
      ["./uncaught_test.ts (uncaught error)", "./uncaught_test.ts"],
    ]);
    const list = listFailed(many.failed).join("\n");
    assertStringIncludes(list, "\nFailed:\n  a => b => ./fails_test.ts:2:6\n      error: Error: one\n      two\n");
    assertStringIncludes(list, "\n  ./uncaught_test.ts (uncaught error)\n      error: (in promise) Error: nobody\n");

    const ended = await run({ args: ["fails_test.ts", "ends_test.ts"] });
    assertEquals([ended.isCrashed, ended.counts], [true, [0, 1, 0]]);
    // Where, its reporter may not have come to print.
    assertStringIncludes(ended.failed[0].title, "deno test ended with code 137 ");
    assertEquals(ended.failed[0].again.args, ["fails_test.ts", "ends_test.ts"]);
    const none = tested("error: Module not found.\n", 1, { args: ["no_such_test.ts"] });
    assertEquals(listFailed(none.failed).slice(2), [
      "  deno test ended with code 1 before any test: no_such_test.ts",
      "      error: Module not found.",
    ]);
  }));

Deno.test("failed tests: what passes at the second try has passed and is named, what fails again has failed", () =>
  onFiles(async (run, tried) => {
    const well = tested("ok | 1 passed | 0 failed (1ms)\n", 0, { args: [] }), first = [await run({ args: ["once_test.ts"] }), well];
    assertEquals(first.map(({ counts }) => counts), [[1, 1, 0], [1, 0, 0]]);
    const { all, lines } = await secondTry(first, run);
    assertEquals([all.map(({ counts }) => counts), tried.slice(1)], [[[2, 0, 0], [1, 0, 0]], [["--no-check", "./once_test.ts"]]]);
    const told = lines.join("\n");
    assertStringIncludes(
      told,
      "1 passed at a second try, and must not fail at a first:\n  raced => ./once_test.ts:3:6\n      error: Error: too early",
    );

    const failing = [await run({ args: ["fails_test.ts"] })], still = await secondTry(failing, run);
    assertEquals(still.all, failing);
    assertStringIncludes(still.lines.join("\n"), "\nAt a second try:\n  a => b => ./fails_test.ts:2:6\n");
  }));

const one = (file: string): Tested => ({
  counts: [5, 1, 0],
  failed: [{ title: `${file} => ./${file}:1:1`, error: ["error: bad"], again: { args: [file] } }],
});

Deno.test("failed tests: where much fails nothing is tried again, and a process that ended counts what the second try had", async () => {
  const never = () => Promise.reject(new Error("it was tried"));
  const much = ["a", "b", "c", "d"].map(one), told = await secondTry(much, never);
  assertEquals([told.all, told.lines], [much, listFailed(much.flatMap(({ failed }) => failed))]);
  assertEquals(await secondTry([], never), { all: [], lines: [] });
  const tries = await secondTry([{ ...one("a"), isCrashed: true }, one("b")], () => Promise.resolve({ counts: [7, 0, 2], failed: [] }));
  assertEquals(tries.all.map(({ counts }) => counts), [[12, 0, 2], [6, 0, 0]]);
  const printed = `running 2 tests from ./a_test.ts
x ... ok (1ms)
y ... ignored (0ms)
running 2 tests from ./b_test.ts
z ... FAILED (1ms)
w ... ok (1ms)
running 2 tests from ./c_test.ts
v ... ok (1ms)
`;
  const { counts, failed } = tested(printed, 139, { args: ["a", "b", "c", "d"].map((name) => `${name}_test.ts`) });
  assertEquals([counts, failed[0].again.args], [[1, 1, 1], ["b_test.ts", "c_test.ts", "d_test.ts"]]);
});

Deno.test("failed tests: a process that only says that it waits is ended, and told with the test that it was at", async () => {
  let ended: Deno.Signal | undefined;
  const child = { kill: (signal?: Deno.Signal) => void (ended = signal) },
    heard = endWhenStuck(child, 0.2),
    other = endWhenStuck(child, 1e6);
  heard("a ... ok (1ms)\nb ...");
  heard("'b' has been running for over (1m0s)\n");
  assertEquals(await until(() => ended), "SIGKILL");
  other();
  const printed = "running 2 tests from ./a_test.ts\na ... ok (1ms)\nb ...'b' has been running for over (1m0s)\nCheck a_test.ts\n";
  assertStringIncludes(
    listFailed(tested(printed, 137, { args: ["a_test.ts"] }).failed).join("\n"),
    "  deno test ended with code 137 in a_test.ts or after it: a_test.ts\n      b ...'b' has been running",
  );
});

Deno.test({
  name: "failed tests: CI lists them after the static checks, and its last line is alone",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const folder = await Deno.makeTempDir();
    /** What `.ci/run` prints and ends with where `deno task test` prints this and ends so. */
    const ci = async (printed: string, code: number) => {
      await Deno.writeTextFile(`${folder}/printed`, printed);
      await Deno.writeTextFile(
        `${folder}/npx`,
        `#!/bin/sh\n[ "$4" = static ] && { echo static checks; exit 0; }\necho "again: $LONGSTRIDE_AGAIN"; cat ${folder}/printed; exit ${code}\n`,
        { mode: 0o755 },
      );
      await Deno.writeTextFile(`${folder}/git`, "#!/bin/sh\n", { mode: 0o755 });
      const env = { PATH: `${folder}:${Deno.env.get("PATH")}` }, path = new URL("../.ci/run", import.meta.url).pathname;
      const ended = await new Deno.Command("bash", { args: [path], env }).output(), text = new TextDecoder().decode(ended.stdout);
      assertStringIncludes(text, "again: 1\n");
      return [ended.code, text.slice(text.indexOf("static checks\n"))];
    };
    try {
      const list = listFailed(one("a").failed).join("\n"),
        late = "\n1 passed at a second try, and must not fail at a first:\n  it\n      error: bad";
      assertEquals(await ci("ok | 5 passed | 0 failed (2s)\n", 0), [0, "static checks\n5 passed, 0 failed\n"]);
      assertEquals(await ci(`FAILED | 5 passed | 1 failed (1s)\n${list}\nFAILED | 5 passed | 1 failed (2s)\n`, 1), [
        1,
        `static checks\n\nFailed:\n  a => ./a:1:1\n      error: bad\n\n5 passed, 1 failed\n`,
      ]);
      assertEquals(await ci(`${list}\n\nok | 1 passed | 0 failed (1s)\n${late}\nok | 6 passed | 0 failed | 1 ignored (2s)\n`, 0), [
        0,
        `static checks\n${late}\n\n6 passed, 0 failed, 1 skipped\n`,
      ]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
