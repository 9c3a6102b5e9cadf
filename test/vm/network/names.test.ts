/** Domains: what a machine may resolve is what it may reach, and nothing else leaves as a question. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnBed, doors, places } from '../support/networkBed.ts';
import { closed, dns, icmp, open, says, tcp, udp } from './probes.ts';
import { gateway, openFlow, openScene, type Scene } from './scene.ts';

const { ten, twenty, thirty } = places;
const ports = `${String(doors.closed)}-${String(doors.open)}`;
let scene: Scene;

describeOnBed('names on a bridge', () => {
  beforeAll(async () => {
    scene = await openScene();
    await scene.add({ a: {}, b: {} });
    const allow = [
      `allowed.test:${ports}`,
      '*.cdn.test',
      '.both.test:7002',
      'alias.test',
      'short.test',
      'ten.test',
      'loopback.test',
      'metadata.test',
      'lan.test',
      'mixed.test',
    ];
    for (const name of ['a', 'b']) await scene.setPolicy(name, { internet: 'list', allow });
  });
  afterAll(async () => {
    await scene.dispose();
  });

  it('an address opens with the answer that names it, for the machine that asked', async () => {
    const door = tcp(twenty, doors.open);
    await scene.expectAll('a', [closed('before', door)]);
    const name = dns(gateway, 'allowed.test');
    await scene.expectAll('a', [says('the name', name, `NOERROR ${twenty}`)]);
    await scene.expectAll('a', [
      open('after', door),
      open('after, udp', udp(twenty, doors.open)),
      closed('a port that was not named', tcp(twenty, doors.alsoOpen)),
      closed('ping', icmp(twenty)),
    ]);
    await scene.expectAll('b', [closed('a machine that did not ask', door)]);
  });

  it('what a name has opened goes on while the policy only allows more', async () => {
    const { allow } = (await scene.client().call('network_info', { workspace_id: 'a' }))
      .network_policy;
    await scene.expectAll('a', [
      says('the name', dns(gateway, 'allowed.test'), `NOERROR ${twenty}`),
    ]);
    const flow = await openFlow(scene, 'a', { kind: 'tcp', to: twenty, port: doors.open });
    await scene.setPolicy('a', { bandwidth_mbit: 1000 });
    await scene.setPolicy('a', { allow: [...allow, 'more.test'] });
    await flow.lives();
    await scene.expectAll('a', [open('anew', tcp(twenty, doors.open))]);
    await scene.setPolicy('a', { allow, bandwidth_mbit: 0 });
    await flow.isDead();
  });

  it('each form of a domain means what it says', async () => {
    await scene.expectAll('a', [
      says('below *.', dns(gateway, 'sub.cdn.test'), `NOERROR ${thirty}`),
      says('far below *.', dns(gateway, 'deep.sub.cdn.test'), `NOERROR ${thirty}`),
      says('itself of *.', dns(gateway, 'cdn.test'), 'REFUSED'),
      says('itself of .', dns(gateway, 'both.test'), `NOERROR ${thirty}`),
      says('below .', dns(gateway, 'www.both.test'), `NOERROR ${thirty}`),
      says('another that ends alike', dns(gateway, 'notboth.test'), 'REFUSED'),
      says('below a single name', dns(gateway, 'www.allowed.test'), 'REFUSED'),
      says('in capitals', dns(gateway, 'ALLOWED.Test'), `NOERROR ${twenty}`),
      says('over tcp', dns(gateway, 'allowed.test', { over: 'tcp' }), `NOERROR ${twenty}`),
      says('an alias', dns(gateway, 'alias.test'), `NOERROR ${thirty}`),
      says('where an alias leads to', dns(gateway, 'elsewhere.test'), 'REFUSED'),
      says('IPv6', dns(gateway, 'allowed.test', { type: 'AAAA' }), 'NOERROR'),
      says('IPv6 of another', dns(gateway, 'denied.test', { type: 'AAAA' }), 'REFUSED'),
      says('text', dns(gateway, 'allowed.test', { type: 'TXT' }), 'NOERROR'),
      says('text of another', dns(gateway, 'denied.test', { type: 'TXT' }), 'REFUSED'),
    ]);
    await scene.expectAll('a', [open('through a suffix', tcp(thirty, doors.alsoOpen))]);
  });

  it('names that lead into private networks are not answered and open nothing', async () => {
    await scene.expectAll('a', [
      says('10/8', dns(gateway, 'ten.test'), 'REFUSED'),
      says('127/8', dns(gateway, 'loopback.test'), 'REFUSED'),
      says('metadata', dns(gateway, 'metadata.test'), 'REFUSED'),
      says('the local network', dns(gateway, 'lan.test'), 'REFUSED'),
      says('both', dns(gateway, 'mixed.test'), `NOERROR ${twenty}`),
    ]);
    await scene.expectAll('a', [
      closed('10/8', tcp(places.office, doors.open)),
      closed('metadata', tcp(places.metadata, doors.open)),
      closed('the local network', tcp(places.neighbour, doors.open)),
    ]);
    const log = await scene.client().call('network_log', { workspace_id: 'a' });
    const reasons = log.filter(({ kind }) => kind === 'name').map(({ destination }) => destination);
    expect(reasons).toEqual(expect.arrayContaining(['ten.test', 'loopback.test', 'lan.test']));
  });

  it('no question that is refused leaves the host, and none goes past the gateway', async () => {
    await scene.bed.internetPeers.reset();
    const secret = 'c2VjcmV0.denied.test';
    await scene.expectAll('a', [
      says('data in a name', dns(gateway, secret), 'REFUSED'),
      says('a pointer', dns(gateway, '2.77.168.192.in-addr.arpa', { type: 'PTR' }), 'NXDOMAIN'),
      closed('to the server itself', dns(places.nameServer, secret)),
      closed('to another', dns(ten, secret)),
      closed('to an address that is open, tcp', dns(thirty, secret, { over: 'tcp' })),
    ]);
    const { questions, clients } = await scene.bed.internetPeers.report();
    expect(questions).toEqual([]);
    expect(clients).toEqual({});
    const log = await scene.client().call('network_log', { workspace_id: 'a' });
    expect(log).toContainEqual(
      expect.objectContaining({ kind: 'name', destination: secret.toLowerCase(), count: 1 }),
    );
  });

  it('a name that is taken off the list closes its addresses and ends its connections', async () => {
    await scene.expectAll('b', [
      says('one', dns(gateway, 'allowed.test'), `NOERROR ${twenty}`),
      says('another', dns(gateway, 'sub.cdn.test'), `NOERROR ${thirty}`),
    ]);
    const gone = await openFlow(scene, 'b', { kind: 'tcp', to: twenty, port: doors.open });
    await scene.setPolicy('b', { allow: ['*.cdn.test'] });
    await gone.isDead();
    await scene.expectAll('b', [
      closed('its address', tcp(twenty, doors.open)),
      says('its name', dns(gateway, 'allowed.test'), 'REFUSED'),
      says('the other', dns(gateway, 'sub.cdn.test'), `NOERROR ${thirty}`),
    ]);
    await scene.expectAll('b', [open('the address of the other', tcp(thirty, doors.open))]);
  });

  it('what was resolved stays open when the daemon is killed, and so does the name server', async () => {
    await scene.expectAll('a', [says('a name', dns(gateway, 'allowed.test'), `NOERROR ${twenty}`)]);
    const flow = await openFlow(scene, 'a', { kind: 'tcp', to: twenty, port: doors.open });
    await scene.daemon.kill();
    await scene.daemon.start();
    await scene.reconnect();
    await flow.lives();
    await scene.expectAll('a', [
      open('its address', tcp(twenty, doors.open)),
      says('another', dns(gateway, 'short.test'), `NOERROR ${thirty}`),
      says('one that is not listed', dns(gateway, 'denied.test'), 'REFUSED'),
    ]);
  });
});
