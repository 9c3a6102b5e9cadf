/** The network of a daemon without root: the same promises, without any device on the host. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { describeOnBed, doors, hostDoors, inNamespace, places } from '../support/networkBed.ts';
import { frameRows } from './frameRows.ts';
import { closed, dns, icmp, open, says, tcp, udp, type Attempt } from './probes.ts';
import { gateway, loopbackDoor, openFlow, openScene, remains, type Scene } from './scene.ts';

const { ten, twenty, thirty } = places;
const names = ['a', 'b', 'c'] as const;
let scene: Scene;

const full = [
  open('tcp', tcp(twenty, doors.open)),
  open('udp', udp(twenty, doors.open)),
  open('another address', tcp(ten, doors.open)),
];
const shut = (attempt: Attempt): Attempt => ({ ...attempt, expect: 'closed' });

/** Whatever the policy says. */
const never = [
  closed("the host's listener at the gateway", tcp(gateway, hostDoors.everywhere)),
  closed("the host's loopback at the gateway", tcp(gateway, hostDoors.loopback)),
  closed("the host's outer address", tcp(places.outer, hostDoors.everywhere)),
  closed("the host's outer address, udp", udp(places.outer, hostDoors.everywhere)),
  closed("the host's address in the local network", tcp(places.lan, hostDoors.everywhere)),
  closed('the local network', tcp(places.neighbour, doors.closed)),
  closed('metadata', tcp(places.metadata, doors.closed)),
  closed('a private network', tcp(places.office, doors.closed)),
  closed('another name server, udp', dns(places.nameServer, 'allowed.test')),
  closed('another name server, tcp', dns(ten, 'allowed.test', { over: 'tcp' })),
  closed('a name server over TLS', tcp(ten, 853)),
  open('the gateway, ping', icmp(gateway)),
];

async function restart(): Promise<void> {
  await scene.daemon.kill();
  await scene.daemon.start();
  await scene.reconnect();
}

