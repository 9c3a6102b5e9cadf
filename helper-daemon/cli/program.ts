/** Commander from command specs: parsing, help and errors in one style. */
import { Argument, Command, CommanderError, Option } from 'commander';
import { version } from '../system/version.ts';
import type { CommandSpec, FlagSpec, FlagValue, Invocation } from './commandSpec.ts';
import { UsageError } from './failure.ts';
import { parseSeconds } from './text/durations.ts';

export interface Match {
  readonly spec: CommandSpec;
  readonly invocation: Invocation;
  readonly json: boolean;
  readonly quiet: boolean;
}

export interface Program {
  /**
   * The command that `argv` names, with its values; undefined when help or the version was printed.
   * @throws UsageError
   */
  parse(argv: readonly string[]): Promise<Match | undefined>;
  /** For completion. */
  readonly root: Command;
}

const groupSummaries: Readonly<Record<string, string>> = {
  jobs: 'Commands that run on in a machine',
  env: 'Variables for everything that runs in a machine, kept in its memory only',
  git: 'git in a machine, with results for programs',
  swarm: 'Many tasks at once, each in a fork of a golden machine',
  team: 'Machines with names and mailboxes that work on one thing',
  vault: 'Notes that agents and people share',
  port: 'Ports of this host that lead into a machine',
  network: 'What a machine may reach, and who may reach it',
  snapshot: 'States of a machine to go back to and to fork from',
  image: 'The images machines start from',
  storage: 'Where disks and snapshots live',
  daemon: 'The background process that owns the machines',
};

export function buildProgram(specs: readonly CommandSpec[]): Program {
  const root = styled(new Command('coppice'))
    .usage('<command> [options]')
    .version(version, '--version', 'Print the version')
    .description('Disposable Linux machines for people and coding agents.');
  addCommonFlags(root);
  let match: Match | undefined;
  let rest: readonly string[] = [];
  for (const spec of specs) {
    for (const words of [spec.words, ...(spec.aliases ?? [])]) {
      const command = commandAt(root, words, spec, words !== spec.words);
      command.action(() => {
        const { json, quiet, ...flags } = command.optsWithGlobals<Record<string, FlagValue>>();
        match = {
          spec,
          invocation: { positionals: positionalsOf(spec, command), flags, rest },
          json: json === true,
          quiet: quiet === true,
        };
      });
      restSpecs.set(command, spec);
    }
  }
  return {
    root,
    async parse(argv) {
      const { words, restWords } = splitRest(root, argv);
      rest = restWords;
      match = undefined;
      try {
        await root.parseAsync([...words], { from: 'user' });
      } catch (error) {
        throwUnlessHelp(error, root, argv);
        return undefined;
      }
      const spec = match as Match | undefined;
      if (spec?.spec.rest?.required === true && rest.length === 0) {
        throw new UsageError(
          `coppice ${spec.spec.words} needs a command to run.`,
          `For example: coppice ${spec.spec.words} ${spec.spec.positionals.map((p) => `<${p.label}>`).join(' ')} -- uname -a`.replace(
            / {2,}/g,
            ' ',
          ),
        );
      }
      return match;
    },
  };
}

/** Which spec a commander command stands for; only these may take the words of a remote command. */
const restSpecs = new WeakMap<Command, CommandSpec>();

function styled(command: Command): Command {
  return command
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .showSuggestionAfterError()
    .helpOption('-h, --help', 'Show this help')
    .helpCommand(false)
    .configureHelp({ subcommandTerm: (sub) => sub.name() });
}

function addCommonFlags(command: Command): void {
  command.option('--json', 'Print one JSON value for programs');
  command.option('--quiet', 'No progress and no remarks');
}

function commandAt(root: Command, words: string, spec: CommandSpec, alias: boolean): Command {
  const path = words.split(' ');
  const name = path.pop() ?? words;
  let parent = root;
  for (const word of path) {
    let group = parent.commands.find((command) => command.name() === word);
    if (group === undefined) {
      group = styled(new Command(word)).description(groupSummaries[word] ?? '');
      group.usage('<command> [options]');
      if (parent === root) underHeading(group, spec);
      parent.addCommand(group);
    }
    parent = group;
  }
  const command = styled(new Command(name)).summary(spec.summary);
  command.description([`${spec.summary}.`, spec.description].filter(Boolean).join('\n'));
  for (const positional of spec.positionals) {
    const label = `${positional.label}${positional.variadic === true ? '...' : ''}`;
    const argument = new Argument(
      positional.required ? `<${label}>` : `[${label}]`,
      positional.description,
    );
    command.addArgument(argument);
  }
  for (const flag of spec.flags) command.addOption(asOption(flag));
  addCommonFlags(command);
  command.usage(usageOf(spec));
  const after = helpAfter(spec);
  if (after !== '') command.addHelpText('after', after);
  if (parent === root) underHeading(command, spec);
  // A command that has others below it, such as pool.
  if (restSpecs.has(parent)) parent.usage('[options] [command]');
  parent.addCommand(command, { hidden: alias || spec.hidden === true });
  return command;
}

