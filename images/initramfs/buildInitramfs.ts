/** The initramfs: the agent as /init and the console node, uncompressed because that boots fastest. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, type CacheEntry } from '../../helper-daemon/images/contentCache.ts';
import { digestFile } from '../../helper-daemon/images/fileDigest.ts';
import { signalOf, type WorkOptions } from '../../helper-daemon/images/progress.ts';
import { cpioArchive } from './cpio.ts';

/** Raise it when the layout below changes. */
const builderVersion = 1;

export async function buildInitramfs(
  agent: string,
  options: WorkOptions & { readonly root?: string } = {},
): Promise<CacheEntry> {
  const { sha256 } = await digestFile(agent, options.signal);
  return cached({
    kind: 'initramfs',
    inputs: { builderVersion, agent: sha256 },
    build: async (dir) => {
      const archive = cpioArchive([
        { path: 'dev', mode: 0o040755 },
        // Without it the kernel starts /init with no standard output.
        { path: 'dev/console', mode: 0o020600, device: { major: 5, minor: 1 } },
        { path: 'proc', mode: 0o040755 },
        { path: 'sys', mode: 0o040755 },
        { path: 'init', mode: 0o100755, data: await readFile(agent) },
      ]);
      await writeFile(join(dir, 'initramfs.cpio'), archive);
      return { agent: sha256 };
    },
    ...(options.root === undefined ? {} : { root: options.root }),
    ...signalOf(options),
  });
}
