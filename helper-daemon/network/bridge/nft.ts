/** Changes of our tables: all of one or nothing, and the reading of them. */
import { run } from '../../system/run.ts';
import {
  elementCommands,
  isLimit,
  isSetElement,
  limitCommand,
  type Element,
  type TimedElement,
} from './elements.ts';
import { readListing, type Listed, type ListedElement } from './nftOutput.ts';
import { tables } from './skeleton.ts';

/** What one transaction does, in this order. */
export interface Change {
  /** Elements that must be there. */
  readonly remove: readonly Element[];
  /** Elements that end by themselves, and may have done so already. */
  readonly end: readonly TimedElement[];
  readonly add: readonly Element[];
  /** New ones, or such whose time begins anew. */
  readonly admit: readonly TimedElement[];
}

const timeout = 60_000;

/**
 * Runs commands as one transaction.
 * @throws CoppiceError `command_failed` when nothing of it was done, `prerequisite_missing`
 */
export async function commit(commands: readonly string[]): Promise<void> {
  if (commands.length === 0) return;
  await run('nft', ['-f', '-'], { input: `${commands.join('\n')}\n`, timeout });
}

/** Both tables; nothing where there are none. */
export async function listTables(): Promise<Listed> {
  const sets = new Map<string, readonly ListedElement[]>();
  const limits: string[] = [];
  const present = await tableNames();
  for (const { family, name } of tables) {
    if (!present.has(`${family} ${name}`)) continue;
    const { stdout } = await run('nft', ['-j', '-p', 'list', 'table', family, name], { timeout });
    const listed = readListing(stdout);
    for (const [set, elements] of listed.sets) sets.set(set, elements);
    limits.push(...listed.limits);
  }
  return { sets, limits };
}

/** Whether nobody has removed them. */
export async function tablesArePresent(): Promise<boolean> {
  const present = await tableNames();
  return tables.every(({ family, name }) => present.has(`${family} ${name}`));
}

async function tableNames(): Promise<Set<string>> {
  const { stdout } = await run('nft', ['list', 'tables'], { timeout });
  return new Set(stdout.split('\n').map((line) => line.replace(/^table /, '').trim()));
}

/** Sets of our inet table. */
export async function listSets(names: readonly string[]): Promise<Listed['sets']> {
  const all = new Map<string, readonly ListedElement[]>();
  const outputs = await Promise.all(
    names.map((name) =>
      run('nft', ['-j', '-p', 'list', 'set', 'inet', 'coppice', name], { timeout }),
    ),
  );
  for (const { stdout } of outputs) {
    for (const [name, elements] of readListing(stdout).sets) all.set(name, elements);
  }
  return all;
}

/** The commands of a change; joined by lines they are one transaction. */
export function commandsOf({ remove, end, add, admit }: Change): string[] {
  return [
    ...elementCommands('delete', remove.filter(isSetElement)),
    ...remove.filter(isLimit).map(({ limit }) => `delete limit inet coppice ${limit}`),
    // Adding is nothing where it is, and so removing succeeds whether it has ended or not.
    ...elementCommands('add', end),
    ...elementCommands('delete', end),
    ...add.filter(isLimit).map(limitCommand),
    ...elementCommands('add', add.filter(isSetElement)),
    ...elementCommands('add', admit),
    ...elementCommands('delete', admit),
    ...elementCommands('add', admit),
  ];
}
