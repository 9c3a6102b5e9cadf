/** A file kept by its descriptor alone: deleting its name, or a crash, leaves neither a gap nor a left-over. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rm } from 'node:fs/promises';

export interface HeldFile {
  readonly bytes: number;
  /** The content from the start, in pieces that may be kept. */
  read(): AsyncGenerator<Uint8Array, void, undefined>;
  /** The file is gone with this, if its name is. */
  close(): Promise<void>;
}

const chunkBytes = 512 * 1024;

/** Holds a file that never changes. */
export async function holdFile(file: string): Promise<HeldFile> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { size } = await handle.stat();
    return {
      bytes: size,
      async *read() {
        for (let position = 0; position < size;) {
          const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, size - position));
          const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
          if (bytesRead === 0) return;
          yield buffer.subarray(0, bytesRead);
          position += bytesRead;
        }
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Holds a temporary file of the caller's, and takes its name away. */
export async function takeFile(file: string): Promise<HeldFile> {
  const held = await holdFile(file);
  await rm(file);
  return held;
}

/** Hex SHA-256. */
export async function sha256Of(held: HeldFile): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of held.read()) hash.update(chunk);
  return hash.digest('hex');
}
