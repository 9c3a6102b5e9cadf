/** Files that others read at any moment. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';

/** Empty where there is none. */
export async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/**
 * Replaces the file as a whole; readers see the old one or the new one. One writer at a time: what one that was
 * killed has left is overwritten.
 */
export async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const fresh = `${file}.coppice-new`;
  await rm(fresh, { force: true });
  await writeFile(fresh, text, { mode, flag: 'wx' });
  await rename(fresh, file);
}
