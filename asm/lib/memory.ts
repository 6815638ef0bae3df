// Addresses are u32; loads and stores of the element types that kernels use.

// An address of numbers of type T, which the engine's calls give a place for; `Optional` may be 0, which means that there are none.
// tools/gen_asm.ts makes the types of src/engines/wasm/kernels.gen.ts from these.
export type Pointer<T> = usize;
export type Optional<T> = usize;

// @ts-ignore: decorator
@inline
export function getU32(base: usize, i: u32): u32 {
  return load<u32>(base + ((i as usize) << 2));
}

// @ts-ignore: decorator
@inline
export function setU32(base: usize, i: u32, value: u32): void {
  store<u32>(base + ((i as usize) << 2), value);
}

// @ts-ignore: decorator
@inline
export function getF32(base: usize, i: u32): f32 {
  return load<f32>(base + ((i as usize) << 2));
}

// @ts-ignore: decorator
@inline
export function setF32(base: usize, i: u32, value: f32): void {
  store<f32>(base + ((i as usize) << 2), value);
}

// The first `count` of four f32, zeros after them.
export function loadPart(at: usize, count: u32): v128 {
  if (count >= 4) return v128.load(at);
  let x = f32x4.splat(0);
  if (count > 0) x = f32x4.replace_lane(x, 0, load<f32>(at));
  if (count > 1) x = f32x4.replace_lane(x, 1, load<f32>(at, 4));
  if (count > 2) x = f32x4.replace_lane(x, 2, load<f32>(at, 8));
  return x;
}

// Writes the first `count` of four f32.
export function storePart(at: usize, x: v128, count: u32): void {
  if (count >= 4) {
    v128.store(at, x);
    return;
  }
  if (count > 0) store<f32>(at, f32x4.extract_lane(x, 0));
  if (count > 1) store<f32>(at, f32x4.extract_lane(x, 1), 4);
  if (count > 2) store<f32>(at, f32x4.extract_lane(x, 2), 8);
}
