/** Where the files of an archive wait until it is known whether all of it is sound. */
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { orNoSpace } from '../../storage/storageErrors.ts';
import { makeDirectory } from '../../system/directory.ts';
import { requireDisk } from '../../workspaces/admission.ts';
import type { ArchiveEntry } from './entries.ts';
import type { EntrySink } from './readArchive.ts';

export interface UnpackDirectory {
  /** The file of an entry; its name comes from nothing the archive says. */
  file(entry: ArchiveEntry): string;
  sink(entry: ArchiveEntry): Promise<EntrySink>;
  remove(): Promise<void>;
}

/** What is written between two looks at the free space, which others use up too. */
const lookEvery = 64 * 1024 ** 2;

/** Within the directory of the workspace that is to be: it goes with that, also after a crash. */
export async function unpackDirectory(workspaceDirectory: string): Promise<UnpackDirectory> {
  const directory = path.join(workspaceDirectory, 'unpack');
  await makeDirectory(directory, 0o700);
  const files = new Map<string, string>();

  function file({ name }: ArchiveEntry): string {
    const known = files.get(name) ?? path.join(directory, String(files.size));
    files.set(name, known);
    return known;
  }

  return {
    file,
    async sink(entry) {
      const target = file(entry);
      const handle = await open(target, 'wx', 0o600);
      let unlooked = 0;
      const write = async (chunk: Uint8Array): Promise<void> => {
        unlooked += chunk.length;
        if (unlooked > lookEvery) {
          await requireDisk(directory);
          unlooked = 0;
        }
        await orNoSpace('The archive could not be unpacked', directory, () =>
          handle.writeFile(chunk),
        );
      };
      return { write, close: () => handle.close() };
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
