import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  hostServers,
  parseResolvConf,
  parseServer,
} from '../../../../helper-daemon/network/dns/servers.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'coppice-servers-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the address of a name server', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1', 53],
    ['192.0.2.1:5353', '192.0.2.1', 5353],
    ['2001:db8::1', '2001:db8::1', 53],
    ['[2001:db8::1]:5353', '2001:db8::1', 5353],
  ])('may be %s', (text, address, port) => {
    expect(parseServer(text)).toEqual({ address, port });
  });

  it.each([[''], ['dns.test'], ['192.0.2.1:'], ['192.0.2.1:0'], ['192.0.2.1:65536'], ['::g']])(
    'may not be %j',
    (text) => {
      expect(() => parseServer(text)).toThrow(expect.objectContaining({ code: 'invalid_input' }));
    },
  );
});

describe('the servers of the host', () => {
  it('are the first three that resolv.conf names, without the one that asks', () => {
    const text = [
      '# nameserver 192.0.2.9',
      'search example.com',
      'nameserver 10.42.0.1',
      ' nameserver\t127.0.0.53 # stub',
      'nameserver fe80::1%eth0',
      'nameserver nonsense',
      'nameserver 192.0.2.3',
      'nameserver 192.0.2.4',
    ].join('\n');
    expect(parseResolvConf(text, '10.42.0.1').map(({ address }) => address)).toEqual([
      '127.0.0.53',
      'fe80::1%eth0',
      '192.0.2.3',
    ]);
  });

  it('are those that the file names at the time', () => {
    const file = path.join(folder, 'resolv.conf');
    const servers = hostServers(undefined, file);
    expect(servers()).toEqual([]);
    writeFileSync(file, 'nameserver 192.0.2.1\n');
    expect(servers()).toEqual([{ address: '192.0.2.1', port: 53 }]);
    expect(servers()).toBe(servers());
    writeFileSync(`${file}.new`, 'nameserver 192.0.2.2\n');
    renameSync(`${file}.new`, file);
    expect(servers()).toEqual([{ address: '192.0.2.2', port: 53 }]);
    rmSync(file);
    expect(servers()).toEqual([]);
  });
});
