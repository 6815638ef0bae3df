/**
 * `deno task test [ARGUMENTS]`: gets what the tests need, then `deno test` with the arguments; without any, all tests in several processes,
 * five at once.
 *
 * Ends with 0 where every test passed, 1 where one failed, and 2 where none failed and some were left out for want of something: the run
 * is partial, which the last line says. What failed is named once more just before that line. With `LONGSTRIDE_AGAIN=1` (CI's) it is run a
 * second time, alone; where all of it passes then, it counts as passed and is named all the same.
 *
 * Not `deno test --parallel`: that is one process, and a software GPU's driver that several threads of it used at once ended it with
 * "corrupted size vs. prev_size" after the last test.
 *
 * @module
 */

import { leftOut, NEEDS, OPTIONAL } from "../test/needs.ts";
import { program } from "./bundle.ts";
import { endWhenStuck, type Group, listFailed, secondTry, type Tested, tested } from "./failed_tests.ts";
import { setUpTests } from "./set_up_tests.ts";
import { helpWhereAsked } from "./usage.ts";

/**
 * What each process tests, by the names of files, in the order in which they start after the one that has what is left; the last has the examples
 * of docstrings and documents. On a machine whose Mesa has compiled none of them yet kernels take half of all CPU time: the conformance suite,
 * which is two, since kernels of f32 and of f16 have none in common, and what has attention (180, 170, 160, 150 and 140 s of 1,370 there). Those
 * use a core for as long as they run, others wait for browsers, processes and the disk; so that some of both run until the end, they start in turn.
 */
const GROUPS: readonly { readonly files: RegExp; readonly env?: Readonly<Record<string, string>> }[] = [
  { files: /^conformance_test\.ts$/, env: { LONGSTRIDE_CASES: "dtype=f16" } },
  { files: /^conformance_test\.ts$/, env: { LONGSTRIDE_CASES: "dtype=f32" } },
  { files: /^(attention_rows|golden|matrices|sparse_attention|webgpu(?!_attention|_tiles))\w*_test\.ts$/ },
  { files: /^(?!runtimes)(cli|kinds|output|recipe|run|terminal|tokenizer_run|tools|tune|tutorial)\w*_test\.ts$/ },
  { files: /^webgpu_tiles_test\.ts$/ },
  { files: /^(browser|bundle|bundlers|docs_site|import|open|runtimes)\w*_test\.ts$/ },
  { files: /^webgpu_attention_test\.ts$/ },
  { files: /^(mpi|picture|precision|pytorch|reach|reference|routed|sample|score|train)\w*_test\.ts$/ },
  { files: /^(pages|element)\w*_test\.ts$/ },
];

/**
 * Processes at once: they wait for browsers, other programs and the disk, so that four of them kept two cores busy for two thirds of the time.
 */
const AT_ONCE = 5;

function groups(): Group[] {
  const names = [...Deno.readDirSync("test")].map(({ name }) => name).filter((name) => name.endsWith("_test.ts")).sort();
  const group = (has: (name: string) => boolean, env?: Group["env"]): Group => ({
    args: ["--no-check", ...names.filter(has).map((name) => `test/${name}`)],
    env,
  });
  // Which cases there are may have been said; then the conformance suite is one.
  const arePicked = Deno.env.has("LONGSTRIDE_CASES"),
    isAgain = (at: number) => GROUPS.slice(0, at).some(({ files }) => files.source === GROUPS[at].files.source);
  return [
    group((name) => !GROUPS.some(({ files }) => files.test(name))),
    ...GROUPS.filter((_, at) => !arePicked || !isAgain(at)).map(({ files, env }) =>
      group((name) => files.test(name), arePicked ? undefined : env)
    ),
    // Types of tests are `deno task check`'s; those of examples are looked at here alone.
    { args: ["--doc", "--ignore=test"] },
    // One without files would be all of them.
  ].filter(({ args }) => args.length > 1);
}

/** The answers to all of some work, so many pieces at a time, in order. */
async function pool<T>(works: readonly (() => Promise<T>)[], atOnce: number): Promise<T[]> {
  const done: T[] = [], left = works.entries();
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (const [at, work] of left) done[at] = await work();
  }));
  return done;
}

/** Tests of a file that are named at the end; `deno test` names all of them above. */
const NAMED = 12;

/** Whether what failed is tried a second time. */
const AGAIN = Deno.env.get("LONGSTRIDE_AGAIN") === "1";

/** Seconds without a word after which a process is ended there: a test that compiles attention for the first time takes four minutes alone. */
const STUCK = 600;

