/** `coppice init`: from what the user asked for to a storage that can be chosen. */
import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { CoppiceError } from '../../protocol/errors.ts';
import type { ParsedInputOf } from '../../protocol/operations.ts';
import { requireOnePlace, type StorageChoice } from './choice.ts';
import { requireReflink } from './reflink.ts';
import { canReflink } from './reflink/cloneFile.ts';
import { orNoSpace } from './storageErrors.ts';
import { initZfs } from './zfs/initZfs.ts';
import type { ZfsPrograms } from './zfs/zfsCommand.ts';

const defaultPrefix = 'coppice';

export interface SetUpOptions {
  readonly programs: ZfsPrograms;
  readonly progress: (message: string) => void;
}

/**
 * Idempotent; chooses nothing yet.
 * @throws CoppiceError `prerequisite_missing`, `permission_denied`, `wrong_state`, `no_space`, `invalid_input`
 */
export async function setUpStorage(
  state: string,
  input: ParsedInputOf<'storage_init'>,
  { programs, progress }: SetUpOptions,
): Promise<{ choice: StorageChoice; steps: string[] }> {
  const steps: string[] = [];
  const done = (step: string): void => {
    steps.push(step);
    progress(step);
  };
  await mkdir(state, { recursive: true });
  const backend = input.backend ?? (await suggested(state, input));
  if (backend !== 'zfs') {
    if (input.pool !== undefined || input.device !== undefined) {
      throw invalid(`A pool is used with zfs only, not with ${backend}.`);
    }
    if (backend === 'reflink') await requireReflink(state);
    done(`New machines get ${backend} disks in ${path.join(state, 'disks')}`);
    return { choice: { backend }, steps };
  }
  const { pool, prefix = defaultPrefix } = input;
  if (pool === undefined) throw invalid('ZFS needs the name of a pool.');
  // Only root can open volumes, whatever zfs allow permits.
  if (process.getuid?.() !== 0) {
    throw new CoppiceError({
      code: 'permission_denied',
      message: 'ZFS storage needs the daemon in system mode: device nodes of volumes are root’s.',
      next: 'Install Coppice in system mode, or use reflink or qcow2.',
    });
  }
  await requireOnePlace(state, { pool, prefix });
  const { mode } = await orNoSpace('The pool could not be made', state, async () =>
    initZfs({
      ...{ pool, prefix, programs, done },
      mountpoint: path.join(path.resolve(state), 'zfs'),
      ...(await vdevOf(input)),
    }),
  );
  done(
    mode === 'zvol'
      ? `New machines get volumes in ${pool}/${prefix}`
      : `New machines get files in datasets of ${pool}/${prefix}: this ZFS cannot make volumes`,
  );
  return { choice: { backend, zfs: { pool, prefix } }, steps };
}

async function suggested(
  state: string,
  input: ParsedInputOf<'storage_init'>,
): Promise<StorageChoice['backend']> {
  if (input.pool !== undefined) return 'zfs';
  return (await canReflink(state)) ? 'reflink' : 'qcow2';
}

async function vdevOf({
  device,
  size_gb,
}: ParsedInputOf<'storage_init'>): Promise<{ device?: string; file?: string; sizeBytes?: number }> {
  if (device === undefined) return {};
  const facts = await stat(device).catch(() => undefined);
  if (facts?.isBlockDevice() === true || device.startsWith('/dev/')) return { device };
  return { file: device, ...(size_gb === undefined ? {} : { sizeBytes: size_gb * 1024 ** 3 }) };
}

function invalid(message: string): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message,
    next: 'For example: coppice init zfs --pool tank --device /var/lib/coppice/pool.img --size-gb 40.',
  });
}
