/** One factory per failure of the vault, and the file system's failures in its words. */
import { CoppiceError } from '../../protocol/errors.ts';
import { vaultLimits } from '../../protocol/operations/vault.ts';

export function vaultError(message: string, next?: string): CoppiceError {
  return new CoppiceError({
    code: 'vault_error',
    message,
    ...(next === undefined ? {} : { next }),
  });
}

export function vaultOff(): CoppiceError {
  return new CoppiceError({
    code: 'wrong_state',
    message: 'The vault is switched off on this daemon.',
    next: 'Set vault.enabled in its configuration.',
  });
}

export function vaultMissing(root: string, cause: unknown): CoppiceError {
  return new CoppiceError(
    {
      code: 'wrong_state',
      message: `The directory of the vault, ${root}, cannot be opened.`,
      next: 'Make the directory, or correct vault.path in the configuration.',
    },
    { cause },
  );
}

export function missingField(field: string, action: string): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: `${field}: is required to ${action}`,
    next: `Give ${field}.`,
  });
}

export function invalidField(field: string, problem: string): CoppiceError {
  return new CoppiceError({ code: 'invalid_input', message: `${field}: ${problem}` });
}

export function noSuchNote(path: string): CoppiceError {
  return new CoppiceError({
    code: 'file_not_found',
    message: `There is no note '${path}' in the vault.`,
    next: 'vault list shows what there is.',
    details: { path },
  });
}

export function noSuchFolder(path: string): CoppiceError {
  return new CoppiceError({
    code: 'file_not_found',
    message: `There is no folder '${path}' in the vault.`,
    next: 'vault list shows what there is.',
    details: { path },
  });
}

export function notANote(path: string, kind: string): CoppiceError {
  return vaultError(`'${path}' is ${kind}, not a note.`, 'Give the path of a file.');
}

export function symbolicLink(path: string): CoppiceError {
  return vaultError(
    `'${path}' is a symbolic link; the vault follows none.`,
    'Give the path the link leads to, if that is in the vault.',
  );
}

export function noteTaken(path: string): CoppiceError {
  return new CoppiceError({
    code: 'file_exists',
    message: `There is a note '${path}' already.`,
    next: 'Choose another path, or set overwrite.',
    details: { path },
  });
}

export function noteTooLarge(path: string, bytes: number): CoppiceError {
  return new CoppiceError({
    code: 'limit_exceeded',
    message: `'${path}' would have ${String(bytes)} bytes; a note has at most ${String(vaultLimits.noteBytes)} (10 MiB).`,
    next: 'Split it into several notes.',
    details: { path, bytes, limit: vaultLimits.noteBytes },
  });
}

export function notText(path: string): CoppiceError {
  return vaultError(
    `'${path}' is not text (UTF-8).`,
    'The vault reads and changes text only; it can move, delete or overwrite this file.',
  );
}

export function changedMeanwhile(path: string): CoppiceError {
  return new CoppiceError({
    code: 'busy',
    message: `Another program keeps changing '${path}'; it was left as it is.`,
    next: 'Try again.',
  });
}

const known: Readonly<Record<string, (path: string) => CoppiceError>> = {
  ENOENT: noSuchNote,
  EISDIR: (path) => notANote(path, 'a folder'),
  ENXIO: (path) => notANote(path, 'a special file'),
  ENOTDIR: fileOnTheWay,
  ELOOP: symbolicLink,
  ENAMETOOLONG: (path) => vaultError(`A name in '${path}' is too long for the file system.`),
  EACCES: denied,
  EPERM: denied,
  EROFS: denied,
  ENOSPC: full,
  EDQUOT: full,
};

function fileOnTheWay(path: string): CoppiceError {
  return new CoppiceError({
    code: 'vault_error',
    message: `A folder on the way to '${path}' is a file.`,
    details: { path, reason: 'not_a_folder' },
  });
}

function denied(path: string): CoppiceError {
  return new CoppiceError({
    code: 'permission_denied',
    message: `The daemon may not do this with '${path}' in the vault.`,
    next: 'Check owner and permissions of the file and its folder.',
  });
}

function full(path: string): CoppiceError {
  return new CoppiceError({
    code: 'no_space',
    message: `No space is left for '${path}' in the vault; it was left as it is.`,
    next: 'Free some space on the file system of the vault.',
  });
}

/** The name of the errno of a failed system call; empty for anything else. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : '';
}

/** A failure of the file system about `path` in the words of the vault; anything else as it is. */
export function explained(error: unknown, path: string): unknown {
  if (error instanceof CoppiceError) return error;
  const code = errnoOf(error);
  const explain = Object.hasOwn(known, code) ? known[code] : undefined;
  if (explain !== undefined) return explain(path);
  return code === '' ? error : vaultError(`'${path}': ${(error as Error).message}`);
}
