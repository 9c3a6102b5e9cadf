/** The first bytes of a part of a file. */
import { open } from 'node:fs/promises';
import type { FileRange } from './compression.ts';

export async function readStart(range: FileRange, length: number): Promise<Buffer> {
  const file = await open(range.path, 'r');
  try {
    const bytes = Buffer.alloc(Math.min(length, range.size));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, range.start);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
