import { describe, expect, it } from 'vitest';
import { reasonOf } from '../../../../helper-daemon/network/bridge/accounts.ts';
import { blockingFirewall } from '../../../../helper-daemon/network/bridge/conflicts.ts';
import { addressPlan } from '../../../../helper-daemon/network/addressPlan.ts';
import { closedPolicy } from '../../../../helper-daemon/network/policy.ts';

const bridge = 'br-coppice';
const base = { family: 'ip', table: 'filter' };
const forward = { ...base, name: 'FORWARD', hook: 'forward' };

describe('other firewalls', () => {
  const docker = [
    { chain: { ...forward, policy: 'drop' } },
    { chain: { ...base, name: 'DOCKER-USER' } },
  ];

  it('are in the way where Docker drops what it does not know', () => {
    const found = blockingFirewall({ nftables: docker }, bridge);
    expect(found?.fix).toContain('iptables -I DOCKER-USER -i br-coppice -j ACCEPT');
  });

  it('are not where a rule names the bridge', () => {
    const match = { match: { left: { meta: { key: 'iifname' } }, op: '==', right: bridge } };
    const rule = { ...base, chain: 'DOCKER-USER', expr: [match, { accept: null }] };
    expect(blockingFirewall({ nftables: [...docker, { rule }] }, bridge)).toBeUndefined();
  });

  it('are not where forwarded packets are accepted, nor are our own tables', () => {
    const ours = {
      family: 'inet',
      table: 'coppice',
      name: 'forward',
      hook: 'forward',
      policy: 'drop',
    };
    const accepting = [{ chain: { ...forward, policy: 'accept' } }, { chain: ours }];
    expect(blockingFirewall({ nftables: accepting }, bridge)).toBeUndefined();
  });

  it('are told apart: ufw, firewalld, and others', () => {
    const dropping = { chain: { ...forward, policy: 'drop' } };
    const ufw = { chain: { ...base, name: 'ufw-before-forward' } };
    expect(blockingFirewall({ nftables: [dropping, ufw] }, bridge)?.fix).toContain(
      'ufw route allow',
    );
    const firewalld = {
      chain: {
        family: 'inet',
        table: 'firewalld',
        name: 'filter_FORWARD',
        hook: 'forward',
        policy: 'accept',
      },
    };
    expect(blockingFirewall({ nftables: [firewalld] }, bridge)?.fix).toContain('firewall-cmd');
    expect(blockingFirewall({ nftables: [dropping] }, bridge)?.fix).toContain(
      'nft insert rule ip filter FORWARD',
    );
  });
});

describe('the reason of a refusal', () => {
  const plan = addressPlan('10.42.0.0/16');
  const reason = (
    destination: string,
    port: number | undefined,
    protocol: string,
    internet: 'off' | 'list' = 'list',
  ): string =>
    reasonOf({ policy: { ...closedPolicy, internet } }, plan, new Set(['192.0.2.1']), {
      destination,
      port,
      protocol,
    });

  it('is told from where the packets were going', () => {
    expect([
      reason('192.0.2.1', 22, 'tcp'),
      reason('10.42.0.1', 22, 'tcp'),
      reason('127.0.0.1', 22, 'tcp'),
      reason('10.42.0.9', 22, 'tcp'),
      reason('203.0.113.1', 53, 'udp'),
      reason('203.0.113.1', 443, 'tcp', 'off'),
      reason('203.0.113.1', undefined, '47'),
      reason('192.168.1.1', 443, 'tcp'),
      reason('203.0.113.1', 443, 'tcp'),
    ]).toEqual([
      'an address of the host',
      'an address of the host',
      'an address of the host',
      'another machine',
      'names are asked of the gateway only',
      'the policy allows no internet',
      'a protocol that is never passed on',
      'a private address that no CIDR of the policy names',
      'not in the list of what the policy allows',
    ]);
  });
});
