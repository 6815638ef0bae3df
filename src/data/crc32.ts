/**
 * CRC-32 (ISO 3309), as gzip, zip and PNG use it.
 *
 * @module
 */

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/**
 * The checksum of bytes.
 *
 * @param before the checksum of what comes before them, to go on from
 * @returns u32
 */
export function crc32(bytes: Uint8Array, before = 0): number {
  let crc = ~before;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** A checksum for messages. */
export const hex = (word: number): string => word.toString(16).padStart(8, "0");
