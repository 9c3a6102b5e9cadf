/** Every command of the CLI in full, in the order of `coppice --help`. */
import { allCommands } from '../../helper-daemon/cli/catalogue.ts';
import type { CommandSpec, FlagSpec } from '../../helper-daemon/cli/commandSpec.ts';

export function commandsInFull(): readonly CommandSpec[] {
  return allCommands([])
    .filter(({ hidden, words }) => hidden !== true && !words.startsWith('_'))
    .map((outline) => {
      const words = outline.words.split(' ');
      const full = allCommands(words).find((spec) => spec.words === outline.words);
      return full ?? outline;
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

export function usageOf({ words, positionals, flags, rest }: CommandSpec): string {
  return [
    `coppice ${words}`,
    ...(flags.length === 0 ? [] : ['[options]']),
    ...positionals.map(({ label, required, variadic }) => {
      const name = `${label}${variadic === true ? '...' : ''}`;
      return required ? `<${name}>` : `[${name}]`;
    }),
    ...(rest === undefined ? [] : [rest.required ? `-- <${rest.label}>` : `[-- <${rest.label}>]`]),
  ].join(' ');
}

/** `-n, --lines <n>` */
export function flagUsage(flag: FlagSpec): string {
  if (flag.kind === 'switch' || flag.spelling.includes('<')) return flag.spelling;
  const values: Readonly<Partial<Record<FlagSpec['kind'], string>>> = {
    onOff: 'on|off',
    integer: 'n',
    number: 'n',
    numbers: 'n',
    duration: 'time',
    pairs: 'name=value',
  };
  return `${flag.spelling} <${values[flag.kind] ?? 'value'}>`;
}

export function flagMeaning({ description, choices, kind, required }: FlagSpec): string {
  const parts = [
    description,
    ...(choices === undefined ? [] : [`(${choices.join(', ')})`]),
    ...(kind === 'duration' ? ['(seconds, or 90s, 10m, 2h, 1d)'] : []),
    ...(['pairs', 'list', 'numbers'].includes(kind) ? ['(repeatable)'] : []),
    ...(required === true ? ['(required)'] : []),
  ];
  return parts.filter((part) => part !== '').join(' ');
}
