/** Where built things live: outside any checkout, shared by all of them. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export type CacheKind = 'kernel' | 'agent' | 'initramfs' | 'images';

export function cacheDir(env: NodeJS.ProcessEnv = process.env): string {
  const chosen = env['COPPICE_CACHE'];
  if (chosen !== undefined && chosen !== '') return resolve(chosen);
  const base = env['XDG_CACHE_HOME'];
  return join(
    base !== undefined && base.startsWith('/') ? base : join(homedir(), '.cache'),
    'coppice',
  );
}
