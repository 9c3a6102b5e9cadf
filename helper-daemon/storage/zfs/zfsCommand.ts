/**
 * The zfs program. Queries use `zfs get -Hp -o name,property,value`, the one form that every version and
 * zfs-fuse answer alike; failures are told apart by their texts, since exit codes say little.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { CoppiceError } from '../../../protocol/errors.ts';
import { run } from '../../system/run.ts';

export interface ZfsPrograms {
  readonly zfs: string;
  readonly zpool: string;
  /** Tells the volume of a device node; comes with OpenZFS outside of PATH. */
  readonly zvolId: string;
}

export const zfsPrograms: ZfsPrograms = {
  zfs: 'zfs',
  zpool: 'zpool',
  zvolId: '/lib/udev/zvol_id',
};

export type ZfsRefusal =
  | 'exists'
  | 'missing'
  | 'busy'
  | 'has_clones'
  | 'has_children'
  | 'tag_exists'
  | 'tag_missing'
  | 'other';

const texts: readonly (readonly [ZfsRefusal, RegExp])[] = [
  ['tag_exists', /tag already exists on this dataset/],
  ['tag_missing', /no such tag on this dataset/],
  ['exists', /dataset already exists/],
  ['missing', /dataset does not exist|could not find any snapshots to destroy/],
  ['has_clones', /has dependent clones/],
  ['has_children', /(?:volume|filesystem) has children/],
  ['busy', /(?:dataset|pool or dataset) is busy/],
];

/** Another process, or the kernel, lets go of a dataset some time after it was told to. */
const busyPauseMs = 100;
const busyAttempts = 50;

/** Why the program refused; undefined for any other error. */
export function refusalOf(error: unknown): ZfsRefusal | undefined {
  if (!(error instanceof CoppiceError) || error.code !== 'command_failed') return undefined;
  // The first line is the command itself; a program that was given a wrong name adds its whole manual.
  const said = error.message.split('\n').slice(1).join('\n').split('\nusage:', 1)[0] ?? '';
  return texts.find(([, pattern]) => pattern.test(said))?.[0] ?? 'other';
}

/** Runs `zfs`, again for a while when something is busy. */
export async function zfs(programs: ZfsPrograms, args: readonly string[]): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return (await run(programs.zfs, args)).stdout;
    } catch (error) {
      if (refusalOf(error) !== 'busy' || attempt === busyAttempts) throw error;
      await sleep(busyPauseMs);
    }
  }
}

/** Runs `zfs` where some refusals mean that it was done already. */
export async function zfsUnless(
  programs: ZfsPrograms,
  done: readonly ZfsRefusal[],
  args: readonly string[],
): Promise<void> {
  try {
    await zfs(programs, args);
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined || !done.includes(refusal)) throw error;
  }
}

export type ZfsProperties = ReadonlyMap<string, string>;

/**
 * Properties by name of dataset or snapshot, those below included where `recursive`; empty when there is no
 * such dataset. A property that does not apply has the value `-`.
 */
export async function zfsGet(
  programs: ZfsPrograms,
  target: string,
  properties: readonly string[],
  options: { readonly recursive?: boolean } = {},
): Promise<Map<string, ZfsProperties>> {
  const flags = options.recursive === true ? '-rHp' : '-Hp';
  const answer = await zfs(programs, [
    ...['get', flags, '-o', 'name,property,value'],
    ...[properties.join(','), target],
  ]).catch((error: unknown) => {
    if (refusalOf(error) === 'missing') return '';
    throw error;
  });
  return parseProperties(answer);
}

function parseProperties(answer: string): Map<string, ZfsProperties> {
  const found = new Map<string, Map<string, string>>();
  for (const line of answer.split('\n')) {
    const [name, property, value] = line.split('\t');
    if (name === undefined || property === undefined || value === undefined) continue;
    const entry = found.get(name) ?? new Map<string, string>();
    found.set(name, entry.set(property, value));
  }
  return found;
}
