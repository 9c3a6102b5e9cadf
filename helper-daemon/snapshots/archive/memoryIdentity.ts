/** A memory file says at its start which image it is; in another daemon it becomes another one. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { archiveInvalid } from './archiveErrors.ts';

/** Magic and the length of the header, then the header as JSON, which begins with version and id. */
const magic = Buffer.from('COPPMEM\x01', 'latin1');
const headerAt = magic.length + 4;
const beforeId = '{"version":1,"id":"';

/**
 * Gives the file its new id; both are uuids. Resolves with its digest then, in hex.
 * @throws CoppiceError `archive_invalid` when it is no memory file, or not the one with the old id
 */
export async function renameMemory(file: string, from: string, to: string): Promise<string> {
  const handle = await open(file, 'r+');
  try {
    const expected = Buffer.from(`${beforeId}${from}"`);
    const start = Buffer.alloc(headerAt + expected.length);
    await handle.read(start, 0, start.length, 0);
    if (
      !start.subarray(0, magic.length).equals(magic) ||
      !start.subarray(headerAt).equals(expected)
    ) {
      throw archiveInvalid('it is not the memory image it should be', `memory/${from}.memory`);
    }
    await handle.write(to, headerAt + beforeId.length, 'latin1');
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(1024 * 1024);
    for (let position = 0; ;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      position += bytesRead;
    }
    await handle.sync();
    return hash.digest('hex');
  } finally {
    await handle.close();
  }
}
