/**
 * What is particular to the WASM engine: results that do not depend on threads, its memory, its fallbacks, its end.
 *
 * Plan. One program with every kind of operation runs on 1, 2 and 5 threads: bit for bit the same. The arena is planned
 * without overlaps. Memory grows under running workers, is reused after free, and says how much it lacks. A process ends
 * by itself after dispose(). Long runs give way to timers, and what follows a run comes after it all the same.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { BackendError, ConfigError, KernelError, OutOfMemoryError, ShapeError } from "../src/base/errors.ts";
import { useKernels } from "../src/base/kernels.ts";
import { engineModule } from "../src/engines/wasm/binary.ts";
import "../src/ops/late.gen.ts";
import { HYPER, type Op, Program, size, type Tensor, tensor } from "../src/ops/mod.ts";
import type { AttentionSet } from "../src/pattern/sets.ts";
import { Random } from "../src/base/random.ts";
import { WasmEngine } from "../src/engines/wasm/engine.ts";
import { Heap } from "../src/engines/wasm/memory.ts";
import { type Claim, planArena } from "../src/engines/wasm/plan.ts";

const BATCH = 2, N = 150, ROWS = BATCH * N, D = 24, F = 72, HEADS = 3;

/** Forward and backward through every kind of operation that trains, at sizes that divide nothing. */
function everything(): { ops: Op[]; given: Map<Tensor, Float32Array | Uint32Array>; outputs: Tensor[] } {
  const given = new Map<Tensor, Float32Array | Uint32Array>(), outputs: Tensor[] = [];
  const normal = (name: string, shape: number[]) => {
    const t = tensor(name, shape), draw = new Random(5, given.size);
    given.set(t, Float32Array.from({ length: size(t) }, () => draw.normal()));
    return t;
  };
  const out = (name: string, shape: number[]) => {
    const t = normal(name, shape);
    outputs.push(t);
    return t;
  };
  const words = (name: string, length: number, value: (i: number) => number) => {
    const t = tensor(name, [length], "u32");
    given.set(t, Uint32Array.from({ length }, (_, i) => value(i)));
    return t;
  };
  const seeds = words("seeds", 2, (i) => 7 + i),
    index = words("index", ROWS, (i) => i % 11),
    targets = words("targets", ROWS, (i) => i % F);
  const starts = words("starts", 12, (i) => Math.min(ROWS, Math.ceil(ROWS / 11) * i)), order = words("order", ROWS, (i) => i);
  const table = normal("table", [11, D]),
    x = out("x", [ROWS, D]),
    w = normal("w", [F, D]),
    b = normal("b", [F]),
    gain = normal("gain", [D]);
  const bias = normal("bias", [D]), norm = out("norm", [ROWS, D]), mean = out("mean", [ROWS]), rstd = out("rstd", [ROWS]);
  const y = out("y", [ROWS, F]), pre = out("pre", [ROWS, F]), z = out("z", [ROWS, D]), dx = out("dx", [ROWS, D]), dw = out("dw", [F, D]);
  const db = out("db", [F]), dNorm = out("dNorm", [ROWS, D]), dGain = out("dGain", [D]), dBias = out("dBias", [D]);
  const dTable = out("dTable", [11, D]),
    o = out("o", [ROWS, D]),
    lse = out("lse", [BATCH, HEADS, N]),
    delta = out("delta", [BATCH, HEADS, N]);
  const [dq, dk, dv] = ["dq", "dk", "dv"].map((name) => out(name, [ROWS, D])), losses = out("losses", [ROWS]), dy = out("dy", [ROWS, F]);
  const loss = out("loss", [1]), square = out("square", [1]), factor = out("factor", [1]), m = out("m", [F, D]), v = out("v", [F, D]);
  const skipped = words("skipped", 2, () => 0), hyper = out("hyper", [HYPER]), known = words("known", 1, () => 0);
  const schedule = normal("schedule", [2, HYPER]);
  given.set(v, new Float32Array(size(v)));
  given.set(schedule, Float32Array.of(0.01, 10, 1000, 0.02, 0, 0, 0, 0));
  const sets: AttentionSet[] = [
    { kind: "strided", l: 12, causal: true },
    { kind: "fixed", l: 12, from: 8, to: 12, causal: true },
    { kind: "dense", causal: false },
  ];
  const dropout = { p: 0.3, site: 1, micro: 2, seeds }, attention = { q: norm, k: x, v: x, o, lse, sets, batch: BATCH, n: N };
  const ops: Op[] = [
    { op: "embedding", indices: [index], tables: [table], y: x },
    { op: "layernorm", x, gain, bias, y: norm, mean, rstd },
    { op: "attention", ...attention },
    { op: "linear", x: norm, w, b, y, pre, activation: "gelu", dropout },
    { op: "cross_entropy", logits: y, targets, losses, dLogits: dy, scale: 1 / ROWS },
    { op: "sum", x: losses, y: loss, scale: 1 / ROWS, accumulate: false },
    { op: "linear_weight_grad", dy, x: norm, dw, db, accumulate: false },
    { op: "linear_input_grad", dy, w, dx, residual: o },
    { op: "attention_backward", ...attention, dO: dx, delta, dq, dk, dv },
    { op: "dropout", x: dq, y: z, dropout },
    { op: "layernorm_backward", x, gain, mean, rstd, dy: z, residual: dk, dx: dNorm, dGain, dBias, accumulate: false },
    { op: "embedding_backward", dy: dNorm, order, starts, dTable, accumulate: false },
    { op: "square_norm", xs: [dw, dGain, dTable], y: square },
    { op: "clip", squareNorm: square, factor, skipped, maxNorm: 1, schedule, known, hyper },
    {
      op: "adam",
      ...{ params: [w], grads: [dw], m: [m], v: [v], decay: [true], factor, hyper },
      ...{ beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 },
    },
    { op: "muon", params: [w], grads: [dw], m: [m], factor, hyper, momentum: 0.95, weightDecay: 0.01 },
  ];
  return { ops, given, outputs: [...outputs, w] };
}

