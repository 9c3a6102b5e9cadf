/** `coppice ssh`: the host's own ssh, told where everything is. */
import { CoppiceError } from '../../../protocol/errors.ts';
import { asShellCommand } from '../argv/shellQuote.ts';
import { text, type CommandSpec, type FlagSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { reportFailure } from '../failure.ts';
import { signalNumbers } from '../signals.ts';
import { sshFolder } from '../ssh/folder.ts';
import { hostOf } from '../ssh/hostNames.ts';
import { refresh } from '../ssh/refresh.ts';
import type { Describe } from './processFlags.ts';
import { sshFailed, wokenWorkspace } from './sshProxy.ts';

/** ssh's own options, by ssh's own letters. */
const passedOn: readonly FlagSpec[] = [
  option('-l <user>', 'text', 'Account in the machine; root when absent'),
  option('-L <[bind:]port:host:port>', 'list', 'A port here that leads into the machine'),
  option('-D <[bind:]port>', 'list', 'A SOCKS proxy here whose connections begin in the machine'),
  option('-o <option=value>', 'list', 'An option of ssh_config'),
  option('-N', 'switch', 'No command: for -L and -D'),
  option('-f', 'switch', 'Go to the background before the command begins'),
  option('-n', 'switch', 'No standard input'),
  option('-T', 'switch', 'No terminal'),
  option('-q', 'switch', 'No warnings'),
  option('-v', 'switch', 'Say what ssh does'),
];

function option(spelling: string, kind: FlagSpec['kind'], description: string): FlagSpec {
  return { key: spelling.slice(0, 2), spelling, kind, description };
}

export function sshSpec(describe: Describe): CommandSpec {
  return {
    words: 'ssh',
    summary: 'Use ssh with a machine: no network, and no sshd in it, is needed',
    description:
      'Runs the ssh of this host; coppice ssh-config makes scp, rsync, git and editors work, too.',
    positionals: [
      {
        key: 'workspace_id',
        label: 'workspace',
        required: true,
        description: describe('process_open', 'workspace_id'),
      },
    ],
    flags: [
      { key: 'start', spelling: '--start', kind: 'switch', description: 'Start a stopped machine' },
      {
        key: 'tty',
        spelling: '-t, --tty',
        kind: 'switch',
        description: 'Give the command a terminal',
      },
      ...passedOn,
    ],
    rest: { label: 'command', required: false },
    notes: `Exit code: that of ssh, which is that of the command, or 255 when there is no connection.
A suspended machine goes on by itself.`,
    examples: [
      ['coppice ssh demo', 'A login shell.'],
      ['coppice ssh demo -L 8080:localhost:80 -N', 'Port 8080 here is port 80 there.'],
      ["coppice ssh demo -l dev -- 'cd src && make'", 'One word: a shell command.'],
    ],
    run: runSsh,
  };
}

async function runSsh(invocation: Invocation, context: CliContext): Promise<number> {
  const folder = sshFolder();
  const client = await context.connect();
  let host: string;
  try {
    const start = invocation.flags['start'] === true;
    const progress = start ? context.progress('Starting the machine') : undefined;
    const { id, name } = await wokenWorkspace(
      client,
      text(invocation, 'workspace_id'),
      start,
    ).finally(() => progress?.stop());
    // A name may begin like an option.
    host = hostOf(name.startsWith('-') ? id : name);
    await refresh(folder, client);
  } catch (error) {
    if (!(error instanceof CoppiceError) || error.code !== 'wrong_state') throw error;
    reportFailure(error, context.json);
    return sshFailed;
  } finally {
    client.close();
  }
  return await runForeground(
    'ssh',
    ['-F', folder.config, ...optionsOf(invocation), '--', host, ...commandOf(invocation)],
    context,
  );
}

function optionsOf({ flags }: Invocation): string[] {
  const given = passedOn.flatMap(({ key }) => {
    const value = flags[key];
    if (value === true) return [key];
    if (typeof value === 'string') return [key, value];
    return Array.isArray(value) ? (value as readonly string[]).flatMap((one) => [key, one]) : [];
  });
  // Once asks for a terminal where ssh has one itself, twice in any case.
  return flags['tty'] === true ? ['-tt', ...given] : given;
}

function commandOf({ rest }: Invocation): string[] {
  return rest.length === 0 ? [] : [asShellCommand(rest)];
}

async function runForeground(
  file: string,
  args: readonly string[],
  context: CliContext,
): Promise<number> {
  const { spawnInForeground } = await import('../../system/run.ts');
  const child = spawnInForeground(file, args);
  // A Ctrl-C in the terminal reaches it without us.
  const release = context.signals.take((name) => {
    if (name !== 'SIGINT') child.kill(name);
  });
  try {
    const { code, signal } = await child.exited;
    if (code !== null) return code;
    const number =
      signal === null ? undefined : signalNumbers[signal as keyof typeof signalNumbers];
    return number === undefined ? sshFailed : exitCodes.signalBase + number;
  } finally {
    release();
  }
}