describeOnBed('user mode', () => {
  beforeAll(async () => {
    scene = await openScene({ mode: 'user' });
    await scene.add({ a: {}, b: {}, c: {} });
  });
  beforeEach(async () => {
    for (const name of names) {
      const peers = { allow_inter_vm: false, allowed_ports: [], team: '' };
      await scene.setPolicy(name, { internet: 'off', allow: [], ...peers });
    }
  });
  afterAll(async () => {
    await scene.dispose();
  });

  it('reaches nothing at first', async () => {
    await scene.expectAll('a', [
      ...full.map(shut),
      ...never,
      says('a name', dns(gateway, 'allowed.test'), 'REFUSED'),
    ]);
  });

  it('reaches the internet when it may, and then neither host nor private networks', async () => {
    await scene.setPolicy('a', { internet: 'full' });
    await scene.expectAll('a', full);
    await scene.expectAll('a', [
      ...never,
      says('a name', dns(gateway, 'allowed.test'), `NOERROR ${twenty}`),
      says('a name of 127.0.0.1', dns(gateway, 'loopback.test'), 'REFUSED'),
    ]);
    await scene.expectAll('b', full.map(shut));
    const flow = await openFlow(scene, 'a', { kind: 'tcp', to: twenty, port: doors.open });
    await scene.setPolicy('a', { internet: 'off' });
    await flow.isDead();
    await scene.expectAll('a', full.map(shut));
  });

  it('reaches what its list names', async () => {
    const allow = [`${twenty}:7002-7003`, '*.cdn.test:7002'];
    await scene.setPolicy('a', { internet: 'list', allow });
    await scene.expectAll('a', [
      open('a port of a range', tcp(twenty, doors.own)),
      open('a port of a range, udp', udp(twenty, doors.open)),
      closed('a port beside it', tcp(twenty, doors.closed)),
      closed('an address beside it', tcp(ten, doors.open)),
      closed('before its name was asked for', tcp(thirty, doors.open)),
      says('a name beside the list', dns(gateway, 'cdn.test'), 'REFUSED'),
    ]);
    await scene.expectAll('a', [says('a name', dns(gateway, 'sub.cdn.test'), `NOERROR ${thirty}`)]);
    await scene.expectAll('a', [
      open('after its name was asked for', tcp(thirty, doors.open)),
      closed('at another port', tcp(thirty, doors.own)),
    ]);
    const log = await scene.client().call('network_log', { workspace_id: 'a' });
    expect(log).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ kind: 'connection', destination: ten, port: doors.open }),
        expect.objectContaining({ kind: 'name', destination: 'cdn.test' }),
      ]),
    );
  });

  it('reaches a machine of the local network where that is named', async () => {
    await scene.setPolicy('a', { internet: 'list', allow: [`${places.neighbour}/32`] });
    await scene.expectAll('a', [
      open('it', tcp(places.neighbour, doors.open)),
      closed("the host's address there", tcp(places.lan, hostDoors.everywhere)),
      closed('the internet', tcp(twenty, doors.open)),
    ]);
  });

  it('reaches members of its team, and ports that others offer', async () => {
    const [a, b, c] = await Promise.all(names.map((name) => scene.place(name)));
    const pair = [
      open('tcp', tcp(b!.address, doors.open)),
      open('udp', udp(b!.address, doors.open)),
      open('ping', icmp(b!.address)),
    ];
    await scene.expectAll('a', pair.map(shut));
    for (const name of ['a', 'b']) await scene.setPolicy(name, { team: 'red' });
    await scene.expectAll('a', pair);
    await scene.expectAll('b', [open('back', tcp(a!.address, doors.open))]);
    await scene.expectAll('c', pair.map(shut));
    const flow = await openFlow(scene, 'a', { kind: 'tcp', to: b!.address, port: doors.open });
    await scene.setPolicy('b', { team: '', allowed_ports: [doors.alsoOpen] });
    await flow.isDead();
    await scene.expectAll('c', [
      open('an offered port', tcp(b!.address, doors.alsoOpen)),
      closed('another', tcp(b!.address, doors.open)),
    ]);
    await scene.expectAll('b', [closed('the other way', tcp(c!.address, doors.alsoOpen))]);
  });

  it('sends no frame of its own making to anybody', async () => {
    const cast = {
      closed: await scene.place('a'),
      other: await scene.place('b'),
      open: await scene.place('c'),
    };
    await scene.setPolicy('c', { internet: 'full' });
    await scene.bed.hostPeers.reset();
    await scene.bed.internetPeers.reset();
    await scene.expectAll(
      'a',
      frameRows.map(({ name, probe }) => ({ name, probe: probe(cast), expect: 'unseen' })),
    );
    expect((await scene.bed.internetPeers.report()).clients).toEqual({});
    expect((await scene.bed.hostPeers.report()).clients).toEqual({});
    await scene.expectAll('b', [open('who was impersonated', icmp(gateway))]);
  });

  it('forwards ports, also of its loopback and after the daemon was killed', async () => {
    const call = scene.client().call;
    const machine = { workspace_id: 'b' };
    const forwards = [
      { guest_port: doors.open, host_port: 17_002 },
      { guest_port: loopbackDoor, host_port: 17_009 },
      { guest_port: doors.alsoOpen, host_port: 18_443, bind: '0.0.0.0' },
    ];
    for (const forward of forwards) await call('port_forward_add', { ...machine, ...forward });
    const host = [
      open('127.0.0.1', tcp('127.0.0.1', 17_002)),
      open("the machine's loopback", tcp('127.0.0.1', 17_009)),
      open('every address', tcp(places.outer, 18_443)),
      closed('127.0.0.1 outside', tcp(places.outer, 17_002)),
    ];
    const internet = [
      open('every address', tcp(places.outer, 18_443)),
      closed('127.0.0.1', tcp(places.outer, 17_002)),
    ];
    for (const happen of [() => Promise.resolve(), restart]) {
      await happen();
      await scene.expectAll('host', host);
      await scene.expectAll('internet', internet);
    }
  });

  it('has its network again after the daemon was killed, and no more than before', async () => {
    await scene.setPolicy('a', { internet: 'full' });
    await scene.expectAll('a', full);
    await restart();
    await scene.expectAll('a', full);
    await scene.expectAll('a', never);
    await scene.expectAll('b', full.map(shut));
  });

  it('leaves no program behind, and has made no device', async () => {
    const links = inNamespace(scene.bed.host, ['ip', '-o', 'link']);
    expect(links.trim().split('\n')).toHaveLength(3);
    await scene.daemon.clean();
    await expect.poll(() => remains(scene), { timeout: 10_000 }).toEqual([]);
  });
});
