/** A ZFS for hosts whose kernel has none. There is one zfs-fuse to a host: one that runs already is used. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { zfsAvailable } from '../../../helper-daemon/storage/zfs/initZfs.ts';
import { exec } from './disks.ts';
import { isRoot } from './mounts.ts';

/** Why it cannot be used here; undefined when it can. */
export async function zfsFuseMissing(): Promise<string | undefined> {
  if (!isRoot) return 'zfs-fuse needs root';
  const found = await exec('which', ['zfs-fuse']).catch(() => undefined);
  return found === undefined ? 'zfs-fuse is not installed' : undefined;
}

export async function startZfsFuse(): Promise<{ stop(): Promise<void> }> {
  if ((await zfsAvailable()) === undefined) return { stop: () => Promise.resolve() };
  const child = spawn('zfs-fuse', ['--no-daemon', '--no-kstat-mount'], {
    detached: true,
    stdio: 'ignore',
  });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  for (let attempt = 0; (await zfsAvailable()) !== undefined; attempt += 1) {
    if (attempt === 100) throw new Error('zfs-fuse does not answer');
    await sleep(100);
  }
  return {
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
