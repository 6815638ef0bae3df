/**
 * The room for shaders, src/engines/webgpu/shader: what its passes make of the dialect on its page, and what they refuse.
 *
 * Plan. Each pass alone on a few lines: what it writes, and what it says, with file and line, of what it does not take. Workgroup memory
 * against numbers worked out by hand. Interfaces: what the compiler refuses. That kernels are right is the conformance suite's to show.
 */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { KernelError } from "../src/base/errors.ts";
import { tensor } from "../src/ops/mod.ts";
import { Bands } from "../src/engines/webgpu/bands.ts";
import { loadLate } from "../src/engines/webgpu/plan/index.gen.ts";
import "../src/engines/webgpu/plan/late.gen.ts";
import { Plan } from "../src/engines/webgpu/plan/plan.ts";
import { read } from "../src/engines/webgpu/shader/body.ts";
import { conditionsOf } from "../src/engines/webgpu/shader/conditions.ts";
import { assign, evaluate } from "../src/engines/webgpu/shader/constants.ts";
import { expand } from "../src/engines/webgpu/shader/expand.ts";
import { addKernels, gather, link, texts } from "../src/engines/webgpu/shader/link.ts";
import { memoryOf } from "../src/engines/webgpu/shader/memory.ts";
import { check, pasteAll } from "../src/engines/webgpu/shader/paste.ts";
import { bindingsOf, uniformsOf } from "../src/engines/webgpu/shader/reflect.ts";
import { specialised } from "../src/engines/webgpu/shader/specialise.ts";
import { pack, strip } from "../src/engines/webgpu/shader/strip.ts";
import { declarations, tokenise } from "../src/engines/webgpu/shader/tokens.ts";
import { ATTENTION_DEFAULTS, ATTENTION_KERNELS, LINEAR_DEFAULTS } from "../src/engines/webgpu/tuning/variants.ts";

const words = (text: string) => tokenise(text, "k").map((token) => token.text).join(" ");

/** Files with what is marked in them pasted, each as words. */
function pasted(files: Record<string, string>): Record<string, string> {
  const parsed = new Map(Object.entries(files).map(([name, text]) => [name, declarations(strip(text, name))]));
  return Object.fromEntries([...pasteAll(parsed)].map(([name, tokens]) => [name, tokens.map(({ text }) => text).join(" ")]));
}

/** A function's text, its constants known. */
const expanded = (text: string, constants: Record<string, number> = {}, marks = false) =>
  expand(read(tokenise(text, "k"), marks), new Map(Object.entries(constants)));

Deno.test("shader: tokens know their lines, and a packed file has the same ones", () => {
  const text =
    "// A comment.\n\nconst A: u32 = 4u; // four\n@group(0) @binding(3) var<storage, read> x: array<vec2<f32>>;\n\n// @import lanes.wgsl\n";
  const tokens = strip(text, "k"), bare = pack(tokens, "k");
  assertEquals(bare, "\n\nconst A:u32=4u;\nvar<storage,read>x:array<vec2<f32>>;\n\n// @import lanes.wgsl\n");
  assertEquals(tokenise(bare, "k"), tokens);
  const far = strip(`fn a() {\n${"\n".repeat(40)}}`, "k");
  assertStringIncludes(pack(far, "k"), "// @at k 42\n}");
  assertEquals(tokenise(pack(far, "k"), "k"), far);
  assertThrows(() => strip("\n// @unrol\n", "k"), KernelError, "wgsl/k.wgsl:2: there is no directive @unrol");
  assertThrows(() => pack(tokenise("fn a() { let b = c - -d; }", "k"), "k"), KernelError, "would be another sign");
});

Deno.test("shader: functions marked @inline are pasted, and calls that cannot be are refused", () => {
  const part = "// Adds.\n// @inline\nfn add(N: u32, to: ptr<function, Sums>, by: Item) {\n  let c = by.x;\n  (*to)[N] += c;\n}\n";
  const made = (call: string) => pasted({ part, kernel: `// @import part.wgsl\nfn main() {\n  ${call}\n}\n` });
  assertEquals(made("add(TM, &acc, item.head);"), {
    part: "",
    kernel: `// @import part.wgsl ${words("fn main() { { let c = item.head.x; acc[TM] += c; } }")}`,
  });
  for (
    const [call, why] of [
      ["add(TM, &acc);", "add takes 3 arguments, found 2"],
      ["add(TM, &acc, 1 + 2);", "add takes names, found 1 + 2"],
      ["add(TM, &c, item);", "add declares c, which its caller gives it"],
      ["add(TM, acc, item);", "add takes to otherwise than given"],
      ["let y = add(TM, &acc, item);", "add is pasted, so it is called as a statement"],
    ]
  ) assertStringIncludes(assertThrows(() => made(call), KernelError).message, why);
  assertThrows(() => made("add(TM, &acc);"), KernelError, "wgsl/kernel.wgsl:3: ");
  assertThrows(() => pasted({ k: "// @inline\nfn a() { a(); }\nfn main() { a(); }" }), KernelError, "a is pasted into itself");
});

