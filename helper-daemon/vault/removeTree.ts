/** Takes away a folder with everything below it. What notes held stays in their history. */
import { readdir, rmdir, unlink } from 'node:fs/promises';
import { CoppiceError } from '../../protocol/errors.ts';
import { inChild, inDirectory, type Directory } from './beneath.ts';
import { keepFile, type View } from './change.ts';
import { errnoOf, explained, vaultError } from './errors.ts';
import { join, resolvePath, split } from './paths.ts';

/** Nothing where there is no such folder. @throws CoppiceError */
export async function removeFolder(view: View, given: string): Promise<void> {
  const path = resolvePath(view, given);
  if (path === view.folder) throw vaultError('The vault itself cannot be removed.');
  const { folder, name } = split(path);
  try {
    await inDirectory(view.root, folder, {}, (parent) => removeChild(view, parent, name));
  } catch (error) {
    if (error instanceof CoppiceError && error.code === 'file_not_found') return;
    throw error;
  }
}

async function removeChild(view: View, parent: Directory, name: string): Promise<void> {
  try {
    await inChild(parent, name, (directory) => empty(view, directory));
    await rmdir(parent.entry(name));
  } catch (error) {
    throw explained(error, join(parent.path, name));
  }
}

async function empty(view: View, directory: Directory): Promise<void> {
  for (const entry of await readdir(directory.entry('.'), { withFileTypes: true })) {
    if (entry.isDirectory()) await removeChild(view, directory, entry.name);
    else await removeFile(view, directory, entry.name, entry.isFile());
  }
}

async function removeFile(
  view: View,
  directory: Directory,
  name: string,
  isNote: boolean,
): Promise<void> {
  const path = join(directory.path, name);
  await view.core.locks.run([path], async () => {
    try {
      if (isNote) await keepFile(view, directory, name, path, 'delete');
      await unlink(directory.entry(name));
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw explained(error, path);
    }
  });
}
