/** A lock file that one builder holds; a builder that died is recognised and its lock taken over. */
import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfAborted } from './imageErrors.ts';

interface Owner {
  readonly pid: number;
  /** Start time in clock ticks: a pid alone may have been reused. */
  readonly started: string;
  readonly boot: string;
}

export interface LockWaiting {
  readonly signal?: AbortSignal;
  readonly onWait?: () => void;
}

export async function withBuildLock<T>(
  path: string,
  waiting: LockWaiting,
  work: () => Promise<T>,
): Promise<T> {
  const text = JSON.stringify(await describe(process.pid));
  const candidate = `${path}.${String(process.pid)}-${randomBytes(4).toString('hex')}`;
  await writeFile(candidate, text);
  let told = false;
  try {
    while (!(await take(candidate, path))) {
      throwIfAborted(waiting.signal, 'Waiting for another build');
      if (await dropIfDead(path)) continue;
      if (!told) waiting.onWait?.();
      told = true;
      await sleep(200);
    }
  } finally {
    await rm(candidate, { force: true });
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

/** link() is the atomic step: it fails when the name exists, and the content is complete when it appears. */
async function take(candidate: string, path: string): Promise<boolean> {
  try {
    await link(candidate, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function dropIfDead(path: string): Promise<boolean> {
  const seen = await readFile(path, 'utf8').catch(() => undefined);
  if (seen === undefined) return true;
  if (await isAlive(seen)) return false;
  // Two waiters may both see the dead owner: whoever moves the file away checks that it moved that one.
  const aside = `${path}.dead-${randomBytes(4).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch {
    return true;
  }
  const moved = await readFile(aside, 'utf8').catch(() => '');
  if (moved !== seen && (await isAlive(moved))) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
  return true;
}

async function isAlive(text: string): Promise<boolean> {
  try {
    const owner = JSON.parse(text) as Owner;
    const now = await describe(owner.pid);
    return now.boot === owner.boot && now.started === owner.started;
  } catch {
    return false;
  }
}

async function describe(pid: number): Promise<Owner> {
  const line = await readFile(`/proc/${String(pid)}/stat`, 'utf8');
  // The program name in parentheses may hold spaces; fields are counted after it.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  return { pid, started: fields[19] ?? '', boot };
}
