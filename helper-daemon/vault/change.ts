/** Changes of notes: one at a time for each note, the former content kept, the new one there in one step. */
import { CoppiceError } from '../../protocol/errors.ts';
import { vaultLimits } from '../../protocol/operations/vault.ts';
import type { VaultStore } from '../store/vaultStore.ts';
import { inDirectory, type Directory } from './beneath.ts';
import { noteTaken, noteTooLarge, noSuchNote, notANote } from './errors.ts';
import type { History, Reason } from './history.ts';
import {
  readNoteFile,
  removeNoteFile,
  renameNoteFile,
  replaceNoteFile,
  stampNow,
  type NoteFile,
} from './noteFile.ts';
import type { PathLocks } from './pathLocks.ts';
import { resolvePath, shownPath, split, type Scope } from './paths.ts';
import { requireText } from './text.ts';

/** Shared by all views of one vault. */
export interface VaultCore {
  readonly store: VaultStore;
  readonly locks: PathLocks;
  readonly history: History;
  readonly extensions: readonly string[];
}

/** The part of a vault that its caller sees. */
export interface View extends Scope {
  readonly core: VaultCore;
}

/** How often a change is made again when another program has written to the note meanwhile. */
const attempts = 3;

/** A note where callers may have one. @throws CoppiceError `vault_error` */
export function notePlace(
  view: View,
  given: string,
): { readonly path: string; readonly folder: string; readonly name: string } {
  const path = resolvePath(view, given);
  if (path === view.folder) throw notANote(given, 'the whole vault');
  return { path, ...split(path) };
}

/** @throws CoppiceError `file_not_found`, `vault_error`, `permission_denied`, `limit_exceeded` */
export async function readBytes(view: View, given: string): Promise<NoteFile> {
  const { folder, name } = notePlace(view, given);
  return inView(view, given, () =>
    inDirectory(view.root, folder, {}, (directory) => readNoteFile(directory, name)),
  );
}

/** Undefined leaves the note as it is. */
export type Change = (former: Buffer | null) => Promise<Buffer | undefined> | Buffer | undefined;

/**
 * Gives a note another content. `change` may be asked again when another program was faster.
 * @returns the bytes it has now, and whether they were changed and it was there before
 * @throws CoppiceError
 */
export async function changeNote(
  view: View,
  given: string,
  reason: Reason,
  change: Change,
): Promise<{ readonly bytes: number; readonly changed: boolean; readonly created: boolean }> {
  const { path, folder, name } = notePlace(view, given);
  const { locks, history } = view.core;
  return inView(view, given, () =>
    locks.run([path], async () => {
      for (let attempt = 1; ; attempt += 1) {
        const former = await formerContent(view.root, path);
        const next = await change(former?.bytes ?? null);
        const bytes = next?.length ?? former?.bytes.length ?? 0;
        const same = next === undefined || former?.bytes.equals(next) === true;
        if (same) return { bytes, changed: false, created: false };
        if (bytes > vaultLimits.noteBytes) throw noteTooLarge(path, bytes);
        if (former !== null) await history.keep(path, former.bytes, reason);
        try {
          await inDirectory(view.root, folder, { create: true }, (directory) =>
            replaceNoteFile(directory, name, next, former),
          );
          return { bytes, changed: true, created: former === null };
        } catch (error) {
          const again = error instanceof CoppiceError && error.code === 'busy';
          if (!again || attempt === attempts) throw error;
        }
      }
    }),
  );
}

/** As `changeNote`, for notes that are there and are text. @throws CoppiceError */
export async function changeText(
  view: View,
  given: string,
  reason: Reason,
  change: (former: string) => Promise<string> | string,
): Promise<{ readonly changed: boolean; readonly text: string }> {
  let text = '';
  const { changed } = await changeNote(view, given, reason, async (bytes) => {
    if (bytes === null) throw noSuchNote(given);
    const former = requireText(bytes, given);
    text = await change(former);
    return text === former ? undefined : Buffer.from(text);
  });
  return { changed, text };
}

/** Null: there is no such note. @throws CoppiceError */
async function formerContent(root: string, path: string): Promise<NoteFile | null> {
  const { folder, name } = split(path);
  try {
    return await inDirectory(root, folder, {}, (directory) => readNoteFile(directory, name));
  } catch (error) {
    if (error instanceof CoppiceError && error.code === 'file_not_found') return null;
    throw error;
  }
}

/** @throws CoppiceError */
export async function removeNote(view: View, given: string): Promise<void> {
  const { path, folder, name } = notePlace(view, given);
  await inView(view, given, () =>
    view.core.locks.run([path], () =>
      inDirectory(view.root, folder, {}, async (directory) => {
        await keepFile(view, directory, name, path, 'delete');
        await removeNoteFile(directory, name);
      }),
    ),
  );
}

/** @throws CoppiceError `file_exists` and what else there is */
export async function moveNote(
  view: View,
  given: string,
  givenTarget: string,
  overwrite: boolean,
): Promise<void> {
  const from = notePlace(view, given);
  const to = notePlace(view, givenTarget);
  const { locks, history } = view.core;
  await inView(view, given, () =>
    locks.run([from.path, to.path], () =>
      inDirectory(view.root, from.folder, {}, async (source) => {
        if ((await stampNow(source, from.name)) === null) throw noSuchNote(from.path);
        await inDirectory(view.root, to.folder, { create: true }, async (target) => {
          const taken = (await stampNow(target, to.name)) !== null;
          if (taken && !overwrite) throw noteTaken(to.path);
          if (from.path === to.path) return;
          if (taken) await keepFile(view, target, to.name, to.path, 'move');
          await renameNoteFile([source, from.name], [target, to.name]);
          history.move(from.path, to.path);
        });
      }),
    ),
  );
}

/** What is no note to read (too large for one) leaves no version; it may be removed all the same. */
export async function keepFile(
  { core }: View,
  directory: Directory,
  name: string,
  path: string,
  reason: Reason,
): Promise<void> {
  try {
    const { bytes } = await readNoteFile(directory, name);
    await core.history.keep(path, bytes, reason);
  } catch (error) {
    if (!(error instanceof CoppiceError && error.code === 'limit_exceeded')) throw error;
  }
}

/** Failures name paths as the caller knows them, and the note where only a folder on its way is missing. */
async function inView<T>(view: View, given: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof CoppiceError)) throw error;
    if (error.code === 'file_not_found') throw noSuchNote(given);
    if (view.folder === '') throw error;
    const body = error.toBody();
    const message = body.message.replaceAll(`'${view.folder}/`, "'");
    const path: unknown = body.details?.['path'];
    const details =
      typeof path === 'string' && path.startsWith(`${view.folder}/`)
        ? { details: { ...body.details, path: shownPath(view, path) } }
        : {};
    throw new CoppiceError({ ...body, message, ...details }, { cause: error });
  }
}
