/** Port forwards: where they lead, who may use them, and how long they last. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PortForward } from '../../../protocol/operations/networkModel.ts';
import { describeOnBed, doors, hostDoors, places, type Line } from '../support/networkBed.ts';
import { refusal, sh } from '../support/workspaceSteps.ts';
import { closed, open, tcp, type Attempt } from './probes.ts';
import { gateway, loopbackDoor, openScene, patience, type Scene } from './scene.ts';

const bound = { guest_port: doors.open, host_port: 17_002, bind: '127.0.0.1' } as const;
const inner = { guest_port: loopbackDoor, host_port: 17_009, bind: '127.0.0.1' } as const;
const wideInner = { guest_port: loopbackDoor, host_port: 18_009, bind: '0.0.0.0' } as const;
const wide = { guest_port: doors.alsoOpen, host_port: 18_443, bind: '0.0.0.0' } as const;
let scene: Scene;

async function add(
  workspace_id: string,
  forward: { readonly guest_port: number; readonly host_port?: number; readonly bind?: string },
): Promise<PortForward> {
  return await scene.client().call('port_forward_add', { workspace_id, ...forward });
}

const fromHost: readonly Attempt[] = [
  open('127.0.0.1', tcp('127.0.0.1', bound.host_port)),
  open("the machine's loopback", tcp('127.0.0.1', inner.host_port)),
  open('every address, 127.0.0.1', tcp('127.0.0.1', wide.host_port)),
  open('every address, the outer one', tcp(places.outer, wide.host_port)),
  open("every address, the machine's loopback", tcp(places.outer, wideInner.host_port)),
  open('every address, the gateway', tcp(gateway, wide.host_port)),
  closed('127.0.0.1 at the outer address', tcp(places.outer, bound.host_port)),
  closed('127.0.0.1 at the gateway', tcp(gateway, bound.host_port)),
];
const fromOutside: readonly Attempt[] = [
  open('every address', tcp(places.outer, wide.host_port)),
  open("every address, the machine's loopback", tcp(places.outer, wideInner.host_port)),
  closed('127.0.0.1', tcp(places.outer, bound.host_port)),
  closed("the machine's loopback", tcp(places.outer, inner.host_port)),
];
const fromMachines: readonly Attempt[] = [
  open('every address, the gateway', tcp(gateway, wide.host_port)),
  open('every address, the outer one', tcp(places.outer, wide.host_port)),
  open("every address, the machine's loopback", tcp(places.outer, wideInner.host_port)),
  closed('127.0.0.1', tcp(gateway, bound.host_port)),
  closed("the machine's loopback", tcp(gateway, inner.host_port)),
];

async function expectForwards(): Promise<void> {
  await Promise.all([
    scene.expectAll('host', fromHost),
    scene.expectAll('internet', fromOutside),
    scene.expectAll('a', fromMachines),
    // Through the host to itself.
    scene.expectAll('b', fromMachines),
  ]);
}

/** Connections from the host, through the daemon and past it. */
async function heldOpen(): Promise<Line[]> {
  const ports = [bound.host_port, wide.host_port];
  return await Promise.all(ports.map((port) => scene.bed.hostPeers.dial('127.0.0.1', port)));
}

