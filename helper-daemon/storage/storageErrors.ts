/** One factory per error of the storage backends. */
import { CoppiceError, asCoppiceError } from '../../protocol/errors.ts';

export function noSpace(what: string, where: string, cause?: unknown): CoppiceError {
  return new CoppiceError(
    {
      code: 'no_space',
      message: `${what}: no space left in ${where}. Nothing was changed.`,
      next: 'Delete snapshots or workspaces that are no longer needed, or give the storage more room.',
      details: { where },
    },
    { cause },
  );
}

export function layerMissing(locator: string): CoppiceError {
  return new CoppiceError({
    code: 'layer_missing',
    message: `The disk ${locator} is not in the storage any more.`,
    next: 'Restore the state directory from a backup, or delete what stands on this disk.',
    details: { locator },
  });
}

export function layerCorrupt(locator: string, problem: string): CoppiceError {
  return new CoppiceError({
    code: 'layer_corrupt',
    message: `The disk ${locator} is damaged: ${problem}.`,
    next: 'Restore a snapshot that does not stand on it, or the state directory from a backup.',
    details: { locator },
  });
}

export function imageMissing(path: string): CoppiceError {
  return new CoppiceError({
    code: 'image_missing',
    message: `The image file ${path} is gone or cannot be read.`,
    next: 'Build or import the image again.',
    details: { path },
  });
}

export function archiveInvalid(problem: string): CoppiceError {
  return new CoppiceError({
    code: 'archive_invalid',
    message: `A disk of the archive cannot be used: ${problem}.`,
    next: 'Export it again with this version of Coppice, or fetch the archive anew.',
  });
}

/** Locators come from our own records: one that has another form is a fault of ours or a forged record. */
export function badLocator(locator: string, storage: string): CoppiceError {
  return new CoppiceError({
    code: 'internal',
    message: `${JSON.stringify(locator.slice(0, 200))} names no disk of the ${storage} storage.`,
    next: 'The workspace records may be damaged; report this as a bug.',
  });
}

export function diskTooSmall(baseBytes: number): CoppiceError {
  const needed = Math.ceil(baseBytes / 1024 ** 3);
  return new CoppiceError({
    code: 'invalid_input',
    message: `The disk cannot be smaller than what it stands on (${String(needed)} GiB).`,
    next: `Ask for disk_gb ${String(needed)} or more.`,
  });
}

export function errnoOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** True for every way in which system calls, qemu-img and zfs say that a disk is full. */
export function saysNoSpace(error: unknown): boolean {
  const code = errnoOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'no_space') return true;
  if (code !== 'command_failed') return false;
  return /No space left on device|quota exceeded|out of space/i.test(asCoppiceError(error).message);
}

/** Does something that takes space; a full disk becomes `no_space` with what and where. */
export async function orNoSpace<T>(
  what: string,
  where: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (saysNoSpace(error) && errnoOf(error) !== 'no_space') throw noSpace(what, where, error);
    throw error;
  }
}
