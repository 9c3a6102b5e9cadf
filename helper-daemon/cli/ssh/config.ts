/** The ssh_config that Coppice keeps: one block for each machine, and one for those that are made later. */
import { CoppiceError } from '../../../protocol/errors.ts';
import { asShellCommand } from '../argv/shellQuote.ts';
import type { SshFolder } from './folder.ts';
import { hostOf, keyAliasOf } from './hostNames.ts';

export interface ConfigSource {
  readonly folder: SshFolder;
  readonly workspaces: readonly { readonly workspace_id: string; readonly name: string }[];
  /** Program and arguments that a host is added to. */
  readonly proxy: readonly string[];
  /** Whether a connection starts a stopped machine. */
  readonly start: boolean;
}

const startMark = '# A connection starts a stopped machine.';

/** @throws CoppiceError `invalid_input` when a path cannot be written in an ssh_config */
export function renderConfig({ folder, workspaces, proxy, start }: ConfigSource): string {
  const command = [...proxy, ...(start ? ['--start'] : []), '--'];
  const proxyTo = (host: string): string => `${escaped(asShellCommand(command))} ${host}`;
  const common = [
    `IdentityFile ${quoted(folder.userKey)}`,
    `UserKnownHostsFile ${quoted(folder.knownHosts)}`,
    ...settings,
  ];
  const named = [...workspaces]
    .sort((a, b) => a.name.localeCompare(b.name))
    .map(({ workspace_id, name }) =>
      block(`${hostOf(name)} coppice-${name}`, [
        `ProxyCommand ${proxyTo(hostOf(name))}`,
        `HostKeyAlias ${keyAliasOf(name)}`,
        `IdentityFile ${quoted(folder.keysOf(workspace_id).client)}`,
        ...common,
      ]),
    );
  const later = block('*.coppice', [`ProxyCommand ${proxyTo("'%n'")}`, ...common]);
  const head = '# Written by coppice ssh-config; changes are lost.\n';
  return [start ? `${head}${startMark}\n` : head, ...named, later].join('\n');
}

/** What an existing config was written with. */
export function startsMachines(config: string): boolean {
  return config.split('\n').includes(startMark);
}

/**
 * Whatever else the user's own `Host *` may say, a connection works, asks nothing and leaves nothing behind.
 * Only settings that every OpenSSH in use knows: one unknown word would break the user's whole ssh.
 */
const settings = [
  'User root',
  'IdentitiesOnly yes',
  'IdentityAgent none',
  'PreferredAuthentications publickey',
  'PubkeyAuthentication yes',
  'PubkeyAcceptedKeyTypes ssh-ed25519',
  'HostKeyAlgorithms ssh-ed25519',
  'KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org',
  'Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com',
  'Compression no',
  'StrictHostKeyChecking yes',
  'GlobalKnownHostsFile /dev/null',
  'UpdateHostKeys no',
  'VerifyHostKeyDNS no',
  'CheckHostIP no',
  'CanonicalizeHostname no',
  'ConnectTimeout none',
  'ForwardAgent no',
  'ForwardX11 no',
  'SendEnv COLORTERM',
] as const;

function block(hosts: string, lines: readonly string[]): string {
  return `Host ${hosts}\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

/** `%` begins a token in every value that is used here. */
function escaped(text: string): string {
  if (/[\n\r\0]/.test(text)) throw unspeakable(text);
  return text.replaceAll('%', '%%');
}

export function quoted(file: string): string {
  if (/["\\]|\$\{/.test(file)) throw unspeakable(file);
  return `"${escaped(file)}"`;
}

function unspeakable(text: string): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: `ssh cannot be told of ${JSON.stringify(text)}: quotes, backslashes, line ends and "\${" have no form in its settings.`,
    next: 'Set COPPICE_HOME, or XDG_STATE_HOME, to a directory without them.',
  });
}