/** Runs `deno test -A`; what it writes goes to `write` as it comes. */
async function test(group: Group, given: Readonly<Record<string, string>>, write: (bytes: Uint8Array) => unknown) {
  const env = { ...given, ...group.env, NO_COLOR: "1" }, args = group.args;
  const child = new Deno.Command(Deno.execPath(), { args: ["test", "-A", ...args], stdout: "piped", stderr: "piped", env }).spawn();
  const heard = AGAIN ? endWhenStuck(child, STUCK) : () => {};
  const texts = await Promise.all([child.stdout, child.stderr].map(async (stream) => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of stream) {
      const piece = decoder.decode(bytes, { stream: true });
      heard(piece);
      text += piece;
      await write(bytes);
    }
    return text;
  }));
  heard();
  const text = texts.join("\n");
  return { ...tested(text, (await child.status).code, group), left: leftOut(text) };
}

/** What the processes found, after a second try of what failed where there is to be one. */
async function again(all: readonly Tested[], run: (group: Group) => Promise<Tested>): ReturnType<typeof secondTry> {
  const lines = listFailed(all.flatMap(({ failed }) => failed));
  if (!AGAIN || lines.length === 0) return { all: [...all], lines };
  // Told before the second try as well, which may never end.
  console.log([...lines, "", "What failed is tried a second time, alone:"].join("\n"));
  return await secondTry(all, run);
}

helpWhereAsked(`Gets what the tests need, says how large it is, and runs them: all, or what deno test is told.

Usage: deno task test [ARGUMENTS OF deno test]

  LONGSTRIDE_WITHOUT=${Object.keys(NEEDS).join(",")}
      leaves out the tests that need one of these
  LONGSTRIDE_ENGINES=wasm     some engines only
  LONGSTRIDE_BROWSER=PATH     this browser
  LONGSTRIDE_AGAIN=1          a second try for what failed, as in CI

Exit codes: 0 all passed, 1 one failed, 2 some were left out.`);

/** Runs the tests, with a folder for what they make once; the exit code. */
async function runAll(madeIn: string): Promise<number> {
  const { env: found, without } = await setUpTests(), args = ["--doc", ...Deno.args], env = { ...found, LONGSTRIDE_TEST_MADE: madeIn };
  if (Deno.args.length > 0 && without.size === 0) {
    return (await new Deno.Command(Deno.execPath(), { args: ["test", "-A", ...args], env }).spawn().status).code;
  }
  const given = { ...env, LONGSTRIDE_WITHOUT: [...without.keys()].join() };
  const began = performance.now(), works = Deno.args.length > 0 ? [{ args }] : groups(), kept = works.map((): Uint8Array[] => []);
  // What one process writes is not mixed with another's: the first is seen as it goes, each other when those before it have ended.
  const out = Deno.stdout.writable.getWriter(), ended = new Set<number>();
  let shown = 0;
  const show = async () => {
    for (; shown < works.length; shown++) {
      for (const bytes of kept[shown].splice(0)) await out.write(bytes);
      if (!ended.has(shown)) return;
    }
  };
  let writing = Promise.resolve();
  const done = await pool(
    works.map((group, at) => async () => {
      const one = await test(group, given, (bytes) => {
        kept[at].push(bytes);
        if (at === shown) writing = writing.then(show);
      });
      ended.add(at);
      writing = writing.then(show);
      return one;
    }),
    AT_ONCE,
  );
  await writing;
  const tried = await again(done, (group) => test(group, given, (bytes) => out.write(bytes)));
  out.releaseLock();
  const seconds = ((performance.now() - began) / 1e3).toFixed(0);

  const left = new Map(done.flatMap((one) => [...one.left])), count = [...left.values()].flat().length;
  for (const [file, names] of left) {
    console.log(`\n${file}: ${names.length} left out`);
    for (const name of names.slice(0, NAMED)) console.log(`  ${name}`);
    if (names.length > NAMED) console.log(`  and ${names.length - NAMED} more, which are named above`);
  }
  // A machine without PyTorch can test all that is the program.
  const isPartial = count > 0 && [...without.keys()].some((need) => !OPTIONAL.has(need));
  if (isPartial) console.log("\nThis run is partial: tests were left out");
  for (const [need, why] of count > 0 ? without : []) console.log(`  without ${need}: ${why}`);
  for (const line of tried.lines) console.log(line);
  const [passed, failed, ignored] = [0, 1, 2].map((at) => tried.all.reduce((sum, { counts }) => sum + counts[at], 0));
  const counted = [`${passed} passed`, `${failed} failed`];
  if (count > 0) counted.push(`${count} left out`);
  if (ignored > count) counted.push(`${ignored - count} ignored`);
  console.log(`${[failed ? "FAILED" : isPartial ? "PARTIAL" : "ok", ...counted].join(" | ")} (${seconds}s)`);
  return failed ? 1 : isPartial ? 2 : 0;
}

await program(async () => {
  const madeIn = await Deno.makeTempDir();
  let code = 1;
  try {
    code = await runAll(madeIn);
  } finally {
    await Deno.remove(madeIn, { recursive: true });
  }
  Deno.exit(code);
});