describeOnBed('forwards on a bridge', () => {
  beforeAll(async () => {
    scene = await openScene();
    await scene.add({ a: {}, b: {} });
    for (const forward of [bound, inner, wide, wideInner]) {
      expect(await add('b', forward)).toMatchObject({ ...forward, problem: null });
    }
  });
  afterAll(async () => {
    await scene.dispose();
  });

  it('lead to the machine from where they are bound, and from nowhere else', async () => {
    await expectForwards();
  });

  it('and their open connections outlive every change of policy', async () => {
    const held = await heldOpen();
    const policies: Parameters<Scene['setPolicy']>[1][] = [
      { internet: 'full' },
      { internet: 'list', allow: [`${places.twenty}/32`] },
      { team: 'red', allow_inter_vm: true },
      { internet: 'off', allow: [], team: '', allow_inter_vm: false },
    ] as const;
    for (const policy of policies) {
      await scene.setPolicy('b', policy);
      for (const connection of held) expect(await connection.echoes()).toBe(true);
    }
    await expectForwards();
  });

  it('last over kill -9 of the daemon, a stop, a restore and a suspension', async () => {
    await scene.daemon.kill();
    await scene.daemon.start();
    await scene.reconnect();
    await expectForwards();
    const { client } = scene;
    const machine = { workspace_id: 'b' };
    await client().call('workspace_stop', machine);
    await scene.expectAll('host', [
      closed('a machine that is off', tcp('127.0.0.1', bound.host_port)),
    ]);
    await client().call('workspace_start', machine);
    await scene.serve('b');
    await expectForwards();
    await client().call('snapshot_create', { ...machine, name: 's', include_memory: true });
    await client().call('snapshot_restore', { ...machine, name: 's' });
    await expectForwards();
    await client().call('workspace_suspend', machine);
    await client().call('workspace_resume', machine);
    await expectForwards();
  });

  it('take a port of their own, and none that is taken', async () => {
    const same = await add('a', { guest_port: 5555 });
    expect(same).toMatchObject({ host_port: 5555, bind: '127.0.0.1' });
    const other = await add('b', { guest_port: 5555 });
    expect(other.host_port).not.toBe(5555);
    const privileged = await add('a', { guest_port: 80 });
    expect(privileged.host_port).toBeGreaterThan(1023);
    for (const host_port of [hostDoors.everywhere, hostDoors.loopback, wide.host_port]) {
      const taken = await refusal(add('a', { guest_port: 6000, host_port }));
      expect(taken.code).toBe('port_taken');
      expect(taken.next).not.toBe('');
    }
    // The host's own listeners are still the host's.
    await scene.expectAll('host', [open('a listener', tcp('127.0.0.1', hostDoors.everywhere))]);
    for (const [workspace_id, guest_port] of [
      ['a', 5555],
      ['b', 5555],
      ['a', 80],
    ] as const) {
      const removed = await scene
        .client()
        .call('port_forward_remove', { workspace_id, guest_port });
      expect(removed.removed).toBe(1);
    }
  });

  it('are listed beside the ports that machines listen on, which are told as they come', async () => {
    const told: number[][] = [];
    const listener = await scene.daemon.connect();
    await listener.subscribe(({ event }) => {
      if (event.type === 'ports_changed') told.push(event.listening.map(({ port }) => port));
    });
    const { job_id } = await scene.client().call('process_start', {
      workspace_id: 'a',
      command: 'exec python3 -m http.server 4321',
    });
    await expect.poll(() => told.at(-1), patience).toContain(4321);
    const list = async () => await scene.client().call('port_forward_list', { workspace_id: 'a' });
    expect(await list()).toContainEqual(
      expect.objectContaining({
        guest_port: 4321,
        forward: null,
        listening: expect.objectContaining({ port: 4321, process: 'python3' }),
      }),
    );
    await scene.client().call('process_signal', { workspace_id: 'a', job_id });
    await expect.poll(() => told.at(-1), patience).not.toContain(4321);
    listener.close();
  });

  it('end when they are removed, with the connections that go through them', async () => {
    const held = await heldOpen();
    for (const { guest_port } of [bound, inner, wide]) {
      await scene.client().call('port_forward_remove', { workspace_id: 'b', guest_port });
    }
    const shut = (attempt: Attempt): Attempt => ({ ...attempt, expect: 'closed' });
    await scene.expectAll('host', fromHost.map(shut));
    await scene.expectAll('internet', fromOutside.map(shut));
    await scene.expectAll('a', fromMachines.map(shut));
    for (const connection of held) expect(await connection.echoes()).toBe(false);
    expect(await sh(scene.client(), 'b', 'echo here')).toBe('here');
  });
});
