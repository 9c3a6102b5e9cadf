/** Which name servers are asked. */
import { readFileSync, statSync } from 'node:fs';
import net from 'node:net';
import { CoppiceError } from '../../../protocol/errors.ts';

export interface NameServer {
  readonly address: string;
  readonly port: number;
}

/** More are not asked by anybody else either. */
const maxServers = 3;

/**
 * "192.0.2.1", "192.0.2.1:5353", "2001:db8::1" or "[2001:db8::1]:5353".
 * @throws CoppiceError `invalid_input`
 */
export function parseServer(text: string): NameServer {
  const [, bracketed, plain, digits] = /^(?:\[(.+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const server =
    digits === undefined
      ? { address: text, port: 53 }
      : { address: bracketed ?? plain ?? '', port: Number(digits) };
  if (net.isIP(server.address) === 0 || server.port < 1 || server.port > 65_535) {
    throw new CoppiceError({
      code: 'invalid_input',
      message: `${JSON.stringify(text)} is not the address of a name server.`,
      next: 'Give an address, and if need be a port: 192.0.2.1, 192.0.2.1:53 or [2001:db8::1]:53.',
    });
  }
  return server;
}

/** The servers that a resolv.conf names, but for `except`. */
export function parseResolvConf(text: string, except?: string): NameServer[] {
  const addresses = [...text.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].map(
    ([, address = '']) => address,
  );
  return addresses
    .filter((address) => net.isIP(address) !== 0 && address !== except)
    .slice(0, maxServers)
    .map((address) => ({ address, port: 53 }));
}

/**
 * The servers of this host as the file says at each call; it is read again when it has changed. None where it
 * cannot be read. `except`: never asked, because it is who asks.
 */
export function hostServers(
  except: string | undefined,
  file = '/etc/resolv.conf',
): () => readonly NameServer[] {
  let stamp = '';
  let servers: readonly NameServer[] = [];
  return () => {
    try {
      const { mtimeMs, ino, size } = statSync(file);
      const found = `${mtimeMs} ${ino} ${size}`;
      if (found !== stamp) {
        servers = parseResolvConf(readFileSync(file, 'utf8'), except);
        stamp = found;
      }
    } catch {
      stamp = '';
      servers = [];
    }
    return servers;
  };
}
