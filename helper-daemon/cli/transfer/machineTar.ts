/** The tar that a machine sends: what is stricter for it than for any tar, and its errors. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { TarFault } from '../../system/tar/tarFormat.ts';
import { readTar, type TarEntry } from '../../system/tar/tarReader.ts';

/** Names and link targets; the kernel takes no longer ones. */
const longestName = 4096;

export async function* readMachineTar(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<TarEntry, void, undefined> {
  for await (const entry of readTar(source, refusal)) {
    if (!entry.hasMagic) throw badTar('a header is neither pax nor GNU');
    if (entry.name.length > longestName || entry.link.length > longestName) {
      throw badTar('a name is too long');
    }
    const isDirectory = entry.kind === 'file' && entry.name.endsWith('/');
    yield isDirectory ? { ...entry, kind: 'directory' } : entry;
  }
}

export function badTar(why: string): CoppiceError {
  return new CoppiceError({
    code: 'file_error',
    message: `The archive from the machine is not valid: ${why}.`,
    next: 'Nothing of it can be trusted. Look into the machine with coppice exec, and try again.',
  });
}

const reasons: Readonly<Record<Exclude<TarFault, 'type'>, string>> = {
  empty: 'it ends in the middle',
  truncatedEntry: 'it ends in the middle',
  truncatedContent: 'it ends in the middle',
  checksum: 'a header has a wrong checksum',
  number: 'a number in a header is malformed',
  largeNumber: 'a number in a header is too large',
  size: 'a size is malformed',
  pax: 'a pax record is malformed',
  longExtension: 'an extended header is too long',
  sparse: 'it holds a sparse file in a form that is not supported',
};

function refusal(fault: TarFault, typeflag = ''): CoppiceError {
  return badTar(
    fault === 'type'
      ? `it holds an entry of unknown type ${JSON.stringify(typeflag)}`
      : reasons[fault],
  );
}
