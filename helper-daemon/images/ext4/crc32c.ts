/** CRC-32C as ext4 uses it for metadata: reflected, without the final inversion. */

const tables = makeTables();

/** Pass the previous result to go on; start with 0xffffffff. */
export function crc32c(seed: number, bytes: Uint8Array): number {
  const [t0, t1, t2, t3] = tables;
  let crc = seed >>> 0;
  let at = 0;
  for (const end = bytes.length - 3; at < end; at += 4) {
    crc ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    crc =
      (t3[crc & 0xff] as number) ^
      (t2[(crc >>> 8) & 0xff] as number) ^
      (t1[(crc >>> 16) & 0xff] as number) ^
      (t0[crc >>> 24] as number);
  }
  for (; at < bytes.length; at += 1) {
    crc = (t0[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8);
  }
  return crc >>> 0;
}

export function le32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

function makeTables(): readonly [Uint32Array, Uint32Array, Uint32Array, Uint32Array] {
  const made = [0, 1, 2, 3].map(() => new Uint32Array(256)) as unknown as readonly [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  for (let value = 0; value < 256; value += 1) {
    let crc = value;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    made[0][value] = crc;
  }
  for (let value = 0; value < 256; value += 1) {
    for (const level of [1, 2, 3] as const) {
      const before = made[(level - 1) as 0 | 1 | 2][value] as number;
      made[level][value] = (made[0][before & 0xff] as number) ^ (before >>> 8);
    }
  }
  return made;
}
