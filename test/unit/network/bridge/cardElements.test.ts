import { describe, expect, it } from 'vitest';
import {
  elementsOfCard,
  elementsOfPair,
  mayReach,
  tapName,
} from '../../../../helper-daemon/network/bridge/cardElements.ts';
import { idOf, isLimit } from '../../../../helper-daemon/network/bridge/elements.ts';
import type { Card } from '../../../../helper-daemon/network/network.ts';
import { closedPolicy, type NetworkPolicy } from '../../../../helper-daemon/network/policy.ts';

function card(policy: Partial<NetworkPolicy> = {}, over: Partial<Card> = {}): Card {
  return {
    workspaceId: 'w',
    name: 'demo',
    address: '10.42.0.5',
    mac: '02:c0:0a:2a:00:05',
    policy: { ...closedPolicy, ...policy },
    revision: 7,
    forwards: [],
    ...over,
  };
}

const ids = (one: Card): string[] => elementsOfCard(one, 'cpt-0').map(idOf);

/** Keys of one set, without the machine's own address. */
const reach = (allow: string[], set: string): string[] =>
  elementsOfCard(card({ internet: 'list', allow }), 'cpt-0').flatMap((element) =>
    !isLimit(element) && element.set === set ? [element.key.slice(1).join(' ')] : [],
  );

describe('the elements of a card', () => {
  it('only identify and count a machine that reaches nothing', () => {
    expect(ids(card({ allow: ['203.0.113.0/24'] }))).toEqual([
      'cards|cpt-0 02:c0:0a:2a:00:05|',
      'sources|cpt-0 02:c0:0a:2a:00:05 10.42.0.5|',
      'sent|10.42.0.5|',
      'received|10.42.0.5|',
      'refused|10.42.0.5|',
    ]);
  });

  it('bind what it reaches to the revision of its policy', () => {
    const all = ids(card({ internet: 'full' }));
    expect(all).toContain('revision|10.42.0.5|7');
    expect(all).toContain('current|10.42.0.5 7|');
    expect(all).toContain('everywhere|10.42.0.5|');
  });

  it('leave out of a CIDR what a wider one allows already', () => {
    const allow = ['10.0.0.0/8:80-90', '10.1.0.0/16:85-100', '10.1.2.3:1-200', '10.1.2.3:300'];
    expect(reach(allow, 'cidr_ports').sort()).toEqual([
      '10.0.0.0/8 80-90',
      '10.1.0.0/16 91-100',
      '10.1.2.3 1-79',
      '10.1.2.3 101-200',
      '10.1.2.3 300',
    ]);
    expect(reach(['10.0.0.0/8', '10.1.0.0/16', '10.1.2.3:80'], 'cidrs')).toEqual(['10.0.0.0/8']);
    expect(reach(['10.0.0.0/8', '10.1.0.0/16', '10.1.2.3:80'], 'cidr_ports')).toEqual([]);
  });

  it('unite ports that are open everywhere', () => {
    expect(reach(['*:80', '*:81-90', '*:443'], 'public_ports')).toEqual(['80-90', '443']);
    expect(reach(['*:80', '*'], 'public_ports')).toEqual([]);
  });

  it('publish forwards to other machines unless they are bound to a loopback', () => {
    const forwards = [
      { bind: '127.0.0.1', hostPort: 1, guestPort: 80, direct: true },
      { bind: '0.0.0.0', hostPort: 2, guestPort: 80, direct: true },
      { bind: '192.0.2.1', hostPort: 3, guestPort: 80, direct: true },
    ];
    const all = ids(card({}, { forwards }));
    expect(all.filter((id) => /^forwards(_any)?\|/.test(id))).toEqual([
      'forwards|127.0.0.1 1|10.42.0.5 80',
      'forwards_any|2|10.42.0.5 80',
      'forwards|192.0.2.1 3|10.42.0.5 80',
    ]);
    expect(all.filter((id) => id.startsWith('published'))).toEqual([
      'published_any|2|',
      'published|192.0.2.1 3|',
    ]);
  });

  it('leave to the daemon what the kernel cannot carry', () => {
    const forwards = [{ bind: '0.0.0.0', hostPort: 2, guestPort: 80, direct: false }];
    const all = ids(card({}, { forwards })).filter((id) => /^(forward|publish)/.test(id));
    expect(all.sort()).toEqual(['forwarded|10.42.0.5 80|', 'published_any|2|']);
  });

  it('name another limit for another bandwidth', () => {
    const limits = (bandwidthMbit: number): string[] =>
      ids(card({ bandwidthMbit })).filter((id) => id.startsWith('limit'));
    expect(limits(0)).toEqual([]);
    expect(limits(10)).toHaveLength(2);
    expect(limits(10)).not.toEqual(limits(20));
  });
});

it('a pair of a team reaches each other', () => {
  const pair = elementsOfPair(card(), card({}, { address: '10.42.0.6' }));
  expect(pair.map(idOf)).toEqual(['pairs|10.42.0.5 10.42.0.6|', 'pairs|10.42.0.6 10.42.0.5|']);
});

it('a name is told to those who may connect', () => {
  const open = card({ allowInterVm: true });
  expect(mayReach(card(), card())).toBe(false);
  expect(mayReach(open, card())).toBe(false);
  expect(mayReach(open, open)).toBe(true);
  expect(mayReach(card(), card({ allowedPorts: [80] }))).toBe(true);
});

it('the name of a device fits into what Linux allows', () => {
  expect(tapName('0123abcd-4567-89ef-0123-456789abcdef')).toBe('cpt-0123abcd456');
});
