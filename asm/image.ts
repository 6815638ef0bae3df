// Images from a plane a channel to row-major red, green, blue. A unit is an image.

// Images of `pixels` pixels, each after `skip` bytes (a label).
export function image_interleave(images: u32, skip: u32, pixels: u32, from: usize, to: usize): void {
  const vectors = pixels & ~15;
  for (let n: u32 = 0; n < images; n++) {
    const red = from + skip, green = red + pixels, blue = green + pixels;
    for (let i: u32 = 0; i < vectors; i += 16) {
      const r = v128.load(red + i), g = v128.load(green + i), b = v128.load(blue + i), at = to + i * 3;
      const rg0 = i8x16.shuffle(r, g, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
      v128.store(at, i8x16.shuffle(rg0, b, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15), 0);
      const rg1 = i8x16.shuffle(r, g, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
      v128.store(at, i8x16.shuffle(rg1, b, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15), 16);
      const rg2 = i8x16.shuffle(r, g, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
      v128.store(at, i8x16.shuffle(rg2, b, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31), 32);
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
