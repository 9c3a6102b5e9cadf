/** Files that the monitor writes into its run directory for the daemon to take. */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';

/**
 * Lets `write` fill a new file and hands over its content. The directory belongs to the monitor's account:
 * links, FIFOs and files that are too long are refused, and nothing is left.
 * @throws CoppiceError `internal`
 */
export async function takeFile(
  runDir: string,
  limit: number,
  write: (file: string) => Promise<unknown>,
): Promise<Buffer> {
  const file = path.join(runDir, `${randomUUID()}.dump`);
  try {
    await write(file);
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
    const handle = await fsp.open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const stat = await handle.stat();
      if (!stat.isFile() || stat.size === 0 || stat.size > limit) throw unusable();
      const buffer = Buffer.allocUnsafeSlow(stat.size);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
      if (bytesRead !== buffer.length) throw unusable();
      return buffer;
    } finally {
      await handle.close();
    }
  } finally {
    await fsp.rm(file, { force: true });
  }
}

function unusable(): CoppiceError {
  return new CoppiceError({
    code: 'internal',
    message: 'The monitor of the machine wrote its state in a way that cannot be used.',
  });
}
