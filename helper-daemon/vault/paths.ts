/**
 * Paths of notes. Inside the vault they are relative to its root, with single slashes and without a leading
 * one, the root itself being the empty path; that form is also the key of locks and rows, whatever view of the
 * vault it was asked through.
 */
import nodePath from 'node:path';
import { vaultError } from './errors.ts';
import { isTemporary } from './temporary.ts';

/** A part of the vault that a caller sees as all there is. */
export interface Scope {
  /** The vault's directory on the host. */
  readonly root: string;
  /** Path of the part; empty: the whole vault. */
  readonly folder: string;
  /** Names of folders that lie in the directory but are no part of the vault. */
  readonly excluded: readonly string[];
}

/**
 * The path in the vault that a caller means. An absolute one is accepted where it leads into the scope.
 * Excluded folders are refused, too: what programs keep there (.git, .obsidian) may be code that they run.
 * @throws CoppiceError `vault_error` when it leads out of the scope
 */
export function resolvePath(scope: Scope, given: string): string {
  const parts = relativeTo(scope, given)
    .split('/')
    .filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) {
    throw vaultError(`'${given}' has a '..' in it.`, 'Give the path from the top of the vault.');
  }
  if (parts.some(isTemporary)) throw vaultError(`'${given}' is a name the vault keeps for itself.`);
  const excluded = parts.find((part) => isExcluded(scope.excluded, part));
  if (excluded !== undefined) throw vaultError(`'${excluded}' is not a part of the vault.`);
  return join(scope.folder, parts.join('/'));
}

export function isExcluded(excluded: readonly string[], name: string): boolean {
  return excluded.some((other) => other.toLowerCase() === name.toLowerCase());
}

function relativeTo(scope: Scope, given: string): string {
  if (!given.startsWith('/') || given === '/') return given;
  const top = nodePath.posix.join(scope.root, scope.folder);
  if (given === top) return '';
  if (given.startsWith(`${top}/`)) return given.slice(top.length + 1);
  throw vaultError(
    `'${given}' is not in the vault.`,
    "Give a path relative to the vault, without '/' in front.",
  );
}

/** A path in the vault as the scope's caller knows it. */
export function shownPath(scope: Scope, path: string): string {
  if (scope.folder === '') return path;
  return path === scope.folder ? '' : path.slice(scope.folder.length + 1);
}

export function join(folder: string, name: string): string {
  if (folder === '') return name;
  return name === '' ? folder : `${folder}/${name}`;
}

/** Folder and name; the root has no name. */
export function split(path: string): { readonly folder: string; readonly name: string } {
  const slash = path.lastIndexOf('/');
  return { folder: slash < 0 ? '' : path.slice(0, slash), name: path.slice(slash + 1) };
}

export function isWithin(path: string, folder: string): boolean {
  return folder === '' || path === folder || path.startsWith(`${folder}/`);
}

/** Whether the file has one of these extensions, which are given without a dot. */
export function hasExtension(path: string, extensions: readonly string[]): boolean {
  const { name } = split(path);
  return extensions.some((extension) => name.endsWith(`.${extension}`));
}

/** By code unit: the same order everywhere. */
export function comparePaths(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
