/** Ed25519 keys in OpenSSH's own format, made when they are first needed. */
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { ParsedKey } from 'ssh2';
import keyParser from 'ssh2/lib/protocol/keyParser.js';
import { CoppiceError } from '../../../protocol/errors.ts';
import { replaceFile } from './files.ts';
import { newPrivateKey } from './keyFormat.ts';

/** Undefined where there is no such file. */
export async function readKey(file: string): Promise<ParsedKey | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unusable(file, error);
  }
  const key = keyParser.parseKey(text);
  if (key instanceof Error || !key.isPrivateKey()) throw unusable(file, key);
  return key;
}

/**
 * The key of this file, made where there is none. The caller holds the folder's lock.
 * @throws CoppiceError `file_error` when the file holds no private key
 */
export async function ensureKey(file: string, comment: string): Promise<ParsedKey> {
  const known = await readKey(file);
  if (known !== undefined) return known;
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  await replaceFile(file, newPrivateKey(comment), 0o600);
  return ensureKey(file, comment);
}

/** `ssh-ed25519 AAAA…`: as in a known_hosts file. */
export function publicText(key: ParsedKey): string {
  return `${key.type} ${key.getPublicSSH().toString('base64')}`;
}

function unusable(file: string, cause: unknown): CoppiceError {
  return new CoppiceError(
    {
      code: 'file_error',
      message: `${file} cannot be read as a private key: ${cause instanceof Error ? cause.message : 'it holds none'}`,
      next: 'Remove it: a new one is made. The host key of a machine is also in known_hosts beside it.',
      details: { file },
    },
    { cause },
  );
}
