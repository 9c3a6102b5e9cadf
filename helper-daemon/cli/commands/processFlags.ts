/** Flags that mirror fields of process_open; a test holds them to its schema. */
import type { FlagSpec } from '../commandSpec.ts';

/** The part of help that costs a schema library; commands that must start fast are built without it. */
export type Describe = (operation: string, field: string) => string;

export function processFlags(describe: Describe): FlagSpec[] {
  const about = (field: string): string => describe('process_open', field);
  return [
    {
      key: 'workdir',
      spelling: '-w, --workdir <dir>',
      kind: 'text',
      description: about('workdir'),
    },
    { key: 'env', spelling: '-e, --env <name=value>', kind: 'pairs', description: about('env') },
    { key: 'user', spelling: '-u, --user <user>', kind: 'text', description: about('user') },
    {
      key: 'timeout_secs',
      spelling: '--timeout',
      kind: 'duration',
      description: about('timeout_secs') || 'Kill everything the command started after this time',
    },
  ];
}

export const processFields = ['workdir', 'env', 'user', 'timeout_secs'] as const;
