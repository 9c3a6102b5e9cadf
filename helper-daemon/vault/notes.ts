/** The notes of a view: which files count, lists of them, and figures. */
import type { InputOf, OutputOf } from '../../protocol/operations.ts';
import { vaultLimits } from '../../protocol/operations/vault.ts';
import { CoppiceError } from '../../protocol/errors.ts';
import type { View } from './change.ts';
import { noSuchFolder, vaultError } from './errors.ts';
import { comparePaths, hasExtension, resolvePath, shownPath, split } from './paths.ts';
import { walk, type Found, type FoundFile } from './walk.ts';

/**
 * Everything below a folder of the view; nothing for a view that nobody has written to yet.
 * @throws CoppiceError `file_not_found`, `vault_error`
 */
export async function walkView(view: View, folder: string, recursive: boolean): Promise<Found> {
  try {
    return await walk(view.root, folder, { excluded: view.excluded, recursive });
  } catch (error) {
    const missing = error instanceof CoppiceError && error.code === 'file_not_found';
    if (missing && folder === view.folder) return { files: [], folders: [] };
    throw error;
  }
}

/**
 * All notes below a folder, sorted by path, or the one note that the prefix names.
 * @throws CoppiceError `file_not_found`
 */
export async function findNotes(
  view: View,
  prefix: string | undefined,
): Promise<{ readonly folder: string; readonly files: readonly FoundFile[] }> {
  const folder = prefix === undefined ? view.folder : resolvePath(view, prefix);
  try {
    const { files } = await walkView(view, folder, true);
    return { folder, files: files.filter((file) => isNote(view, file)) };
  } catch (error) {
    const { files } = await walkView(view, split(folder).folder, false).catch(() => ({
      files: [],
    }));
    const one = files.filter(({ path }) => path === folder);
    if (one.length === 0) throw ofFolder(error, prefix ?? '');
    return { folder, files: one };
  }
}

/** What a folder that cannot be looked into is called by its caller. */
function ofFolder(error: unknown, given: string): unknown {
  if (!(error instanceof CoppiceError)) return error;
  if (error.code === 'file_not_found') return noSuchFolder(given);
  return error.details?.['reason'] === 'not_a_folder'
    ? vaultError(`'${given}' is a note, not a folder.`)
    : error;
}

function isNote({ core }: View, { path }: FoundFile): boolean {
  return hasExtension(path, core.extensions);
}

/** @throws CoppiceError `file_not_found`, `vault_error` when it is no folder */
export async function listNotes(
  view: View,
  { path: given, recursive = false }: InputOf<'vault_list'>,
): Promise<OutputOf<'vault_list'>> {
  const folder = given === undefined ? view.folder : resolvePath(view, given);
  const found = await walkView(view, folder, recursive).catch((error: unknown) => {
    throw ofFolder(error, given ?? '');
  });
  const notes = found.files
    .filter((file) => isNote(view, file))
    .map(({ path, bytes }) => ({ path: shownPath(view, path), is_dir: false, size: bytes }));
  const folders = found.folders.map((path) => ({
    path: shownPath(view, path),
    is_dir: true,
    size: null,
  }));
  const entries = recursive
    ? notes
    : [...notes, ...folders].sort((a, b) => comparePaths(a.path, b.path));
  const kept = entries.slice(0, vaultLimits.entries);
  return {
    path: shownPath(view, folder) || '/',
    recursive,
    count: kept.length,
    entries: kept,
    truncated: kept.length < entries.length,
  };
}

export async function noteStats(view: View, recentCount: number): Promise<OutputOf<'vault_stats'>> {
  const found = await walkView(view, view.folder, true);
  const notes = found.files.filter((file) => isNote(view, file));
  const recent = [...notes].sort((a, b) => b.modified - a.modified || comparePaths(a.path, b.path));
  return {
    total_notes: notes.length,
    total_folders: found.folders.length,
    total_size_bytes: notes.reduce((sum, { bytes }) => sum + bytes, 0),
    recent_files: recent.slice(0, recentCount).map(({ path, bytes, modified }) => ({
      path: shownPath(view, path),
      size_bytes: bytes,
      modified: new Date(modified).toISOString(),
    })),
  };
}
