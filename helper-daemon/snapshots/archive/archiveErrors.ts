/** What is wrong with archives, as errors that say what and where. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { TarFault } from '../../system/tar/tarFormat.ts';

/** @param where entry of the archive, or place in its description */
export function archiveInvalid(problem: string, where?: string, cause?: unknown): CoppiceError {
  return new CoppiceError(
    {
      code: 'archive_invalid',
      message: `The archive cannot be used: ${where === undefined ? '' : `${where}: `}${problem}.`,
      next: 'Nothing was made from it. Fetch the archive again, or export it anew.',
      ...(where === undefined ? {} : { details: { where } }),
    },
    { cause },
  );
}

const faults: Readonly<Record<TarFault, string>> = {
  empty: 'it is empty',
  truncatedEntry: 'it ends too early',
  truncatedContent: 'it ends in the middle of a file',
  checksum: 'the checksum of a header is wrong',
  number: 'a number in a header is damaged',
  largeNumber: 'a number in a header is too large',
  size: 'the size of a file is damaged',
  pax: 'an extended header is damaged',
  longExtension: 'an extended header is far too long',
  sparse: 'it has a sparse file',
  type: 'it has an entry of an unknown type',
};

export function tarFault(fault: TarFault): CoppiceError {
  return archiveInvalid(faults[fault]);
}

/** A decompressor's complaint as one of ours; everything else unchanged. */
export function asArchiveError(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code === 'Z_BUF_ERROR') return archiveInvalid('it ends too early', undefined, error);
  if (typeof code === 'string' && /^(ZSTD_|Z_|ERR_ZSTD|ERR_ZLIB)/.test(code)) {
    return archiveInvalid('its compressed data is damaged or of another kind', undefined, error);
  }
  return error;
}