Deno.test("shader: a skeleton's main stands in every kernel that imports it, with what that one splices", () => {
  const made = pasted({
    skeleton: "fn helper() {}\nfn main() {\n  begin();\n  total += one;\n}\n",
    a: "// @import skeleton.wgsl\n// @splice\nfn begin() {\n  let one = 1;\n}\n",
    b: "// @import skeleton.wgsl\n// @splice\nfn begin() {\n  let one = 2;\n}\n",
  });
  assertEquals(made.skeleton, words("fn helper() {}"));
  assertEquals(made.a, `// @import skeleton.wgsl ${words("fn main() { let one = 1; total += one; }")}`);
  assertEquals(made.b, `// @import skeleton.wgsl ${words("fn main() { let one = 2; total += one; }")}`);
  assertThrows(() => pasted({ k: "// @splice\nfn a(b: u32) {}\nfn main() { a(); }" }), KernelError, "it has no parameters");
});

Deno.test("shader: loops and choices of another form are refused where they are generated", () => {
  const refused = (text: string, why: string) => assertThrows(() => check(tokenise(text, "k")), KernelError, why);
  refused("fn f() {\n// @unroll\nwhile (true) {} }", "wgsl/k.wgsl:2: what is unrolled is written for (var i");
  refused("fn f() {\n// @unroll\nfor (var i = 0u; i < 4u; i += 2u) {} }", "what is unrolled is written");
  refused("fn f() {\n// @unroll\nfor (var i = 0u; i < 4u; i++) {\nlet i = 2u; } }", "wgsl/k.wgsl:4: a loop over i declares it again");
  refused("fn f() { if (A == 1u) {} else if (b) {} }", "an else of a choice has a block");
});

Deno.test("shader: choices, loops, indices and arrays of constants", () => {
  const choice = "if (A == 1u) { x = 1; } else { x = 2; }";
  assertEquals(words(expanded(choice, { A: 1 })), words("{ x = 1; }"));
  assertEquals(words(expanded(choice, { A: 0 })), words("{ x = 2; }"));
  assertEquals(words(expanded(choice)), words(choice));
  const loop = "// @unroll\nfor (var i = 0u; i < N; i++) { s[i * 2u] += a.i + i; }";
  assertEquals(words(expanded(loop, { N: 2 })), words("{ s[0u] += a.i + 0u; } { s[2u] += a.i + 1u; }"));
  assertEquals(words(expanded("x[(a ^ b) & 7u][1u + 2u]")), words("x[(a ^ b) & 7u][3u]"));
  const array = "var a: array<array<vec4f, 2>, N>; a[0u][1u].x = b.a; a[1u][0u][c] = 1.0;";
  assertEquals(
    words(expanded(array, { N: 2 })),
    words("var a_0_0=vec4f();var a_0_1=vec4f();var a_1_0=vec4f();var a_1_1=vec4f(); a_0_1.x = b.a; a_1_0[c] = 1.0;"),
  );
  const refused = (text: string, why: string) => assertStringIncludes(assertThrows(() => expanded(text), KernelError).message, why);
  refused("\n// @unroll\nfor (var i = 0u; i < N; i++) {}", "wgsl/k.wgsl:2: the bounds of the loop over i are not constant");
  refused("var a: array<f32, N>;", "the size of local array a is not constant");
  refused("var a: array<f32, 2>;\na[i] = 1.0;", "wgsl/k.wgsl:2: local array a is used by no constant index within its sizes, 2");
  refused("var a: array<f32, 2>;a[2u] = 1.0;", "within its sizes, 2");
  refused("var a: array<f32, 2>;var a: array<f32, 3>;", "local array a is declared twice, differently");
});

Deno.test("shader: constant expressions", () => {
  const of = (text: string) => evaluate(tokenise(text, "k"), new Map([["A", 6]]));
  assertEquals([of("7"), of("A / 4u"), of("(A + 2u) * 3u - 1u"), of("A % 4u"), of("max(A, 8u) - min(A, 8u)")], [7, 1, 23, 2, 2]);
  assertEquals([of("B"), of("1.0"), of("A - 7u"), of("A ^ 2u"), of("(A"), of("max(A)"), of("")], Array(7).fill(undefined));
});

