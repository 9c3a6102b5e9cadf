/** docs/cli.md: every command with its arguments, from the catalogue the program itself is built of. */
import type { CommandSpec } from '../../helper-daemon/cli/commandSpec.ts';
import { flagMeaning, flagUsage, usageOf } from '../../helper-daemon/cli/program.ts';
import { commandsInFull, commonFlags, groupsOf } from './commands.ts';
import { cell, code, table } from './schemaText.ts';

export function cliPage(): string {
  const groups = groupsOf(commandsInFull());
  return [
    '# Commands',
    'What `coppice` understands; `coppice <command> --help` says the same. Generated from the catalogue by `npm run generate`.',
    'Machines are named by name or id. `source <(coppice completion bash)` completes commands, flags and names; zsh and fish have scripts of their own.',
    table(
      ['Every command', 'Meaning'],
      commonFlags.map(([usage, meaning]) => [code(usage), cell(meaning)]),
    ),
    ...groups.flatMap(([heading, specs]) => [`## ${heading}`, ...specs.map(commandText)]),
  ].join('\n\n');
}

function commandText(spec: CommandSpec): string {
  const arguments_ = spec.positionals
    .filter(({ description }) => description !== '')
    .map(({ label, description }) => [`\`${label}\``, cell(description)]);
  const flags = spec.flags.map((flag) => [code(flagUsage(flag)), cell(flagMeaning(flag))]);
  return [
    `### coppice ${spec.words}`,
    `${spec.summary}.${spec.description === undefined ? '' : ` ${spec.description}`}`,
    `\`\`\`\ncoppice ${spec.words} ${usageOf(spec)}\n\`\`\``,
    ...(spec.aliases === undefined
      ? []
      : [`Also: ${spec.aliases.map((alias) => `\`coppice ${alias}\``).join(', ')}`]),
    ...(arguments_.length + flags.length === 0
      ? []
      : [table(['Argument', 'Meaning'], [...arguments_, ...flags])]),
    ...(spec.notes === undefined ? [] : [spec.notes]),
    ...(spec.examples ?? []).map(([command, effect]) => `\`${command}\`: ${effect}`),
  ].join('\n\n');
}
