/** What one connection to a machine needs: its keys, and its line among the known hosts. */
import type { ParsedKey } from 'ssh2';
import { readText, replaceFile } from './files.ts';
import { changing, type SshFolder } from './folder.ts';
import { ensureKey, publicText, readKey } from './keys.ts';
import { withHost } from './knownHosts.ts';

export interface SshIdentity {
  readonly hostKey: ParsedKey;
  /** Keys that open this machine. */
  readonly accepted: readonly ParsedKey[];
}

export interface Named {
  readonly id: string;
  readonly name: string;
}

/** Makes what is missing. Without a change it only reads. */
export async function identityOf(folder: SshFolder, workspace: Named): Promise<SshIdentity> {
  const known = await readIdentity(folder, workspace);
  return known ?? (await changing(folder, () => makeIdentity(folder, workspace)));
}

async function readIdentity(
  folder: SshFolder,
  { id, name }: Named,
): Promise<SshIdentity | undefined> {
  const files = folder.keysOf(id);
  const [hostKey, ...accepted] = await Promise.all(
    [files.host, files.client, folder.userKey].map(readKey),
  );
  if (hostKey === undefined || !accepted.every((key) => key !== undefined)) return undefined;
  const text = await readText(folder.knownHosts);
  if (withHost(text, { id, name, key: publicText(hostKey) }) !== text) return undefined;
  return { hostKey, accepted };
}

async function makeIdentity(folder: SshFolder, { id, name }: Named): Promise<SshIdentity> {
  const files = folder.keysOf(id);
  const hostKey = await ensureKey(files.host, `coppice host ${id}`);
  const client = await ensureKey(files.client, `coppice client ${id}`);
  const user = await ensureKey(folder.userKey, 'coppice user');
  const text = await readText(folder.knownHosts);
  const wanted = withHost(text, { id, name, key: publicText(hostKey) });
  if (wanted !== text) await replaceFile(folder.knownHosts, wanted, 0o600);
  return { hostKey, accepted: [client, user] };
}
