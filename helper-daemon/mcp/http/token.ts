/** The bearer token of the HTTP server: whoever has it may do what this account may do. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { CoppiceError } from '../../../protocol/errors.ts';

/** Shorter ones could be guessed. */
const leastLength = 32;
const mostLength = 512;

export function newToken(): string {
  return randomBytes(32).toString('base64url');
}

/**
 * The token in `file`, which is made where it does not exist.
 * @throws CoppiceError `permission_denied` when others may read it, `invalid_input` when it holds none
 */
export async function tokenFrom(file: string): Promise<string> {
  const made = await makeFile(file);
  if (made !== undefined) return made;
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch(
    (error: unknown) => {
      throw unusable(file, error instanceof Error ? error.message : String(error));
    },
  );
  try {
    const { mode, uid, size } = await handle.stat();
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw unusable(file, 'it is no file');
    if ((mode & 0o077) !== 0 || uid !== process.getuid?.()) {
      throw new CoppiceError({
        code: 'permission_denied',
        message: `The token file ${file} is not yours alone.`,
        next: `chmod 600 ${file}, and a new token in it if others could read it.`,
      });
    }
    const token = size > mostLength ? '' : (await handle.readFile('utf8')).trim();
    if (token.length < leastLength || !/^[\x21-\x7e]+$/.test(token)) {
      throw unusable(
        file,
        `it must hold ${String(leastLength)} to ${String(mostLength)} printable characters without spaces`,
      );
    }
    return token;
  } finally {
    await handle.close();
  }
}

/** Undefined when the file is there already. */
async function makeFile(file: string): Promise<string | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw unusable(file, error instanceof Error ? error.message : String(error));
  }
  try {
    const token = newToken();
    await handle.writeFile(`${token}\n`);
    await handle.sync();
    return token;
  } finally {
    await handle.close();
  }
}

function unusable(file: string, why: string): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: `The token file ${file} cannot be used: ${why}.`,
    next: 'Name a file that does not exist yet: a token is put into it.',
  });
}

/** Takes the same time whatever is sent. */
export function tokenChecker(token: string): (authorization: string | undefined) => boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const wanted = digest(token);
  return (authorization) => {
    const sent = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1] ?? '';
    return timingSafeEqual(digest(sent), wanted);
  };
}