function underHeading(command: Command, { group }: CommandSpec): void {
  if (group !== undefined) command.helpGroup(`${group}:`);
}

/** Everything after the words of the command. */
export function usageOf(spec: CommandSpec): string {
  const parts = ['[options]'];
  for (const { label, required, variadic } of spec.positionals) {
    const name = `${label}${variadic === true ? '...' : ''}`;
    parts.push(required ? `<${name}>` : `[${name}]`);
  }
  if (spec.rest !== undefined) {
    parts.push(spec.rest.required ? `-- <${spec.rest.label}>` : `[-- <${spec.rest.label}>]`);
  }
  return parts.join(' ');
}

function helpAfter(spec: CommandSpec): string {
  const sections: string[] = [];
  if (spec.aliases !== undefined) {
    sections.push(`Also: ${spec.aliases.map((a) => `coppice ${a}`).join(', ')}`);
  }
  if (spec.notes !== undefined) sections.push(spec.notes);
  if (spec.examples !== undefined) {
    const lines = spec.examples.map(([command, effect]) => `  ${command}\n      ${effect}`);
    sections.push(`Examples:\n${lines.join('\n')}`);
  }
  return sections.map((section) => `\n${section}`).join('\n');
}

/** What stands for the value in help: `<n>`, `<agent|system>`, or the flag's own name. */
function valueName(flag: FlagSpec): string {
  switch (flag.kind) {
    case 'switch':
      return '';
    case 'onOff':
      return ' <on|off>';
    case 'integer':
    case 'number':
    case 'numbers':
      return ' <n>';
    case 'duration':
      return ' <time>';
    case 'pairs':
      return ' <name=value>';
    default: {
      const few = flag.choices !== undefined && flag.choices.length <= 3;
      return ` <${few ? flag.choices.join('|') : longName(flag.spelling).slice(2)}>`;
    }
  }
}

/** `-n, --lines <n>` */
export function flagUsage(flag: FlagSpec): string {
  return flag.spelling.includes('<') ? flag.spelling : flag.spelling + valueName(flag);
}

/** What it means, and what can be given. */
export function flagMeaning(flag: FlagSpec): string {
  const repeatable = ['pairs', 'list', 'numbers'].includes(flag.kind) ? ' (repeatable)' : '';
  const choices =
    flag.choices === undefined || flag.choices.length <= 3 ? '' : ` (${flag.choices.join(', ')})`;
  const times = flag.kind === 'duration' ? ' (seconds, or 90s, 10m, 2h, 1d)' : '';
  return `${flag.description}${choices}${times}${repeatable}`.trim();
}

function asOption(flag: FlagSpec): Option {
  const option = new Option(flagUsage(flag), flagMeaning(flag));
  option.attributeName = () => flag.key;
  if (flag.required === true) option.makeOptionMandatory();
  const named = longName(flag.spelling);
  if (flag.kind !== 'switch') {
    option.argParser((value: string, previous: unknown) => parseFlag(flag, named, value, previous));
  }
  return option;
}

export function longName(spelling: string): string {
  return /--[a-z-]+/.exec(spelling)?.[0] ?? spelling;
}

function parseFlag(flag: FlagSpec, named: string, value: string, previous: unknown): FlagValue {
  switch (flag.kind) {
    case 'integer':
    case 'number':
      return parseNumber(named, value, flag.kind === 'integer');
    case 'duration':
      return parseDuration(named, value);
    case 'onOff':
      if (value === 'on' || value === 'off') return value === 'on';
      throw new UsageError(
        `${named} must be on or off (got ${JSON.stringify(value)}).`,
        `For example: ${named} on`,
      );
    case 'list':
      return [
        ...((previous as readonly string[] | undefined) ?? []),
        ...(value === '' ? [] : [value]),
      ];
    case 'numbers':
      return [
        ...((previous as readonly number[] | undefined) ?? []),
        ...(value === '' ? [] : [parseNumber(named, value, true)]),
      ];
    case 'pairs': {
      const cut = value.indexOf('=');
      if (cut < 1) {
        throw new UsageError(
          `${named} must be NAME=VALUE (got ${JSON.stringify(value)}).`,
          'For example: -e LANG=C',
        );
      }
      return {
        ...(previous as Record<string, string> | undefined),
        [value.slice(0, cut)]: value.slice(cut + 1),
      };
    }
    default:
      return value;
  }
}

