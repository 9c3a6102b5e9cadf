/** Signals by the names they have in SSH (RFC 4254, 6.9), and their numbers on Linux. */
import os from 'node:os';

/** The ones that the protocol names. */
const named = [
  'ABRT',
  'ALRM',
  'FPE',
  'HUP',
  'ILL',
  'INT',
  'KILL',
  'PIPE',
  'QUIT',
  'SEGV',
  'TERM',
  'USR1',
  'USR2',
] as const;

const numbers: ReadonlyMap<string, number> = new Map(
  named.map((name) => [name, os.constants.signals[`SIG${name}`]]),
);

export function signalNumber(name: string): number | undefined {
  return numbers.get(name.replace(/^SIG/, ''));
}

/** Undefined for those that SSH has no name for. */
export function signalName(number: number): string | undefined {
  return named.find((name) => numbers.get(name) === number);
}
