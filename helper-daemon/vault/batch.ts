/** Reading several notes at once. */
import type { InputOf, OutputOf } from '../../protocol/operations.ts';
import { asCoppiceError, CoppiceError } from '../../protocol/errors.ts';
import { vaultLimits } from '../../protocol/operations/vault.ts';
import type { Vault } from './vault.ts';

type BatchNote = OutputOf<'vault_batch_read'>['notes'][number];

/** One note that cannot be read does not spoil the others. @throws CoppiceError `limit_exceeded` */
export async function readEach(
  input: InputOf<'vault_batch_read'>,
  read: Vault['read'],
): Promise<BatchNote[]> {
  const { paths, include_content = true, include_frontmatter = true } = input;
  if (paths.length > vaultLimits.batchPaths) {
    throw new CoppiceError({
      code: 'limit_exceeded',
      message: `${String(paths.length)} paths: at most ${String(vaultLimits.batchPaths)} notes are read at once.`,
      next: 'Make several calls.',
    });
  }
  const notes: BatchNote[] = [];
  let left: number = vaultLimits.replyBytes;
  for (const path of paths) {
    try {
      const note = await read(path);
      const size = include_content ? Buffer.byteLength(note.content) : 0;
      // The first one always fits: alone it would have been read, too.
      if (size > left && notes.length > 0) {
        notes.push(failed(path, 'The reply would become too large with it: read it alone.'));
        continue;
      }
      left -= size;
      notes.push({
        path: note.path,
        content: include_content ? note.content : null,
        frontmatter: include_frontmatter ? note.frontmatter : null,
        error: null,
      });
    } catch (error) {
      notes.push(failed(path, asCoppiceError(error).message));
    }
  }
  return notes;
}

function failed(path: string, error: string): BatchNote {
  return { path, content: null, frontmatter: null, error };
}