async function bits(threads: number): Promise<Map<string, Uint32Array>> {
  const engine = await WasmEngine.create({ threads }), { ops, given, outputs } = everything(), program = new Program("everything");
  for (const op of ops) program.add(op);
  engine.allocate([...given.keys()]);
  const executable = await engine.compile(program), found = new Map<string, Uint32Array>();
  for (let run = 0; run < 20; run++) {
    for (const [t, data] of given) engine.write(t, data);
    await executable.run();
  }
  for (const t of outputs) found.set(t.name, new Uint32Array((await engine.read(t)).buffer as ArrayBuffer));
  assertStringIncludes(engine.description, threads === 1 ? "1 thread" : `${threads} threads`);
  engine.dispose();
  return found;
}

Deno.test("wasm: results are the same, bit for bit, on 1, 2 and 5 threads", async () => {
  const one = await bits(1);
  for (const threads of [2, 5]) {
    for (const [name, words] of await bits(threads)) assertEquals(words, one.get(name), `${name} on ${threads} threads`);
  }
});

Deno.test("wasm: the arena keeps claims apart that live at the same time, and shares otherwise", () => {
  const draw = new Random(3, 0);
  const claims: Claim[] = Array.from({ length: 200 }, () => {
    const first = draw.below(50);
    return { bytes: 1 + draw.below(5000), first, last: first + draw.below(8) };
  });
  const { offsets, bytes } = planArena(claims);
  claims.forEach((a, i) => {
    assertEquals(offsets[i] % 64, 0);
    assert(offsets[i] + a.bytes <= bytes);
    claims.forEach((b, j) => {
      const together = a.first <= b.last && b.first <= a.last;
      const apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
      assert(i === j || !together || apart, `claims ${i} and ${j} overlap`);
    });
  });
  const alive = Math.max(...Array.from({ length: 60 }, (_, at) => {
    return claims.reduce((sum, { bytes, first, last }) => first <= at && at <= last ? sum + bytes : sum, 0);
  }));
  assert(bytes < 1.5 * alive, `${bytes} bytes planned, ${alive} alive at most`);
});

Deno.test("wasm: freed blocks join and are taken again, zeroed", () => {
  const heap = new Heap(false), blocks = Array.from({ length: 10 }, (_, i) => heap.take(10_000, `block ${i}`));
  new Uint8Array(heap.memory.buffer, blocks[3], 10_000).fill(7);
  const before = heap.memory.buffer.byteLength;
  for (const at of [3, 5, 4]) heap.give(blocks[at]);
  const again = heap.take(30_000, "three blocks");
  assertEquals(again, blocks[3]);
  assertEquals(heap.memory.buffer.byteLength, before);
  assert(new Uint8Array(heap.memory.buffer, again, 30_000).every((byte) => byte === 0));
});

