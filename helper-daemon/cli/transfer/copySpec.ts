/** The two sides of `coppice cp`: `<workspace>:/path` is in a machine, everything else on this host. */
import os from 'node:os';
import path from 'node:path';
import { UsageError } from '../failure.ts';

export interface GuestSide {
  readonly side: 'guest';
  readonly workspace: string;
  readonly path: string;
}

export interface HostSide {
  readonly side: 'host';
  /** As given, `~` expanded; relative to the working directory. */
  readonly path: string;
}

export type CopySide = GuestSide | HostSide;

const guestForm = /^([A-Za-z0-9._-]{1,128}):(.*)$/s;

/** @throws UsageError */
export function parseCopySide(text: string): CopySide {
  if (text === '') {
    throw new UsageError('A path to copy must not be empty.', 'See coppice cp --help.');
  }
  if (text.includes('\0')) {
    throw new UsageError('A path must not contain NUL.', 'See coppice cp --help.');
  }
  const match = guestForm.exec(text);
  if (match === null) return { side: 'host', path: expandHome(text) };
  const [, workspace = '', guestPath = ''] = match;
  if (guestPath.startsWith('/')) return { side: 'guest', workspace, path: guestPath };
  const why = guestPath.startsWith('~')
    ? '"~" is not expanded inside a machine'
    : 'paths in a machine start with "/"';
  throw new UsageError(
    `${text} names no path in a machine: ${why}.`,
    `Write ${workspace}:/… for the machine, or ./${text} for a file of that name on this host.`,
  );
}

function expandHome(text: string): string {
  if (text !== '~' && !text.startsWith('~/')) return text;
  return (
    path.join(os.homedir(), text.slice(1)) + (text.endsWith('/') && text.length > 2 ? '/' : '')
  );
}

/** The name under which a source arrives in a directory; empty when its content does. */
export function arrivalName(sourcePath: string): string {
  const trimmed = sourcePath.replace(/\/+$/, '');
  const name = trimmed.slice(trimmed.lastIndexOf('/') + 1);
  return name === '.' || name === '..' || name === '' ? '' : name;
}

export function joinGuest(directory: string, name: string): string {
  return name === '' ? directory : `${directory.replace(/\/+$/, '')}/${name}`;
}
