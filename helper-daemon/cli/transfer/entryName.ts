/** Names in an archive from a machine, before any of them becomes a path on this host. */
import { badTar } from './machineTar.ts';

const longestComponent = 255;

/**
 * The components of an entry's path below the target; none for the target itself.
 * @throws CoppiceError when it would lead elsewhere
 */
export function safeComponents(name: string): readonly string[] {
  if (name.startsWith('/')) throw badTar('an entry has an absolute path');
  if (name.includes('\0')) throw badTar('a name holds a NUL');
  const components = name.split('/').filter((part) => part !== '' && part !== '.');
  if (components.includes('..')) {
    throw badTar('an entry leads out of the directory that was asked for');
  }
  if (components.some((part) => part.length > longestComponent)) throw badTar('a name is too long');
  return components;
}

/**
 * Whether a symlink in the directory `parents` stays inside the tree when it is followed. `..` is only
 * good at its beginning, where it climbs real directories: after a name it may climb from wherever
 * another link leads.
 */
export function linkStaysInside(parents: readonly string[], target: string): boolean {
  if (target === '' || target.startsWith('/') || target.includes('\0')) return false;
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  let climbs = 0;
  while (parts[climbs] === '..') climbs += 1;
  return climbs <= parents.length && !parts.includes('..', climbs);
}