Deno.test("wasm: memory that grows between runs reaches the workers", async () => {
  const engine = await WasmEngine.create({ threads: 3 });
  for (let k = 1; k <= 4; k++) {
    const rows = 3000 * k,
      x = tensor("x", [rows, 64]),
      w = tensor("w", [64, 64]),
      y = tensor("y", [rows, 64]),
      program = new Program("grow");
    program.add({ op: "linear", x, w, y });
    engine.allocate([x, w, y]);
    engine.write(x, new Float32Array(rows * 64).fill(1));
    engine.write(w, new Float32Array(64 * 64).fill(k));
    await (await engine.compile(program)).run();
    assert((await engine.read(y) as Float32Array).every((value) => value === 64 * k));
  }
  engine.dispose();
});

Deno.test("wasm: too much memory is an OutOfMemoryError that says how much, and leaves the engine usable", async () => {
  const engine = await WasmEngine.create({ threads: 1 }), small = tensor("small", [4]), large = tensor("large", [1 << 15, 1 << 15]);
  const error = assertThrows(() => engine.allocate([small, large]), OutOfMemoryError);
  assertStringIncludes(error.message, "4096.0 MiB for tensor large");
  engine.allocate([small]);
  engine.write(small, Float32Array.of(1, 2, 3, 4));
  assertEquals(await engine.read(small), Float32Array.of(1, 2, 3, 4));
  engine.dispose();
});

Deno.test("wasm: what is not allocated is named", async () => {
  const engine = await WasmEngine.create({ threads: 1 }), x = tensor("lonely", [4, 4]), y = tensor("y", [4, 4]), program = new Program("p");
  program.add({ op: "linear", x, w: x, y });
  await assertRejects(() => engine.compile(program), ShapeError, "tensor lonely is not allocated");
  assertThrows(() => engine.write(x, new Float32Array(16)), ShapeError, "lonely");
  assertThrows(() => engine.write(y, new Float32Array(3)), ShapeError, "16 elements, got 3");
  engine.dispose();
});

Deno.test("wasm: a ready module runs on one thread and says so", async () => {
  useKernels(await engineModule());
  try {
    const engine = await WasmEngine.create({ threads: 4 });
    assertStringIncludes(engine.description, "1 thread of 4: a ready module runs on one");
    engine.dispose();
  } finally {
    useKernels();
  }
});

Deno.test("wasm: without shared memory, or where workers may not start, one thread does it all and says so", async () => {
  const scope = globalThis as Record<string, unknown>, { SharedArrayBuffer, Worker } = globalThis;
  const refused = class {
    constructor() {
      throw new DOMException("refused by the page's policy", "SecurityError");
    }
  };
  try {
    scope.SharedArrayBuffer = undefined;
    const unshared = await WasmEngine.create({ threads: 2 });
    assertStringIncludes(unshared.description, "1 thread of 2: shared memory is not available");
    unshared.dispose();
    scope.SharedArrayBuffer = SharedArrayBuffer;
    scope.Worker = refused;
    const alone = await WasmEngine.create({ threads: 3 });
    assertStringIncludes(alone.description, "1 thread of 3: workers could not start: refused by the page's policy");
    const y = tensor("y", [1]), x = tensor("x", [3]), program = new Program("sum");
    program.add({ op: "sum", x, y, scale: 1, accumulate: false });
    alone.allocate([x, y]);
    alone.write(x, Float32Array.of(1, 2, 4));
    await (await alone.compile(program)).run();
    assertEquals(await alone.read(y), Float32Array.of(7));
    alone.dispose();
  } finally {
    Object.assign(scope, { SharedArrayBuffer, Worker });
  }
});

for (const [name, end] of [["after dispose", "engine.dispose();"], ["after a while without dispose", ""]]) {
  Deno.test(`wasm: a process ends by itself ${name}, without permissions`, async () => {
    const source = `
      import { WasmEngine } from ${JSON.stringify(new URL("../src/engines/wasm/engine.ts", import.meta.url).href)};
      const engine = await WasmEngine.create({ threads: 3 });
      console.log(engine.description);
      ${end}
    `;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", `data:application/typescript,${encodeURIComponent(source)}`],
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(300_000),
    });
    const { success, stdout, stderr } = await child.output(), text = new TextDecoder();
    assert(success, text.decode(stderr));
    assertEquals(text.decode(stdout), "WASM SIMD, 3 threads\n");
  });
}

