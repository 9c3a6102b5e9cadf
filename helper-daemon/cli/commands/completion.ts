import type { Command } from 'commander';
import { connectClient } from '../../client/client.ts';
import { daemonSocket } from '../../client/startDaemon.ts';
import { version } from '../../system/version.ts';
import { text, type CommandSpec } from '../commandSpec.ts';
import { UsageError } from '../failure.ts';
import { completionScript } from './completionScripts.ts';

const shells = ['bash', 'zsh', 'fish'] as const;

export const completionSpec: CommandSpec = {
  words: 'completion',
  summary: 'Print a completion script for a shell',
  positionals: [
    {
      key: 'shell',
      label: 'shell',
      required: true,
      description: shells.join(', '),
      choices: shells,
    },
  ],
  flags: [],
  examples: [
    ['source <(coppice completion bash)', 'For this bash; in ~/.bashrc for all.'],
    ['coppice completion fish > ~/.config/fish/completions/coppice.fish', 'For fish.'],
  ],
  run(invocation, context) {
    const shell = text(invocation, 'shell');
    const script = completionScript(shell);
    if (script === undefined) {
      throw new UsageError(
        `There is no completion for ${JSON.stringify(shell)}.`,
        `Give one of ${shells.join(', ')}.`,
      );
    }
    context.print(script);
    return Promise.resolve(0);
  },
};

/** Called by the scripts: the words typed so far, the last one unfinished. */
export const completeSpec: CommandSpec = {
  words: '__complete',
  summary: 'Candidates for the last word',
  positionals: [],
  flags: [],
  rest: { label: 'word', required: false },
  hidden: true,
  async run(invocation) {
    const words = invocation.rest;
    // The full tree for what was typed so far, as parsing it would need.
    const { allCommands } = await import('../catalogue.ts');
    const { buildProgram } = await import('../program.ts');
    const typed = words.slice(0, -1).filter((word) => !word.startsWith('-'));
    const specs = allCommands(typed);
    const { root } = buildProgram(specs);
    const found = await candidates(root, specs, words);
    process.stdout.write(found.map((candidate) => `${candidate}\n`).join(''));
    return 0;
  },
};

async function candidates(
  root: Command,
  specs: readonly CommandSpec[],
  words: readonly string[],
): Promise<readonly string[]> {
  const current = words.at(-1) ?? '';
  const { command, path, positionals } = locate(root, words.slice(0, -1));
  const matching = (all: readonly string[]): readonly string[] =>
    all.filter((one) => one.startsWith(current));
  const visible = command.commands.map((sub) => sub.name()).filter((name) => !name.startsWith('_'));
  const spec = specs.find(({ words: name, aliases }) => [name, ...(aliases ?? [])].includes(path));
  const previous = words.at(-2) ?? '';
  const flag = spec?.flags.find(({ spelling }) => spelling.split(/[ ,]+/).includes(previous));
  // A command that has others below it, such as audit, has flags of its own, too.
  const value = flag !== undefined && flag.kind !== 'switch';
  if (visible.length > 0 && !value && !current.startsWith('-')) return matching(visible);
  if (spec === undefined) return [];
  if (flag?.choices !== undefined) return matching(flag.choices);
  if (flag?.key === 'workspace_id') return matching(await workspaceNames());
  if (flag?.key === 'base_image') return matching(await imageNames());
  if (flag?.key === 'snapshot_name') return matching(await snapshotNames(positionals[0]));
  if (current.startsWith('-')) {
    return matching(
      command.options.flatMap(({ long }) => (long === undefined ? [] : [long])).concat('--help'),
    );
  }
  const index = Math.min(positionals.length, spec.positionals.length - 1);
  return matching(await namesFor(spec, index, positionals));
}

async function namesFor(
  spec: CommandSpec,
  index: number,
  typed: readonly string[],
): Promise<readonly string[]> {
  const positional = spec.positionals[index];
  if (positional?.choices !== undefined) return positional.choices;
  if (positional?.key === 'paths') return (await workspaceNames()).map((name) => `${name}:/`);
  if (positional === undefined || typed.length > index) return [];
  const { key } = positional;
  if (key === 'workspace_id') return await workspaceNames();
  if (key === 'base_image') return await imageNames();
  if (key === 'snapshot_name' || key === 'from') return await snapshotNames(typed[0]);
  if (key === 'to') return [...(await snapshotNames(typed[0])), 'head'];
  if (key !== 'name') return [];
  if (spec.words.startsWith('image ')) return await imageNames();
  // The name of a snapshot that is made is nobody's yet.
  const known = spec.words.startsWith('snapshot ') && spec.words !== 'snapshot create';
  return known ? await snapshotNames(typed[0]) : [];
}

function locate(
  root: Command,
  words: readonly string[],
): { command: Command; path: string; positionals: readonly string[] } {
  let command = root;
  const path: string[] = [];
  const positionals: string[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? '';
    if (word.startsWith('-')) {
      const option = command.options.find(({ long, short }) => word === long || word === short);
      if (option?.required === true) index += 1;
      continue;
    }
    const next =
      positionals.length === 0 ? command.commands.find((sub) => sub.name() === word) : undefined;
    if (next === undefined) {
      positionals.push(word);
      continue;
    }
    command = next;
    path.push(word);
  }
  return { command, path: path.join(' '), positionals };
}

/** Only from a daemon that runs: pressing Tab starts nothing. */
async function workspaceNames(): Promise<readonly string[]> {
  return await fromDaemon(async (client) =>
    (await client.call('workspace_list', {})).map(({ name }) => name),
  );
}

async function snapshotNames(machine: string | undefined): Promise<readonly string[]> {
  if (machine === undefined) return [];
  return await fromDaemon(async (client) => {
    const { snapshots } = await client.call('snapshot_list', { workspace_id: machine });
    return snapshots.map(({ name }) => name);
  });
}

async function imageNames(): Promise<readonly string[]> {
  return await fromDaemon(async (client) => {
    const { images, recipes } = await client.call('image_list', {});
    return [...new Set([...images, ...recipes].map(({ name }) => name))];
  });
}

async function fromDaemon(
  ask: (client: Awaited<ReturnType<typeof connectClient>>) => Promise<readonly string[]>,
): Promise<readonly string[]> {
  try {
    const client = await connectClient(daemonSocket().path, {
      name: 'coppice-completion',
      version,
    });
    return await ask(client).finally(() => client.close());
  } catch {
    return [];
  }
}
