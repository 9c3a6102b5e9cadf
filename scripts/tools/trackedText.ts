/** What must never be committed: paths of one machine and names of one registry. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../../helper-daemon/system/run.ts';
import { projectRoot } from './step.ts';

interface Rule {
  readonly what: string;
  readonly pattern: RegExp;
  /** Files the rule is about; absent: all. */
  readonly files?: RegExp;
}

// The patterns are put together so that this file does not match itself.
const rules: readonly Rule[] = [
  {
    what: "a path of one developer's machine",
    pattern: new RegExp(
      ['(?:^|[^\\w./-])/(?:work', 'home/(?!coppice|user|dev)\\w+|Users/\\w+)/'].join('|'),
    ),
  },
  {
    what: 'the address of a package registry',
    pattern: new RegExp(
      ['registry\\.np', 'mjs\\.org|proxy\\.golang', '\\.org|index\\.crates', '\\.io'].join(''),
    ),
  },
  {
    what: 'a resolved registry URL',
    pattern: /"resolved"\s*:/,
    files: /(^|\/)package-lock\.json$/,
  },
];

const binary = /\.(png|jpg|gif|ico|woff2?|zst|gz|qcow2|bin)$/;

/** Offending lines as `file:line: what`. */
export async function findForbiddenText(): Promise<readonly string[]> {
  const { stdout } = await run(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    {
      cwd: projectRoot,
    },
  );
  const found: string[] = [];
  for (const file of stdout.split('\0')) {
    if (file === '' || binary.test(file)) continue;
    const text = await readFile(path.join(projectRoot, file), 'utf8').catch(() => '');
    const active = rules.filter((rule) => rule.files?.test(file) !== false);
    for (const [index, line] of text.split('\n').entries()) {
      const rule = active.find(({ pattern }) => pattern.test(line));
      if (rule !== undefined) found.push(`${file}:${index + 1}: ${rule.what}`);
    }
  }
  return found;
}
