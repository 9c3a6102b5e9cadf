/**
 * Who may use the system-mode daemon: root, and the users named in a root-owned file, one per line, by
 * name or uid. Each gets a socket of their own (mode 0600), so the socket tells who is calling.
 */
import { readFile } from 'node:fs/promises';
import { CoppiceError } from '../../protocol/errors.ts';
import { run } from './run.ts';

/** A host account that a machine's monitor runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const usersFile = '/etc/coppice/users';

/** @throws CoppiceError `invalid_input` naming the line that no account matches */
export async function allowedUids(
  file = process.env['COPPICE_USERS'] ?? usersFile,
): Promise<number[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const uids = new Set<number>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.replace(/#.*/, '').trim();
    if (line !== '') uids.add(await uidOf(line, `${file}:${String(index + 1)}`));
  }
  uids.delete(0);
  return [...uids];
}

async function uidOf(user: string, where: string): Promise<number> {
  if (/^[A-Za-z0-9._-]{1,64}$/.test(user)) {
    const entry = await run('getent', ['passwd', user]).catch(() => undefined);
    const uid = Number(entry?.stdout.split(':')[2]);
    if (Number.isInteger(uid)) return uid;
  }
  throw new CoppiceError({
    code: 'invalid_input',
    message: `${where}: there is no account ${JSON.stringify(user.slice(0, 64))}.`,
    next: 'Name one existing user or uid per line.',
  });
}
