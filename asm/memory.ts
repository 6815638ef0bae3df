// Addresses are u32; loads and stores of the element types that kernels use.

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