Deno.test("wasm: workers that left come back with the next run, and change no result", async () => {
  const scope = globalThis as Record<string, unknown>, { Worker } = globalThis;
  let started = 0;
  scope.Worker = class extends Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      started++;
    }
  };
  try {
    const engine = await WasmEngine.create({ threads: 3 }), { program, x, w, y } = long(20), found: Float32Array[] = [];
    engine.allocate([x, w, y]);
    const draw = new Random(1, 0);
    for (const t of [x, w]) engine.write(t, Float32Array.from({ length: 512 * 512 }, () => draw.normal()));
    const executable = await engine.compile(program), counts: number[] = [];
    // They leave after two seconds, where the machine lets them.
    for (let pause = 0; counts.length === 0 || (started < counts[0] + 2 && counts.length < 20); pause = 2500) {
      await new Promise((resume) => setTimeout(resume, pause));
      await executable.run();
      counts.push(started);
      found.push(await engine.read(y) as Float32Array);
    }
    assert(started >= counts[0] + 2, counts.join());
    for (const again of found) assertEquals(again, found[0]);
    engine.dispose();
  } finally {
    scope.Worker = Worker;
  }
});

/** x·wᵀ of 512 × 512, over and over: a run of some 100 ms, in which every product is the same. */
function long(times: number): { program: Program; x: Tensor; w: Tensor; y: Tensor } {
  const x = tensor("x", [512, 512]), w = tensor("w", [512, 512]), y = tensor("y", [512, 512]), program = new Program("long");
  for (let time = 0; time < times; time++) program.add({ op: "linear", x, w, y });
  return { program, x, w, y };
}

for (const threads of [1, 2]) {
  Deno.test(`wasm: a long run on ${threads} threads lets timers have their turn`, async () => {
    const engine = await WasmEngine.create({ threads }), { program, x, w, y } = long(100);
    engine.allocate([x, w, y]);
    const executable = await engine.compile(program), begun = performance.now();
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    await executable.run();
    clearInterval(timer);
    const took = performance.now() - begun;
    // Of a run that holds the thread there is none; on a busy machine there are few.
    assert(ticks >= Math.min(3, Math.floor(took / 100)), `${ticks} ticks in ${took.toFixed(0)} ms`);
    engine.dispose();
  });

  Deno.test(`wasm: what follows a run that nobody waits for comes after it, on ${threads} threads`, async () => {
    const engine = await WasmEngine.create({ threads }), { program, x, w, y } = long(40), unit = new Float32Array(512 * 512);
    for (let i = 0; i < 512; i++) unit[i * 513] = 1;
    engine.allocate([x, w, y]);
    const executable = await engine.compile(program);
    engine.write(x, unit.map(() => 3));
    engine.write(w, unit);
    const first = executable.run();
    engine.write(x, unit.map(() => 5));
    const second = executable.run(), read = engine.read(y);
    assertEquals((await read)[77], 5);
    await Promise.all([first, second]);
    executable.run();
    engine.free([y]);
    executable.dispose();
    await assertRejects(() => executable.run(), KernelError, "it was disposed of");
    engine.dispose();
  });
}

Deno.test("wasm: a number of threads that is none is refused before anything starts", async () => {
  for (const threads of [0, -1, 1.5, NaN, 257, "2" as unknown as number]) {
    const error = await assertRejects(() => WasmEngine.create({ threads }), ConfigError);
    assertStringIncludes(
      error.message,
      `threads must be a whole number from 1 to 256, found ${typeof threads === "string" ? `"${threads}"` : threads}`,
    );
  }
});

Deno.test("wasm: a run on an engine that was disposed of is an error and ends", async () => {
  for (const threads of [1, 2]) {
    const engine = await WasmEngine.create({ threads }), x = tensor("x", [4]), y = tensor("y", [1]), program = new Program("sum");
    engine.allocate([x, y]);
    program.add({ op: "sum", x, y, scale: 1, accumulate: false });
    const executable = await engine.compile(program);
    engine.dispose();
    await assertRejects(async () => await executable.run(), BackendError, "the engine was disposed of");
  }
});
