import { describe, expect, it } from 'vitest';
import {
  localRoutes,
  readHostAddresses,
} from '../../../../helper-daemon/network/user/hostAddresses.ts';

const trie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.0
           /8 host LOCAL
     +-- 203.0.113.0/24 2 0 2
        |-- 203.0.113.0
           /24 link UNICAST
        |-- 203.0.113.7
           /32 host LOCAL
        |-- 203.0.113.255
           /32 link BROADCAST
     |-- 198.51.100.0
        /25 host LOCAL
        /24 universe UNICAST
`;

describe('this host’s addresses', () => {
  it('are the local and broadcast routes, whole prefixes too', () => {
    expect(localRoutes(trie)).toEqual([
      [0x7f00_0000, 0x7fff_ffff],
      [0xcb00_7107, 0xcb00_7107],
      [0xcb00_71ff, 0xcb00_71ff],
      [0xc633_6400, 0xc633_647f],
    ]);
  });

  it('are found on this host', () => {
    const loopback = 0x7f00_0001;
    const found = readHostAddresses();
    expect(found.some(([first, last]) => first <= loopback && loopback <= last)).toBe(true);
  });
});