Deno.test("shader: constants take the values given, and those without one must be given", () => {
  const module = declarations(tokenise("override A: bool;\nconst B: u32 = 2u;\nconst C: u32 = B * 3u;\nconst D: f32 = 0.5;", "k"));
  const { module: made, constants, unknown } = assign(module, { A: true, B: 4, D: 2, E: 1 });
  assertEquals(made.map(({ tokens }) => tokens.map(({ text }) => text).join("")), [
    "constA:bool=true;",
    "constB:u32=4u;",
    "constC:u32=12u;",
    "constD:f32=2.0;",
  ]);
  assertEquals([constants, unknown], [new Map([["B", 4], ["C", 12]]), new Set(["E"])]);
  assertThrows(() => assign(module, {}), KernelError, "wgsl/k.wgsl:1: A has no value");
});

Deno.test("shader: each file is imported once, and what WGSL wants first comes first", () => {
  const files = new Map(
    Object.entries({
      k: "// @import a.wgsl\n// @import b.wgsl\nconst K = 1;",
      a: "// @import b.wgsl\n// @import storage_f32.wgsl\nconst A = 1;",
      b: "// @import storage_f32x4.wgsl\nconst B = 1;",
      storage_f32: "const S = 1;",
      storage_f32x4: "const S = 4;",
      storage_f16x4: "const S = 2;",
    }).map(([name, text]) => [name, declarations(tokenise(text, name))]),
  );
  const order = (storage?: string) =>
    gather("k", { STORAGE: storage }, (name) => files.get(name)).map(({ name, tokens }) => name + tokens[3].text).join(" ");
  assertEquals(order(), "S4 B1 A1 K1", "one storage, the first that is named");
  assertEquals(order("f16x4"), "S2 B1 A1 K1");
  assertThrows(
    () => gather("k", { STORAGE: "f64" }, (name) => files.get(name)),
    KernelError,
    "wgsl/b.wgsl:1: there is no wgsl/storage_f64.wgsl",
  );
  assertThrows(() => link("no_such_kernel"), KernelError, "there is no wgsl/no_such_kernel.wgsl");
  const enabled = declarations(tokenise("enable f16;\nrequires packed_4x8_integer_dot_product;\ndiagnostic(off, a.b);\nconst A = 1;", "k"));
  assertEquals(enabled.map(({ kind }) => kind), ["enable", "requires", "diagnostic", "const"]);
});

Deno.test("shader: every import of a kernel names a file", () => {
  for (const kernel of texts.keys()) assert(link(kernel).every(({ kind }) => kind !== "import"), `${kernel}: an import is left`);
});

Deno.test("shader: bindings and uniforms are read from the text, and lines say where they come from", () => {
  const { module } = specialised("clip", {}, ["square_norm"]);
  assertEquals(bindingsOf(module).map(({ name, number, writes }) => `${number} ${name}${writes ? " writes" : ""}`), [
    "0 square_norm writes",
    "1 factor writes",
    "2 skipped writes",
    "3 loss_scale writes",
    "4 schedule",
    "5 known",
    "6 hyper writes",
  ]);
  assertEquals(uniformsOf(module), { number: 7, fields: [{ name: "max_norm", type: "f32" }, { name: "rows", type: "u32" }] });
  const { text } = specialised("linear_few", {}, [], true),
    source = Deno.readTextFileSync(new URL("../wgsl/linear_few.wgsl", import.meta.url));
  const line = source.split("\n").findIndex((one) => one.includes("let lane = t & (LANES - 1u);")) + 1;
  assertStringIncludes(text, `\n/*linear_few:${line}*/let lane=t&(LANES-1u);`);
});

Deno.test("shader: which variants use a binding", () => {
  const of = (body: string) =>
    conditionsOf(declarations(tokenise(`override A: bool; override B: bool; var<storage, read> x: array<f32>; ${body}`, "k")));
  assertEquals(of("fn f() { if (A) { y = x[0]; } if (c && B) { y = x[1]; } }"), new Map([["x", "A or B"]]));
  assertEquals(of("fn f() { if (A) { y = x[0]; } else { y = x[1]; } }"), new Map(), "always");
  assertEquals(of("fn f() { if (A) {} else { if (B) { y = x[1]; } } }"), new Map([["x", "not A and B"]]));
  assertEquals(of("fn f() { if (A || B) { y = x[0]; } }"), new Map(), "not known");
  const choice = "const C: u32 = 0u; fn f() { if (C == 1u) { y = x[0]; }";
  assertEquals(of(`${choice} }`), new Map([["x", "C == 1u"]]));
  assertEquals(of(`${choice} else { y = x[1]; } }`), new Map(), "always");
  assertEquals(of("fn f() { if (c == 1u) { y = x[0]; } }"), new Map(), "c is no constant");
  assertEquals(of("fn f(x: f32) { y = x; } fn g() { let x = 1; y = x + a.x; } fn h() { if (A) { y = x[0]; } }"), new Map([["x", "A"]]));
});

