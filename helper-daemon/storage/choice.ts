/** The file that says which storage new workspaces get, and which pool is ours. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { CoppiceError } from '../../protocol/errors.ts';
import type { StorageName } from './backend.ts';
import { syncPath } from './diskFiles.ts';
import { errnoOf } from './storageErrors.ts';

const storageNames = ['qcow2', 'zfs', 'reflink'] as const satisfies readonly StorageName[];

const storageChoice = z.strictObject({
  backend: z.enum(storageNames),
  zfs: z.strictObject({ pool: z.string(), prefix: z.string() }).optional(),
});

/** Content of `<state>/storage.json`. */
export type StorageChoice = z.infer<typeof storageChoice>;

/** Without a file it is qcow2. @throws CoppiceError `invalid_input` */
export async function readStorageChoice(state: string): Promise<StorageChoice> {
  const file = choiceFile(state);
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return { backend: 'qcow2' };
  try {
    return storageChoice.parse(JSON.parse(text));
  } catch (error) {
    throw new CoppiceError(
      {
        code: 'invalid_input',
        message: `${file} does not say which storage to use in a way that can be understood.`,
        next: 'Set the storage up again, or remove the file to use qcow2 for new workspaces.',
        details: { file },
      },
      { cause: error },
    );
  }
}

/**
 * Makes `choice` the storage of new workspaces. A pool named before stays known, for the workspaces in it.
 * @throws CoppiceError `wrong_state` when another pool is named already
 */
export async function writeStorageChoice(
  state: string,
  choice: StorageChoice,
): Promise<StorageChoice> {
  const { zfs = (await readStorageChoice(state)).zfs } = choice;
  if (zfs !== undefined) await requireOnePlace(state, zfs);
  const content = { backend: choice.backend, ...(zfs === undefined ? {} : { zfs }) };
  const file = choiceFile(state);
  const part = `${file}.${randomBytes(6).toString('hex')}.part`;
  await mkdir(state, { recursive: true });
  try {
    await writeFile(part, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600 });
    await syncPath(part);
    await rename(part, file);
    await syncPath(state);
  } finally {
    await rm(part, { force: true });
  }
  return content;
}

/** @throws CoppiceError `wrong_state` when another place is known already */
export async function requireOnePlace(
  state: string,
  { pool, prefix }: { readonly pool: string; readonly prefix: string },
): Promise<void> {
  const { zfs: known } = await readStorageChoice(state);
  if (known === undefined || (known.pool === pool && known.prefix === prefix)) return;
  throw new CoppiceError({
    code: 'wrong_state',
    message: `Disks may be in ${known.pool}/${known.prefix} already; there can be one such place.`,
    next: `If no machine and no snapshot is there, remove "zfs" from ${choiceFile(state)} first.`,
  });
}

/** What COPPICE_STORAGE names. @throws CoppiceError `invalid_input` */
export function storageOfEnvironment(env: NodeJS.ProcessEnv): StorageName | undefined {
  const name = env['COPPICE_STORAGE'];
  if (name === undefined || name === '') return undefined;
  const known = storageNames.find((each) => each === name);
  if (known !== undefined) return known;
  throw new CoppiceError({
    code: 'invalid_input',
    message: `COPPICE_STORAGE names no storage: ${JSON.stringify(name.slice(0, 64))}.`,
    next: `Storages: ${storageNames.join(', ')}.`,
  });
}

function choiceFile(state: string): string {
  return path.join(state, 'storage.json');
}
