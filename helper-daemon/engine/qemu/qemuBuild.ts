/** Which build of QEMU a program is: images of device state are only understood by the very same. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { run } from '../../system/run.ts';

const known = new Map<string, Promise<string>>();

/** Version and digest. `program` may be /proc/<pid>/exe, also of a program that was replaced since. */
export function qemuBuild(program: string): Promise<string> {
  const { dev, ino, size, mtimeMs, ctimeMs } = fs.statSync(program);
  const key = [dev, ino, size, mtimeMs, ctimeMs].join(' ');
  let build = known.get(key);
  if (build === undefined) {
    build = readBuild(program);
    build.catch(() => known.delete(key));
    known.set(key, build);
  }
  return build;
}

async function readBuild(program: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(fs.createReadStream(program), hash);
  const { stdout } = await run(program, ['--version']);
  const version = /version (.+)/.exec(stdout)?.[1] ?? 'unknown';
  return `${version} ${hash.digest('hex').slice(0, 16)}`;
}
