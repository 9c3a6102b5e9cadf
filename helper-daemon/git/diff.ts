/** git diff in a place. */
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import { redact } from '../system/redact.ts';
import { gitFailure } from './git.ts';
import type { GitHost, HostOutput } from './host.ts';
import { openRepository, tryInRepository, type Repository } from './repository.ts';
import { cutText } from './text.ts';

/** So much more is read than shown, so that a secret across the cut is seen as one. */
const margin = 8192;
const statBytes = 65_536;
const mark = '\n[TRUNCATED]';

/** @throws CoppiceError `git_error` */
export async function showDiff(
  host: GitHost,
  input: Omit<ParsedInputOf<'git_diff'>, 'workspace_id'>,
): Promise<OutputOf<'git_diff'>> {
  const repository = await openRepository(host, input.path);
  const shown = async (more: readonly string[], max: number): Promise<Cut> =>
    cutOutput(await diffOutput(repository, input, more, max + margin), max);
  if (input.stat) {
    const { text, truncated } = await shown(['--stat'], input.max_bytes);
    return { diff: text, truncated };
  }
  const { text, truncated } = await shown([], input.max_bytes);
  return { diff: text, truncated, stat: (await shown(['--stat'], statBytes)).text };
}

interface Cut {
  readonly text: string;
  readonly truncated: boolean;
}

async function diffOutput(
  repository: Repository,
  { staged, file_path }: Pick<ParsedInputOf<'git_diff'>, 'staged' | 'file_path'>,
  more: readonly string[],
  keepBytes: number,
): Promise<HostOutput> {
  const result = await tryInRepository(
    repository,
    [
      // A path is a path, not a pattern.
      '--literal-pathspecs',
      'diff',
      '--no-ext-diff',
      ...(staged ? ['--staged'] : []),
      ...more,
      '--',
      ...(file_path === undefined ? [] : [file_path]),
    ],
    { reading: true, keepBytes },
  );
  if (result.exitCode !== 0) throw gitFailure(repository.host, 'diff', result);
  return result.stdout;
}

function cutOutput({ bytes, truncated }: HostOutput, max: number): Cut {
  const { text, cut } = cutText(redact(bytes.toString('utf8')), max);
  return cut || truncated ? { text: text + mark, truncated: true } : { text, truncated: false };
}
