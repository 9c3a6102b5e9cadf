/** Replacing text in a note, everywhere it occurs. */
import type { InputOf } from '../../protocol/operations.ts';
import { vaultLimits } from '../../protocol/operations/vault.ts';
import { changeText, type View } from './change.ts';
import { invalidField, noteTooLarge } from './errors.ts';
import { withPattern } from './regex.ts';

/** @returns how many. @throws CoppiceError */
export async function replaceIn(view: View, input: InputOf<'vault_replace'>): Promise<number> {
  const { path, old_string: old, new_string: replacement, regex = false } = input;
  let count = 0;
  if (!regex) {
    await changeText(view, path, 'replace', (text) => {
      const pieces = text.split(old);
      count = pieces.length - 1;
      const bytes =
        Buffer.byteLength(text) + count * (Buffer.byteLength(replacement) - Buffer.byteLength(old));
      if (bytes > vaultLimits.noteBytes) throw noteTooLarge(path, bytes);
      return pieces.join(replacement);
    });
    return count;
  }
  if (Buffer.byteLength(old) > vaultLimits.queryBytes) {
    throw invalidField(
      'old_string',
      `a pattern has at most ${String(vaultLimits.queryBytes)} bytes`,
    );
  }
  await withPattern(
    old,
    (pattern) =>
      changeText(view, path, 'replace', async (text) => {
        const replaced = await pattern.replace(text, replacement);
        count = replaced.count;
        if (replaced.text === null) throw noteTooLarge(path, vaultLimits.noteBytes + 1);
        return replaced.text;
      }),
    'old_string',
  );
  return count;
}
