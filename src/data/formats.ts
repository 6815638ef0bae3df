/**
 * Formats by the first bytes of a file: those that are read, and those that are met where these are expected.
 *
 * @module
 */

/** Whether bytes have those characters at a place. */
export const starts = (bytes: Uint8Array, want: string, at = 0) => {
  for (let i = 0; i < want.length; i++) if (bytes[at + i] !== want.charCodeAt(i)) return false;
  return bytes.length >= at + want.length;
};

/** A format known by how a file begins. */
export type Format = "gzip" | "zip" | "tar" | "png" | "wav";

/** What each begins with, in code and in words, and the ending of its names. */
export const FORMATS: Readonly<
  Record<Format, { readonly begins: (head: Uint8Array) => boolean; readonly want: string; readonly ending: RegExp }>
> = {
  gzip: { begins: (head) => starts(head, "\x1f\x8b"), want: "1f 8b", ending: /\.t?gz$/i },
  zip: { begins: (head) => starts(head, "PK\x03\x04") || starts(head, "PK\x05\x06"), want: "50 4b 03 04", ending: /\.zip$/i },
  tar: { begins: (head) => starts(head, "ustar", 257), want: "ustar at byte 257", ending: /\.tar$/i },
  png: { begins: (head) => starts(head, "\x89PNG\r\n\x1a\n"), want: "89 50 4e 47 0d 0a 1a 0a", ending: /\.png$/i },
  wav: {
    begins: (head) => ["RIFF", "RF64", "BW64", "RIFX"].some((id) => starts(head, id)) && starts(head, "WAVE", 8),
    want: "RIFF … WAVE",
    ending: /\.wave?$/i,
  },
};

/** MP3 without a tag: the first two bytes of a frame, and the same again where the next may begin, at the same rate. */
function isMp3(head: Uint8Array): boolean {
  if (head[0] !== 0xff || (head[1] & 0xe6) !== 0xe2 || head[2] >> 4 === 15 || (head[2] & 12) === 12) return false;
  return head.some((byte, i) => i > 95 && byte === 0xff && head[i + 1] === head[1] && ((head[i + 2] ^ head[2]) & 12) === 0);
}

const OWN_TEXT = "write its text into a file of its own first";

const NUMBERS = "write its numbers alone first, as bytes, and give their shape";

/** What a refused file would be: beside the like of it, it is missed; a document beside images is not. */
export type Refused = "image" | "audio" | "document" | "archive";

/** Formats that are met where these are expected, and what to do. */
export const REFUSED: Readonly<Record<Refused, readonly (readonly [string, string | ((head: Uint8Array) => boolean), string])[]>> = {
  archive: [
    ["xz", "\xfd7zXZ\0", "unpack it first: xz -d"],
    ["zstd", "\x28\xb5\x2f\xfd", "unpack it first: zstd -d"],
    ["bzip2", "BZh", "unpack it first: bzip2 -d"],
    ["LZ4", "\x04\x22\x4d\x18", "unpack it first: lz4 -d"],
    ["7z", "7z\xbc\xaf\x27\x1c", "unpack it first: 7z x"],
    ["RAR", "Rar!\x1a\x07", "unpack it first: unrar x"],
    ["UTF-32 text", (head) => starts(head, "\xff\xfe\0\0") || starts(head, "\0\0\xfe\xff"), "convert it first: iconv -f UTF-32 -t UTF-8"],
  ],
  image: [
    ["JPEG", "\xff\xd8\xff", "convert it first: ffmpeg -i in.jpg out.png"],
    ["GIF", "GIF8", "convert it first: ffmpeg -i in.gif out%04d.png"],
    ["WebP", (head) => starts(head, "RIFF") && starts(head, "WEBP", 8), "convert it first: ffmpeg -i in.webp out.png"],
    ["TIFF", (head) => starts(head, "II*\0") || starts(head, "MM\0*"), "convert it first: ffmpeg -i in.tif out.png"],
    ["BMP", (head) => starts(head, "BM") && starts(head, "\0\0\0\0", 6), "convert it first: ffmpeg -i in.bmp out.png"],
  ],
  audio: [
    ["FLAC", "fLaC", "convert it first: ffmpeg -i in.flac out.wav"],
    ["Ogg", "OggS", "convert it first: ffmpeg -i in.ogg out.wav"],
    ["MP3", (head) => starts(head, "ID3") || isMp3(head), "convert it first: ffmpeg -i in.mp3 out.wav"],
    ["MP4", (head) => starts(head, "ftyp", 4), "convert it first: ffmpeg -i in.m4a out.wav"],
    ["AIFF", (head) => starts(head, "FORM") && starts(head, "AIF", 8), "convert it first: ffmpeg -i in.aiff out.wav"],
  ],
  document: [
    [
      "Python pickle",
      (head) => starts(head, "\x80\x02}") || starts(head, "\x80\x04\x95"),
      "take the binary version: cifar-10-binary.tar.gz",
    ],
    ["NumPy", "\x93NUMPY", "write its bytes alone first, array.tofile(…), and give their shape"],
    ["PDF", "%PDF-", "write its text into a file first: pdftotext in.pdf out.txt"],
    ["HDF5", "\x89HDF", NUMBERS],
    ["Parquet", "PAR1", OWN_TEXT],
    ["SQLite", "SQLite format 3\0", OWN_TEXT],
  ],
};

/** Documents that are zip archives, by the first name in them. */
export const ZIPPED: readonly [string, RegExp, string][] = [
  ["an Office document", /^\[Content_Types\]\.xml$/, OWN_TEXT],
  ["an EPUB or OpenDocument", /^mimetype$/, OWN_TEXT],
  ["a file of PyTorch", /(^|\/)data\.pkl$/, NUMBERS],
  ["a file of NumPy", /\.npy$/, NUMBERS],
];

/** Bytes by which every format is known. */
export const HEAD = 2048;
