/**
 * What failed of the tests, from what `deno test` printed, and a second try for what may have been a race.
 *
 * @module
 */

/** One process of `deno test`: its arguments, files last, and variables. */
export interface Group {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A test that failed, a file that did outside its tests, or a process. */
export interface Failed {
  /** As `deno test` heads its error: "name => ./test/a_test.ts:1:6". */
  readonly title: string;
  /** The first lines of its error. */
  readonly error: readonly string[];
  /** What to run again for it. */
  readonly again: Group;
}

/** What a process found. */
export interface Tested {
  /** Tests that passed, failed and were ignored; one that ended without saying so failed once. */
  readonly counts: readonly [passed: number, failed: number, ignored: number];
  readonly failed: readonly Failed[];
  /** It ended by itself before its last test, or after it with an exit code of failure: `counts` lack what {@linkcode Failed.again} has. */
  readonly isCrashed?: boolean;
}

/** Lines that are told of an error. */
const LINES = 8;

/** Most runs of a second try: a race fails one test or two, what is broken many. */
const MOST = 3;

const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed(?: \| (\d+) ignored)?/gm;

const UNCAUGHT = " (uncaught error)";

const someLines = (lines: readonly string[]) => lines.filter((line) => line.trim() !== "");

/** What a process of these arguments found, from all that it printed and its exit code. */
export function tested(printed: string, code: number, group: Group): Tested {
  const [errors, titles] = printed.split("\n ERRORS \n").at(-1)!.split("\n FAILURES \n\n");
  if (code !== 0 && titles === undefined) return crashed(printed, code, group);
  const [passed, failed, ignored] = [...printed.matchAll(SUMMARY)].at(-1)?.slice(1).map((count) => Number(count ?? 0)) ?? [0, 0, 0];
  if (code === 0) return { counts: [passed, failed, ignored], failed: [] };
  const list = titles.split("\n\n")[0].split("\n"), lines = errors.split("\n");
  return {
    counts: [passed, failed, ignored],
    failed: list.map((title) => {
      const at = lines.indexOf(title) + 1, next = lines.findIndex((line, on) => on >= at && list.includes(line));
      const file = title.endsWith(UNCAUGHT) ? title.slice(0, -UNCAUGHT.length) : title.replace(/^.* => (.*?):\d+:\d+$/, "$1");
      return {
        title,
        error: someLines(lines.slice(at, next < 0 ? undefined : next)).slice(0, LINES),
        // Examples of docstrings are in files that `deno test` makes: all of them are tried again.
        again: group.args.includes("--doc") ? group : { ...group, args: ["--no-check", file] },
      };
    }),
  };
}

/** Of a process that ended without a list of failures: it could not begin, a driver ended it, or it ended itself. */
function crashed(printed: string, code: number, group: Group): Tested {
  const files = printed.split(/^running \d+ tests? from (?:\.\/)?/m).slice(1), last = files.pop();
  // What passed before is not run again.
  const well = files.filter((text) => !/ (?:FAILED|cancelled) \(/.test(text)), names = well.map((text) => text.split("\n", 1)[0]);
  const count = (how: string) => well.flatMap((text) => [...text.matchAll(new RegExp(`^(?:\\S.* \\.\\.\\.)? ${how} \\(`, "gm"))]).length;
  const where = last === undefined ? "before any test" : `in ${last.split("\n", 1)[0]} or after it`;
  return {
    counts: [count("ok"), 1, count("ignored")],
    failed: [{
      title: `deno test ended with code ${code} ${where}: ${group.args.join(" ")}`,
      // The test that it was at, and what it said last.
      error: [
        ...last?.split("\n").filter((line) => / \.\.\./.test(line)).slice(-1) ?? [],
        ...someLines(printed.split("\n").slice(-50)).slice(1 - LINES),
      ],
      again: { ...group, args: group.args.filter((arg) => !names.includes(arg)) },
    }],
    isCrashed: true,
  };
}

/** What `deno test` prints of a test that may hang. */
const WAITING = "has been running for over";

/**
 * Ends a process that prints nothing for so long but that it waits: it hangs, and would say no more of what.
 *
 * @returns What to call with all that it prints, and with nothing once it has ended
 */
export function endWhenStuck(child: Pick<Deno.ChildProcess, "kill">, seconds: number): (printed?: string) => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const heard = (printed?: string) => {
    if (printed?.includes(WAITING)) return;
    clearTimeout(timer);
    if (printed !== undefined) timer = setTimeout(() => child.kill("SIGKILL"), seconds * 1000);
  };
  heard("");
  return heard;
}

/** What is told of failures: each with the first lines of its error. */
const told = (failed: readonly Failed[]): string[] =>
  failed.flatMap(({ title, error }) => [`  ${title}`, ...error.map((line) => `      ${line}`)]);

/** The list of all that failed, for the end of a run; none is no line. */
export const listFailed = (failed: readonly Failed[]): string[] => failed.length > 0 ? ["", "Failed:", ...told(failed)] : [];

/**
 * Runs once more, one after another, what failed: where all of it passes, it was a race, or a time limit on a busy machine.
 *
 * @returns What the run found then, with the lines that tell it: as it was, where something fails again or much had failed
 */
export async function secondTry(
  all: readonly Tested[],
  run: (group: Group) => Promise<Tested>,
): Promise<{ all: Tested[]; lines: string[] }> {
  const failed = all.flatMap((one) => one.failed), groups = new Map(failed.map(({ again }) => [JSON.stringify(again), again]));
  if (groups.size === 0 || groups.size > MOST) return { all: [...all], lines: listFailed(failed) };
  const tries = new Map<string, Tested>();
  for (const [key, group] of groups) tries.set(key, await run(group));
  const again = [...tries.values()].flatMap((one) => one.failed);
  if (again.length > 0) return { all: [...all], lines: [...listFailed(failed), "", "At a second try:", ...told(again)] };
  let flaky = 0;
  const found = all.map((one): Tested => {
    if (one.failed.length === 0) return one;
    let [passed, failed, ignored] = one.counts;
    if (one.isCrashed) {
      const { counts } = tries.get(JSON.stringify(one.failed[0].again))!;
      passed += counts[0], ignored += counts[2];
    } else passed += failed -= one.failed.filter(({ title }) => title.endsWith(UNCAUGHT)).length;
    flaky += failed;
    return { counts: [passed, 0, ignored], failed: [] };
  });
  return { all: found, lines: ["", `${flaky} passed at a second try, and must not fail at a first:`, ...told(failed)] };
}
