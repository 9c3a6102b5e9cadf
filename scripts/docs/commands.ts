/** Every command of the CLI in full, in the order of `coppice --help`. */
import { allCommands } from '../../helper-daemon/cli/catalogue.ts';
import type { CommandSpec } from '../../helper-daemon/cli/commandSpec.ts';

export function commandsInFull(): readonly CommandSpec[] {
  return allCommands([])
    .filter(({ hidden, words }) => hidden !== true && !words.startsWith('_'))
    .map((outline) => {
      const words = outline.words.split(' ');
      const full = allCommands(words).find((spec) => spec.words === outline.words);
      return withoutCommon(full ?? outline);
    });
}

export function groupsOf(
  specs: readonly CommandSpec[],
): readonly (readonly [heading: string, specs: readonly CommandSpec[]])[] {
  const groups = new Map<string, CommandSpec[]>();
  for (const spec of specs) {
    const heading = spec.group ?? 'Further commands';
    groups.set(heading, [...(groups.get(heading) ?? []), spec]);
  }
  return [...groups];
}

/** Flags that every command of a kind has are told once. */
export const commonFlags: readonly (readonly [usage: string, meaning: string])[] = [
  ['--json', 'Print one JSON value for programs, errors included'],
  ['--quiet', 'No progress and no remarks'],
  ['-h, --help', 'Show the help of a command'],
  [
    '--idempotency-key <key>',
    'For commands that change something: with the same key it returns the first result and does nothing',
  ],
];

function withoutCommon(spec: CommandSpec): CommandSpec {
  const common = (spelling: string): boolean =>
    commonFlags.some(([usage]) => usage.startsWith(spelling));
  return { ...spec, flags: spec.flags.filter(({ spelling }) => !common(spelling)) };
}
