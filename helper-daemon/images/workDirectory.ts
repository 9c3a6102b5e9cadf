/** Scratch space for one build in the cache, on the disk that will hold the result. */
import { mkdir, mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { noSpace } from './imageErrors.ts';

/**
 * Gives `work` a directory of its own and removes it afterwards; also removes what builders that were killed
 * have left.
 * @throws CoppiceError `no_space` before anything is written, when less than `needed` bytes are free
 */
export async function withWorkDirectory<T>(
  root: string,
  purpose: string,
  needed: number,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const parent = join(root, 'work');
  await mkdir(parent, { recursive: true });
  await removeAbandoned(parent, purpose);
  await requireSpace(parent, needed);
  const directory = await mkdtemp(join(parent, `${purpose}-${String(process.pid)}-`));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Checked before anything is written: a full disk half-way helps nobody. */
export async function requireSpace(directory: string, needed: number): Promise<void> {
  const facts = await statfs(directory);
  const available = facts.bavail * facts.bsize;
  if (available < needed) throw noSpace(directory, { needed, available });
}

async function removeAbandoned(parent: string, purpose: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = new RegExp(`^${purpose}-(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) {
      await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
