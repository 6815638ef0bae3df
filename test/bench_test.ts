/**
 * Every bench runs: what it measures is no business of tests, and on a shared machine says nothing.
 *
 * Plan. Each file of bench/ with `--quick`, small sizes once each, in a process of its own: it ends with 0, says nothing on stderr,
 * and prints its tables. A bench that is not listed here fails.
 */

import { assert, assertEquals } from "@std/assert";
import { gpuTest } from "./engines.ts";

const ROOT = new URL("../", import.meta.url);

/** What the benches import, and what is not in TypeScript. */
const PARTS = ["lib.ts", "rates.ts", "torch_peer.py"];

interface Bench {
  readonly args: readonly string[];
  readonly needsGpu?: boolean;
  /** Its tables: how a line of each begins that has results, and how many there are. */
  readonly prints: Readonly<Record<string, number>>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  "attention": { args: ["attention.ts"], prints: { "forward ÷ plain JS": 1, "n = ": 2 } },
  "decode": { args: ["decode.ts"], prints: { "WASM SIMD, ": 2 } },
  "elementwise": { args: ["elementwise.ts"], prints: { "layernorm": 2, "cross_entropy": 1, "dropout": 1, "square_norm": 1, "adam": 1 } },
  "matmul": { args: ["matmul.ts"], prints: { "8 × 12 × 20": 3 } },
  "memory": { args: ["memory.ts"], prints: { "| text | ": 1 } },
  "mulaw": { args: ["mulaw.ts"], prints: { "µ-law, ": 2, "WAV, ": 1, "CIFAR-10 ": 1, "counting bytes": 1 } },
  "tokenizer": { args: ["tokenizer.ts"], prints: { "WASM ": 1, "plain JS": 2, "@huggingface/tokenizers": 1 } },
  "train_step": { args: ["train_step.ts"], prints: { "64 ": 2, "text ": 1 } },
  "crossover": { args: ["crossover.ts"], needsGpu: true, prints: { "| strided | 128": 1, "| fixed | 128": 1, "| column | 128": 1 } },
  "decode on a GPU": { args: ["decode.ts", "--gpu"], needsGpu: true, prints: { "20 ": 1, "200 ": 1, "all at ": 2, "  linear": 2 } },
  "engines": { args: ["engines.ts"], needsGpu: true, prints: { "1 ": 1, "4 ": 1 } },
  "gpu": { args: ["gpu.ts"], needsGpu: true, prints: { "matmul 128³ f32 ": 3, "strided l 16 n 160 f32 forward": 2 } },
};

Deno.test("bench: every file of the folder is run here", () => {
  const files = [...Deno.readDirSync(new URL("bench/", ROOT))].map(({ name }) => name).filter((name) => !PARTS.includes(name));
  assertEquals(new Set(Object.values(BENCHES).map(({ args }) => args[0])), new Set(files));
});

for (const [name, { args: [file, ...args], needsGpu, prints }] of Object.entries(BENCHES)) {
  (needsGpu ? gpuTest : Deno.test)(`bench: ${name} runs and prints its tables`, async () => {
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `bench/${file}`, ...args, "--quick"],
      cwd: ROOT,
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
    const { code, stdout, stderr } = await command.output(), out = new TextDecoder().decode(stdout), err = new TextDecoder().decode(stderr);
    assertEquals([code, err], [0, ""], out);
    assert(!/undefined|WRONG/.test(out), out);
    for (const [begin, count] of Object.entries(prints)) {
      const lines = out.split("\n").filter((line) => line.startsWith(begin));
      assertEquals(lines.length, count, `${begin}: ${out}`);
      for (const line of lines) assert(/\d/.test(line.slice(begin.length)), `no number: ${line}`);
    }
  });
}
