// Images from a plane per channel to row-major red, green, blue. A unit is an image.

// The patterns of one instruction each on x86 and Arm: with two general shuffles for every 16 bytes it took 2.5 times as long.
// @ts-ignore: decorator
@inline
function low8(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

// @ts-ignore: decorator
@inline
function high8(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

// @ts-ignore: decorator
@inline
function low16(a: v128, b: v128): v128 {
  return i16x8.shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

// @ts-ignore: decorator
@inline
function high16(a: v128, b: v128): v128 {
  return i16x8.shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

// @ts-ignore: decorator
@inline
function packed(x: v128): v128 {
  return i8x16.shuffle(x, x, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 3, 3, 3);
}

// Images of `pixels` pixels, each after `skip` bytes (a label). Up to 4 bytes behind the last pixel are written too.
export function image_interleave(images: u32, skip: u32, pixels: u32, from: usize, to: usize): void {
  const vectors = pixels & ~15, zero = i8x16.splat(0);
  for (let n: u32 = 0; n < images; n++) {
    const red = from + skip, green = red + pixels, blue = green + pixels;
    for (let i: u32 = 0; i < vectors; i += 16) {
      const r = v128.load(red + i), g = v128.load(green + i), b = v128.load(blue + i), at = to + i * 3;
      // Interleaved to red, green, blue, 0; each store's four zeros are written over by the next.
      const rg = low8(r, g), b0 = low8(b, zero), rg1 = high8(r, g), b1 = high8(b, zero);
      v128.store(at, packed(low16(rg, b0)));
      v128.store(at, packed(high16(rg, b0)), 12);
      v128.store(at, packed(low16(rg1, b1)), 24);
      v128.store(at, packed(high16(rg1, b1)), 36);
    }
    for (let i = vectors; i < pixels; i++) {
      const at = to + i * 3;
      store<u8>(at, load<u8>(red + i));
      store<u8>(at, load<u8>(green + i), 1);
      store<u8>(at, load<u8>(blue + i), 2);
    }
    from = blue + pixels;
    to += pixels * 3;
  }
}