export function parseNumber(named: string, value: string, whole: boolean): number {
  const number = value.trim() === '' ? Number.NaN : Number(value);
  if (!Number.isFinite(number) || (whole && !Number.isInteger(number))) {
    throw new UsageError(
      `${named} must be a ${whole ? 'whole ' : ''}number (got ${JSON.stringify(value)}).`,
      `Give it as digits, for example ${named.startsWith('-') ? `${named} 2` : '2'}.`,
    );
  }
  return number;
}

function parseDuration(named: string, value: string): number {
  const seconds = parseSeconds(value);
  if (seconds !== undefined) return seconds;
  throw new UsageError(
    `${named} must be a time such as 90s, 10m, 2h or 1d (got ${JSON.stringify(value)}).`,
    'A number without a unit means seconds.',
  );
}

function positionalsOf(spec: CommandSpec, command: Command): Invocation['positionals'] {
  return Object.fromEntries(
    spec.positionals.map((positional, index) => [
      positional.key,
      command.processedArgs[index] as string | readonly string[] | undefined,
    ]),
  );
}

/** Cuts `argv` where the words of a remote command begin. */
function splitRest(
  root: Command,
  argv: readonly string[],
): { words: readonly string[]; restWords: readonly string[] } {
  let command = root;
  let index = 0;
  for (; index < argv.length; index += 1) {
    const word = argv[index] ?? '';
    if (word === '--') break;
    if (word.startsWith('-')) continue;
    const next = command.commands.find((candidate) => candidate.name() === word);
    if (next === undefined) break;
    command = next;
    if (next.commands.length > 0) continue;
    index += 1;
    break;
  }
  const spec = restSpecs.get(command);
  if (spec?.rest === undefined) return { words: argv, restWords: [] };
  const endless = spec.positionals.at(-1)?.variadic === true;
  let positionals = 0;
  for (; index < argv.length; index += 1) {
    const word = argv[index] ?? '';
    if (word === '--') return { words: argv.slice(0, index), restWords: argv.slice(index + 1) };
    if (word === '-h' || word === '--help') continue;
    if (word.startsWith('-') && word !== '-') {
      if (takesNextWord(command, word)) index += 1;
      continue;
    }
    positionals += 1;
    // After a list of names only -- can say where the command begins.
    if (!endless && positionals > spec.positionals.length) {
      return { words: argv.slice(0, index), restWords: argv.slice(index) };
    }
  }
  return { words: argv, restWords: [] };
}

/** `-w /tmp` and `--workdir /tmp` do; `-w/tmp`, `--workdir=/tmp` and `-i` do not; `-it` is -i and -t. */
function takesNextWord(command: Command, word: string): boolean {
  if (word.startsWith('--')) {
    const option = command.options.find((candidate) => candidate.long === word);
    return option?.required === true;
  }
  for (const [position, letter] of Array.from(word.slice(1)).entries()) {
    const option = command.options.find((candidate) => candidate.short === `-${letter}`);
    if (option?.required === true) return position === word.length - 2;
  }
  return false;
}

/** Help and the version were printed and that was all; everything else is an error. */
function throwUnlessHelp(error: unknown, root: Command, argv: readonly string[]): void {
  if (!(error instanceof CommanderError)) throw error;
  if (['commander.helpDisplayed', 'commander.version'].includes(error.code)) return;
  const words = argv.filter((word) => !word.startsWith('-'));
  const group = root.commands.find((command) => command.name() === words[0]);
  const here = group === undefined ? '' : ` ${group.name()}`;
  if (error.code === 'commander.help') {
    const names = (group ?? root).commands.map((command) => command.name());
    throw new UsageError(
      group === undefined ? 'Say what to do.' : `coppice${here} needs one of: ${names.join(', ')}.`,
      `coppice${here} --help lists the commands.`,
    );
  }
  const sub = group?.commands.find((command) => command.name() === words[1]);
  const helpOf = sub === undefined ? here : `${here} ${sub.name()}`;
  throw new UsageError(sentence(error.message), `See coppice${helpOf} --help.`);
}

/** Commander's "error: unknown command 'x'\n(Did you mean y?)" as "Unknown command 'x'. Did you mean y?" */
function sentence(message: string): string {
  const [what = '', hint] = message.replace(/^error: /, '').split('\n');
  const head = `${what.charAt(0).toUpperCase()}${what.slice(1).replace(/\.$/, '')}.`;
  return hint === undefined ? head : `${head} ${hint.replace(/^\(|\)$/g, '')}`;
}
