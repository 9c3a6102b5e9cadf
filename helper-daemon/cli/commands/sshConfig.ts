/** `coppice ssh-config`: the settings with which ssh itself, and all that uses it, reaches machines. */
import path from 'node:path';
import type { CommandSpec, Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { UsageError } from '../failure.ts';
import { readText } from '../ssh/files.ts';
import { changing, sshFolder, type SshFolder } from '../ssh/folder.ts';
import { hostOf } from '../ssh/hostNames.ts';
import { refresh, type Refreshed } from '../ssh/refresh.ts';
import {
  editUserConfig,
  includeLine,
  includes,
  userConfigFile,
  withInclude,
  withoutInclude,
} from '../ssh/userConfig.ts';
import { count } from '../text/units.ts';

const actions = ['install', 'remove', 'print'] as const;

export const sshConfigSpec: CommandSpec = {
  words: 'ssh-config',
  summary: 'Make ssh, scp, rsync, git and editors know the machines',
  description: 'Writes an ssh_config of all machines: <name>.coppice and coppice-<name>.',
  positionals: [],
  flags: [
    {
      key: 'install',
      spelling: '--install',
      kind: 'switch',
      description: 'Include it in ~/.ssh/config, by one line at its top',
    },
    {
      key: 'remove',
      spelling: '--remove',
      kind: 'switch',
      description: 'Take that line out again',
    },
    { key: 'print', spelling: '--print', kind: 'switch', description: 'Print the config' },
    {
      key: 'into',
      spelling: '--into <file>',
      kind: 'text',
      description: 'Another file than ~/.ssh/config',
    },
    {
      key: 'start',
      spelling: '--start <yes|no>',
      kind: 'text',
      choices: ['yes', 'no'],
      description: 'Whether a connection starts a stopped machine; kept until it is said again',
    },
  ],
  notes: 'Machines that are made later are known at once, by <name>.coppice.',
  examples: [
    ['coppice ssh-config --install', 'From then on: ssh demo.coppice, scp file demo.coppice:/srv/'],
    ['git clone demo.coppice:/srv/repo', 'A repository in a machine.'],
    ['coppice ssh-config --remove', 'As before.'],
  ],
  run: runSshConfig,
};

async function runSshConfig({ flags }: Invocation, context: CliContext): Promise<number> {
  const chosen = actions.filter((action) => flags[action] === true);
  if (chosen.length > 1) {
    throw new UsageError(
      `${chosen.map((action) => `--${action}`).join(' and ')} do not go together.`,
      'Give one of them.',
    );
  }
  const folder = sshFolder();
  const { into } = flags;
  const file = typeof into === 'string' ? path.resolve(into) : userConfigFile();
  if (flags['remove'] === true) return await remove(folder, file, context);

  const client = await context.connect();
  let written: Refreshed;
  try {
    written = await refresh(folder, client, asChoice(flags['start']));
  } finally {
    client.close();
  }
  const line = includeLine(folder.config);
  const changed =
    flags['install'] === true &&
    (await changing(folder, () => editUserConfig(file, (text) => withInclude(text, line))));
  if (flags['print'] === true && !context.json) {
    context.print(written.config);
    return exitCodes.ok;
  }
  const included = includes(await readText(file), line);
  if (context.json) context.printJson(describe(folder, file, written, included));
  else context.print(sentences(folder, file, written, { included, changed, line }));
  return exitCodes.ok;
}

async function remove(folder: SshFolder, file: string, context: CliContext): Promise<number> {
  const line = includeLine(folder.config);
  const changed = await changing(folder, () =>
    editUserConfig(file, (text) => withoutInclude(text, line)),
  );
  if (context.json) context.printJson({ file, included: false, changed });
  else {
    context.print(
      changed ? `${file} includes no machines any more.` : `${file} did not include them.`,
    );
  }
  return exitCodes.ok;
}

function asChoice(value: unknown): boolean | undefined {
  if (value === undefined) return undefined;
  if (value === 'yes' || value === 'no') return value === 'yes';
  throw new UsageError('--start must be yes or no.', 'See coppice ssh-config --help.');
}

function describe(folder: SshFolder, file: string, written: Refreshed, included: boolean): object {
  return {
    config: folder.config,
    file,
    included,
    start: written.start,
    hosts: written.workspaces.map(({ workspace_id, name }) => ({
      workspace_id,
      name,
      host: hostOf(name),
    })),
  };
}

function sentences(
  folder: SshFolder,
  file: string,
  { workspaces, start }: Refreshed,
  state: { readonly included: boolean; readonly changed: boolean; readonly line: string },
): string {
  const example = hostOf(workspaces[0]?.name ?? '<name>');
  return [
    `${count(workspaces.length, 'machine')} in ${folder.config}`,
    ...(start ? ['A connection starts a stopped machine.'] : []),
    ...(state.included
      ? [`${file} ${state.changed ? 'includes it now' : 'includes it'}: ssh ${example}`]
      : [
          `Include it in ${file} with --install, or by this line at its top:`,
          `  ${state.line}`,
          `Or name it: ssh -F ${folder.config} ${example}`,
        ]),
  ].join('\n');
}
