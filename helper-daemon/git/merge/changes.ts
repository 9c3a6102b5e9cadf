/** What lies between two commits, file by file. */
import type { MergeFileChange } from '../../../protocol/operations/merge.ts';
import { fieldsOf, pathText } from '../text.ts';
import type { Workbench } from './workbench.ts';

/** Files that one source's list shows at most. */
const listedFiles = 1000;

const kinds: Readonly<Record<string, MergeFileChange['change']>> = {
  A: 'added',
  M: 'modified',
  D: 'deleted',
  R: 'renamed',
  C: 'copied',
  T: 'type_changed',
};

export async function changedFiles(
  bench: Workbench,
  from: string,
  to: string,
): Promise<{ readonly files: MergeFileChange[]; readonly files_truncated?: true }> {
  const args = ['diff-tree', '-r', '-z', '--name-status', '--find-renames', from, to];
  const fields = fieldsOf(await bench.run(args))[Symbol.iterator]();
  const files: MergeFileChange[] = [];
  for (const status of fields) {
    const change = kinds[String.fromCharCode(status[0] ?? 0)] ?? 'modified';
    const moved = change === 'renamed' || change === 'copied';
    const before = moved ? nextText(fields) : undefined;
    const path = nextText(fields);
    if (files.length === listedFiles) return { files, files_truncated: true };
    files.push({ path, change, ...(before === undefined ? {} : { from: before }) });
  }
  return { files };
}

function nextText(fields: Iterator<Buffer, unknown>): string {
  const { value, done } = fields.next();
  return done === true ? '' : pathText(value);
}
