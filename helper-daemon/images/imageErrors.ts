/** One factory per error of building and importing images. */
import { CoppiceError } from '../../protocol/errors.ts';

export function imageInvalid(what: string, next?: string): CoppiceError {
  return new CoppiceError({
    code: 'image_invalid',
    message: what,
    next:
      next ??
      'Give a root file system as tar (plain, gzip, xz, zstd), an OCI layout, a docker save archive, or a qcow2 or raw disk with ext4.',
  });
}

export function imageCorrupt(
  what: string,
  details?: Readonly<Record<string, unknown>>,
): CoppiceError {
  return new CoppiceError({
    code: 'image_corrupt',
    message: what,
    next: 'Fetch or build the image again; the copy at hand is damaged or incomplete.',
    ...(details === undefined ? {} : { details }),
  });
}

export function imageTooLarge(what: string, limit: number): CoppiceError {
  return new CoppiceError({
    code: 'limit_exceeded',
    message: what,
    next: 'Use a smaller image, or raise the import limit.',
    details: { limit },
  });
}

export function sourceMissing(path: string): CoppiceError {
  return new CoppiceError({
    code: 'file_not_found',
    message: `There is no file or directory ${path}.`,
    next: 'Check the path; it is looked up on the host, not in a workspace.',
    details: { path },
  });
}

/** Sizes only where they are known: a write that failed does not say how much was missing. */
export function noSpace(
  where: string,
  sizes?: { readonly needed: number; readonly available: number },
): CoppiceError {
  return new CoppiceError({
    code: 'no_space',
    message:
      sizes === undefined
        ? `The disk that holds ${where} is full.`
        : `${where} has ${mebibytes(sizes.available)} MiB free; ${mebibytes(sizes.needed)} MiB are needed.`,
    next: 'Free some space there and try again; what was begun has been removed.',
    details: { where, ...sizes },
  });
}

export function bootAssetsMissing(why: string): CoppiceError {
  return new CoppiceError({
    code: 'boot_assets_missing',
    message: `The guest kernel and initramfs are not ready: ${why}`,
    next: 'Run npm run quickstart in the Coppice checkout; it builds what is missing and keeps the rest.',
  });
}

export function prerequisiteMissing(what: string, next: string): CoppiceError {
  return new CoppiceError({ code: 'prerequisite_missing', message: what, next });
}

export function invalidInput(what: string, next?: string): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: what,
    ...(next === undefined ? {} : { next }),
  });
}

export function cancelled(what: string): CoppiceError {
  return new CoppiceError({ code: 'cancelled', message: `${what} was cancelled.` });
}

export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted === true) throw cancelled(what);
}

/** ENOSPC from anywhere below as the error a person can act on; everything else unchanged. */
export function withSpaceError(error: unknown, where: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code === 'ENOSPC' || code === 'EDQUOT') return noSpace(where);
  return error;
}

function mebibytes(bytes: number): string {
  return String(Math.round(bytes / (1024 * 1024)));
}