Deno.test("shader: workgroup memory is that of the arrays a variant uses", () => {
  // Rows of 8 vec4, 128 bytes: streamed 8 · 8 · 2 and 8 · 8 · 2, those that the scores share 32 groups of max(4, 8).
  const [large, , , , shared, small] = ATTENTION_DEFAULTS, wide = { D4: 16, V4: 16 };
  assertEquals(memoryOf("attention_forward", { ...large, ...wide }), 128 * (32 * 8 + 8 * 16));
  // Queries owned: 32 · 4 rows of two groups more.
  assertEquals(memoryOf("attention_forward", { ...large, ...wide, OWN_A: 1 }), 128 * (32 * 8 + 8 * 16 + 32 * 8));
  // Row maxima of their own: 128 rows for 8 lanes.
  assertEquals(memoryOf("attention_forward", { ...large, ...wide, SPARE: 1 }), 128 * (32 * 8 + 8 * 16) + 128 * 8 * 4);
  // q and dO in turn in 8 groups of 8, and p in 8 of 4.
  assertEquals(memoryOf("attention_backward_dkv", { ...shared, ...wide }), 128 * (8 * 8 + 8 * 4));
  assertEquals(memoryOf("attention_backward_dkv", { ...shared, ...wide, SHARED: 0 }), 128 * (2 * 8 * 8 + 8 * 4));
  for (const kernel of ATTENTION_KERNELS) assert(memoryOf(kernel, { ...small, D4: 32, V4: 32 }) <= 16384 || kernel.endsWith("dkv"), kernel);
  // What attention has beside its sets takes none: a variant that fits, fits with it.
  for (const kernel of ATTENTION_KERNELS) {
    for (const variant of ATTENTION_DEFAULTS) {
      const beside = { GROUPED: 1, ALIBI: 1, SPANS: 1 };
      assertEquals(memoryOf(kernel, { ...variant, ...wide, ...beside }), memoryOf(kernel, { ...variant, ...wide }), kernel);
    }
  }
  // 64 × 64 of the result, 16 deep: 16 rows of 32 vec4.
  assertEquals(memoryOf("linear", { ...LINEAR_DEFAULTS.linear[0] }), 16 * 16 * (16 + 16));
  assertEquals(memoryOf("attention_decode_combine", { V: 16, SHARES: 2, STORAGE: "f32" }), 4 * (128 + 16 + 128 + 128));
  assertEquals(memoryOf("adam", {}), 0);
  // A size that has a comma of its own, of an element that has one too.
  addKernels({
    sized: `const A: u32 = 5u;
var<workgroup> some: array<array<vec2f, max(A, 3u)>, max(2u, A)>;
@compute @workgroup_size(1) fn main() {
  some[0][0] = vec2f();
}
`,
  });
  assertEquals(memoryOf("sized", {}), 8 * 5 * 5 + 8);
});

Deno.test("shader: a name that a kernel does not have is a type error", () => {
  const limits = {
    maxBufferSize: 2 ** 28,
    maxStorageBufferBindingSize: 2 ** 27,
    maxComputeWorkgroupStorageSize: 16384,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupsPerDimension: 65535,
  };
  const plan = new Plan({ limits, bands: new Bands(limits), tiles: "auto", keep: 0, place: () => undefined, late: loadLate });
  const x = tensor("x", [4]), y = tensor("y", [1]), kernel = "sum", grid = [1, 1, 1] as const;
  const values = { SQUARE: false, ACCUMULATE: false }, bindings = { x, y }, params = { count: 4, share: 4, at: 0, scale: 1 };
  plan.dispatch({ kernel, values, bindings, params, grid });
  // @ts-expect-error: no such kernel
  plan.dispatch({ kernel: "summe", values, bindings, params, grid });
  // @ts-expect-error: a binding is missing
  plan.dispatch({ kernel, values, bindings: { x }, params, grid });
  // @ts-expect-error: a binding is misspelt
  plan.dispatch({ kernel, values, bindings: { x, z: y }, params, grid });
  // @ts-expect-error: a binding is too much, also where it comes by a spread
  plan.dispatch({ kernel, values, bindings: { ...bindings, ...{ z: y } }, params, grid });
  // @ts-expect-error: a uniform is missing
  plan.dispatch({ kernel, values, bindings, params: { count: 4, share: 4, at: 0 }, grid });
  // @ts-expect-error: a uniform is too much
  plan.dispatch({ kernel, values, bindings, params: { ...params, rate: 1 }, grid });
  // @ts-expect-error: a constant is missing
  plan.dispatch({ kernel, values: { SQUARE: false }, bindings, params, grid });
  // @ts-expect-error: a constant is of another type
  plan.dispatch({ kernel, values: { ...values, SQUARE: 1 }, bindings, params, grid });
  // @ts-expect-error: a constant is too much
  plan.dispatch({ kernel, values: { ...values, LANES: 1 }, bindings, params, grid });
  assertEquals(plan.dispatches.length, 10);
});
