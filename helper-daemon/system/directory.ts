import { chmod, mkdir } from 'node:fs/promises';

/** Makes a directory with exactly this mode, whatever the umask, also when it exists already. */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, mode);
}
