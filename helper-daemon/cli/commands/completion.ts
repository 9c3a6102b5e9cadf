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
  if (visible.length > 0) return matching(visible);
  const spec = specs.find(({ words: name }) => name === path);
  if (spec === undefined) return [];
  const previous = words.at(-2) ?? '';
  const flag = spec.flags.find(({ spelling }) => spelling.split(/[ ,]+/).includes(previous));
  if (flag?.choices !== undefined) return matching(flag.choices);
  if (flag?.key === 'base_image') return matching(await imageNames());
  if (current.startsWith('-')) {
    return matching(
      command.options.flatMap(({ long }) => (long === undefined ? [] : [long])).concat('--help'),
    );
  }
  const positional = spec.positionals[Math.min(positionals, spec.positionals.length - 1)];
  if (positional?.choices !== undefined) return matching(positional.choices);
  if (positional?.key === 'workspace_id' && positionals < spec.positionals.length) {
    return matching(await workspaceNames());
  }
  if (positional?.key === 'paths') {
    return matching((await workspaceNames()).map((name) => `${name}:/`));
  }
  if (spec.words.startsWith('image ') && positional?.key === 'name') {
    return matching(await imageNames());
  }
  return [];
}

function locate(
  root: Command,
  words: readonly string[],
): { command: Command; path: string; positionals: number } {
  let command = root;
  const path: string[] = [];
  let positionals = 0;
  for (const word of words) {
    if (word.startsWith('-')) continue;
    const next =
      positionals === 0 ? command.commands.find((sub) => sub.name() === word) : undefined;
    if (next === undefined) {
      positionals += 1;
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
