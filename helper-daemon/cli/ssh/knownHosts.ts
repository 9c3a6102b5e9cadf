/**
 * Which host key belongs to which machine. ssh reads the file after it has started the proxy, so the proxy
 * writes a machine's line before it says its first word. A line is bound to the workspace's id: a machine that
 * is made anew under an old name has its own line, while the key of a known id never changes silently.
 */
import { keyAliasOf } from './hostNames.ts';

export interface KnownHost {
  readonly id: string;
  readonly name: string;
  /** `ssh-ed25519 AAAA…` */
  readonly key: string;
}

/** The text with this machine's line in it, or the same text when all is said already. */
export function withHost(text: string, host: KnownHost): string {
  const lines = linesOf(text);
  const old = lines.find((line) => idOf(line) === host.id);
  const line = lineOf(host, old === undefined ? host.key : keyOf(old));
  if (old === line) return text;
  return joined([...lines.filter((candidate) => candidate !== old), line]);
}

/** The text without the lines of machines that are no more. */
export function withoutOthers(text: string, ids: ReadonlySet<string>): string {
  return joined(linesOf(text).filter((line) => ids.has(idOf(line))));
}

function lineOf({ id, name }: KnownHost, key: string): string {
  return `${keyAliasOf(name)},${keyAliasOf(id)} ${key} ${id}`;
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

function keyOf(line: string): string {
  return line.split(' ').slice(1, 3).join(' ');
}

function idOf(line: string): string {
  return line.split(' ')[3] ?? '';
}
