/**
 * `deno task test [ARGUMENTS]`: `deno test` with them; without any, all tests in two processes at once.
 *
 * Not `deno test --parallel`: that is one process, and a software GPU's driver that several threads of it used at once ended it with
 * "corrupted size vs. prev_size" after the last test.
 *
 * @module
 */

/** The files that are the longest, on the GPU: about half of the time. */
const GPU = ["test/conformance_test.ts", "test/webgpu_test.ts"];

const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed(?: \| (\d+) ignored)?/gm;

/** Runs `deno test -A`; what it writes goes to `write` as it comes. */
async function test(args: readonly string[], write: (bytes: Uint8Array) => unknown) {
  const env = { NO_COLOR: "1" }, began = performance.now();
  const child = new Deno.Command(Deno.execPath(), { args: ["test", "-A", ...args], stdout: "piped", stderr: "piped", env }).spawn();
  let text = "";
  await Promise.all([child.stdout, child.stderr].map(async (stream) => {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      text += decoder.decode(bytes, { stream: true });
      await write(bytes);
    }
  }));
  const { code } = await child.status,
    counts = [...text.matchAll(SUMMARY)].at(-1)?.slice(1, 4).map((count) => Number(count ?? 0)) ?? [0, 0, 0];
  // It may not have compiled, or have crashed after the last test.
  if (code !== 0 && counts[1] === 0) counts[1] = 1;
  return { code, counts, seconds: (performance.now() - began) / 1e3 };
}

if (Deno.args.length > 0) {
  const { code } = await new Deno.Command(Deno.execPath(), { args: ["test", "-A", "--doc", ...Deno.args] }).spawn().status;
  Deno.exit(code);
}
const out = Deno.stdout.writable.getWriter(), later: Uint8Array[] = [];
const done = await Promise.all([
  test(["--doc", `--ignore=${GPU}`], (bytes) => out.write(bytes)),
  test(GPU, (bytes) => later.push(bytes)),
]);
for (const bytes of later) await out.write(bytes);
out.releaseLock();
const [passed, failed, ignored] = [0, 1, 2].map((at) => done.reduce((sum, { counts }) => sum + counts[at], 0));
const seconds = Math.max(...done.map(({ seconds }) => seconds)).toFixed(0);
console.log(`${failed ? "FAILED" : "ok"} | ${passed} passed | ${failed} failed${ignored ? ` | ${ignored} ignored` : ""} (${seconds}s)`);
Deno.exit(failed ? 1 : 0);
