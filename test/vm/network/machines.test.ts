/** Machines among each other: pairs, teams and ports, before and after each change. */
import { afterAll, beforeAll, beforeEach, it } from 'vitest';
import { describeOnBed, doors } from '../support/networkBed.ts';
import {
  closed,
  dns,
  icmp,
  open,
  says,
  tcp,
  udp,
  type Attempt,
  type Expectation,
} from './probes.ts';
import { gateway, openFlow, openScene, type Place, type Scene } from './scene.ts';

const names = ['a', 'b', 'c'] as const;
type Name = (typeof names)[number];

let scene: Scene;
let at: Record<Name, Place>;

/** Everything that one may be to another. */
function everything(to: Name, expect: Expectation): Attempt[] {
  const { address } = at[to];
  return [
    { name: `${to}, tcp`, probe: tcp(address, doors.open), expect },
    { name: `${to}, tcp, another port`, probe: tcp(address, doors.alsoOpen), expect },
    { name: `${to}, udp`, probe: udp(address, doors.open), expect },
    { name: `${to}, large datagrams`, probe: udp(address, doors.open, 6000), expect },
    { name: `${to}, ping`, probe: icmp(address), expect },
  ];
}

/** The pairs that reach each other, in every way and both directions; no other does. */
async function expectPairs(...pairs: readonly (readonly [Name, Name])[]): Promise<void> {
  const paired = (from: Name, to: Name): boolean =>
    pairs.some((pair) => pair.includes(from) && pair.includes(to));
  await Promise.all(
    names.map(async (from) => {
      const others = names.filter((name) => name !== from);
      const rows = others.flatMap((to) => everything(to, paired(from, to) ? 'open' : 'closed'));
      await scene.expectAll(from, rows);
    }),
  );
}

describeOnBed('machines on a bridge', () => {
  beforeAll(async () => {
    scene = await openScene();
    const [a, b, c] = await scene.add({ a: {}, b: {}, c: { internet: 'full' } });
    at = { a: a!, b: b!, c: c! };
  });
  beforeEach(async () => {
    const shut = { allow_inter_vm: false, allowed_ports: [], team: '' };
    for (const name of names) await scene.setPolicy(name, shut);
  });
  afterAll(async () => {
    await scene.dispose();
  });

  it('do not reach each other', async () => {
    await expectPairs();
  });

  it('reach each other where both allow it', async () => {
    await scene.setPolicy('a', { allow_inter_vm: true });
    await expectPairs();
    await scene.setPolicy('b', { allow_inter_vm: true });
    await expectPairs(['a', 'b']);
    await scene.setPolicy('a', { allow_inter_vm: false });
    await expectPairs();
  });

  it('reach the members of their team, and know them by name', async () => {
    for (const name of ['a', 'b']) await scene.setPolicy(name, { team: 'red' });
    await scene.setPolicy('c', { team: 'blue', allow_inter_vm: true });
    await expectPairs(['a', 'b']);
    await scene.expectAll('a', [
      says('a member', dns(gateway, 'b.coppice'), `NOERROR ${at.b.address}`),
      says('a stranger', dns(gateway, 'c.coppice'), 'NXDOMAIN'),
    ]);
    await scene.expectAll('c', [
      says('a member of another', dns(gateway, 'b.coppice'), 'NXDOMAIN'),
    ]);
    await scene.setPolicy('c', { team: 'red' });
    await expectPairs(['a', 'b'], ['b', 'c'], ['a', 'c']);
    await scene.setPolicy('b', { team: '' });
    await expectPairs(['a', 'c']);
  });

  it('reach a port that one offers, by tcp and from outside in only', async () => {
    await scene.setPolicy('b', { allowed_ports: [doors.open] });
    const { address } = at.b;
    const rows = [
      open('the port', tcp(address, doors.open)),
      closed('the port, udp', udp(address, doors.open)),
      closed('another port', tcp(address, doors.alsoOpen)),
      closed('ping', icmp(address)),
    ];
    await Promise.all([
      scene.expectAll('a', rows),
      scene.expectAll('c', rows),
      scene.expectAll('b', [...everything('a', 'closed'), ...everything('c', 'closed')]),
    ]);
    await scene.setPolicy('b', { allowed_ports: [doors.alsoOpen] });
    await scene.expectAll('a', [
      closed('the port of before', tcp(address, doors.open)),
      open('the port of now', tcp(address, doors.alsoOpen)),
    ]);
  });

  it('lose their open connections with what allowed them, and only those', async () => {
    for (const name of ['a', 'b']) await scene.setPolicy(name, { team: 'red' });
    await scene.setPolicy('c', { allowed_ports: [doors.open] });
    const to = { to: at.b.address, port: doors.open };
    const [kept, ...revoked] = await Promise.all([
      openFlow(scene, 'a', { kind: 'tcp', to: at.c.address, port: doors.open }),
      openFlow(scene, 'a', { kind: 'tcp', ...to }),
      openFlow(scene, 'a', { kind: 'udp', ...to }),
    ]);
    // Their own policy is another one now, and still allows it.
    for (const name of ['a', 'b']) await scene.setPolicy(name, { bandwidth_mbit: 100 });
    await Promise.all([...revoked, kept].map((flow) => flow.lives()));
    // The other end leaves; who opened them is not touched.
    await scene.setPolicy('b', { team: '' });
    await Promise.all(revoked.map((flow) => flow.isDead()));
    await kept.lives();
    await scene.setPolicy('c', { allowed_ports: [] });
    await kept.isDead();
  });
});
