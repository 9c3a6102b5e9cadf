/** The default matrix, and again after everything that can happen to machines and daemon. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeOnBed, doors, hostDoors, inNamespace, places } from '../support/networkBed.ts';
import { sh } from '../support/workspaceSteps.ts';
import { frameRows } from './frameRows.ts';
import { forwards, reachRows, type Cast, type Row } from './matrixRows.ts';
import type { Outcome } from './probes.ts';
import {
  becomesMore,
  bridge,
  gateway,
  openFlow,
  openScene,
  remains,
  type Flow,
  type Scene,
} from './scene.ts';

type Part = keyof Cast;

let scene: Scene;
/** Whose part the rows are: the name of the machine. */
let parts: Record<Part, string> = { closed: 'closed', other: 'other', open: 'open' };
let flows: Flow[] = [];

async function restart(between: () => Promise<void> = () => Promise.resolve()): Promise<void> {
  await scene.daemon.kill();
  await between();
  await scene.daemon.start();
  await scene.reconnect();
}

/** What has arrived of it in the internet. */
const arrived =
  ({ name }: Flow) =>
  async (): Promise<number> =>
    (await scene.bed.internetPeers.report()).counts[name] ?? 0;

const machines = (): string[] => Object.values(parts);

async function forEach(work: (machine: string) => Promise<unknown>): Promise<void> {
  await Promise.all(machines().map(work));
}

const events: readonly { readonly name: string; readonly happen: () => Promise<void> }[] = [
  { name: 'machines as they were made', happen: () => Promise.resolve() },
  {
    name: 'after the daemon was killed and started',
    async happen() {
      await restart(async () => {
        for (const flow of flows) await becomesMore(arrived(flow), await arrived(flow)());
      });
      for (const flow of flows) await flow.lives();
    },
  },
  {
    name: 'after machines were stopped and started',
    async happen() {
      await forEach(async (workspace_id) => {
        await scene.client().call('workspace_stop', { workspace_id });
        await scene.client().call('workspace_start', { workspace_id });
        await scene.serve(workspace_id);
      });
    },
  },
  {
    name: 'after snapshots with memory were restored',
    async happen() {
      await forEach(async (workspace_id) => {
        const snapshot = { workspace_id, name: 'kept' };
        await scene.client().call('snapshot_create', { ...snapshot, include_memory: true });
        const restored = await scene.client().call('snapshot_restore', snapshot);
        expect(restored.resumed).toBe(true);
      });
    },
  },
  {
    name: 'after machines were suspended, the daemon killed, and machines resumed',
    async happen() {
      await forEach((workspace_id) => scene.client().call('workspace_suspend', { workspace_id }));
      await restart();
      await forEach((workspace_id) => scene.client().call('workspace_resume', { workspace_id }));
    },
  },
  {
    name: 'in a live fork that means its parent',
    async happen() {
      const fork = { workspace_id: 'closed', new_name: 'child' };
      expect(await scene.client().call('workspace_fork', fork)).toMatchObject({ live: true });
      parts = { closed: 'child', other: 'closed', open: 'open' };
    },
  },
];

const rows: readonly Row[] = [...frameRows, ...reachRows];

describeOnBed('isolation on a bridge', () => {
  beforeAll(async () => {
    scene = await openScene({ bridgesAreFiltered: true });
    await scene.add({ closed: {}, other: {}, open: { internet: 'full' } });
    for (const forward of Object.values(forwards)) {
      await scene.client().call('port_forward_add', { workspace_id: 'open', ...forward });
    }
    await scene.bed.hostPeers.listen(gateway, hostDoors.gateway);
    const to = { to: places.twenty, port: doors.open };
    flows = [
      await openFlow(scene, 'open', { kind: 'tcp', ...to }),
      await openFlow(scene, 'open', { kind: 'udp', ...to }),
    ];
  });
  afterAll(async () => {
    await scene.dispose();
  });

  describe.each(events)('$name', ({ happen }) => {
    const outcomes = new Map<string, Outcome>();

    beforeAll(async () => {
      await happen();
      for (const outcome of await runMatrix()) outcomes.set(outcome.name, outcome);
    });

    it.each(rows)('$name', ({ name }) => {
      const outcome = outcomes.get(name);
      expect(outcome?.found, outcome?.detail).toBe(outcome?.expected ?? 'a probe');
    });

    it('nobody has arrived where no machine may', async () => {
      const { clients: outside, questions } = await scene.bed.internetPeers.report();
      const { clients: onHost, packets } = await scene.bed.hostPeers.report();
      const shut = new RegExp(`^(tcp|udp) ${String(doors.closed)} `);
      const inMachines: string[] = [];
      for (const machine of machines()) {
        const stats = JSON.parse(await sh(scene.client(), machine, 'cat /run/peers.json')) as {
          clients: Record<string, number>;
        };
        inMachines.push(...Object.keys(stats.clients).map((client) => `${machine}: ${client}`));
      }
      expect({
        outside: Object.keys(outside).filter((client) => shut.test(client)),
        host: Object.keys(onHost).filter((client) => client.includes(' 10.42.')),
        machines: inMachines.filter((client) => shut.test(client.replace(/^.*: /, ''))),
        wires: Object.keys(packets).filter((packet) =>
          new RegExp(`^(wan|lan) out (tcp|udp) .* ${String(doors.closed)}$`).test(packet),
        ),
        questions: questions.filter((question) => question.includes('denied.test')),
      }).toEqual({ outside: [], host: [], machines: [], wires: [], questions: [] });
    });

    it('no IPv6 of any machine gets past its card', async () => {
      const { packets } = await scene.bed.hostPeers.report();
      const sixth = Object.keys(packets).filter((packet) => packet.endsWith(' ether 86dd'));
      expect(sixth.filter((packet) => packet !== 'tap in ether 86dd')).toEqual([]);
    });

    it('the host knows every machine by its own card', async () => {
      for (const machine of machines()) {
        const { address, mac } = await scene.place(machine);
        const known = inNamespace(scene.bed.host, ['ip', 'neigh', 'show', address, 'dev', bridge]);
        expect(known).toMatch(new RegExp(`lladdr ${mac} |^$`));
      }
    });
  });

  it('a live fork has an address of its own, inside as outside', async () => {
    const [child, parent] = [await scene.place('child'), await scene.place('closed')];
    expect(child.address).not.toBe(parent.address);
    const inside = await sh(
      scene.client(),
      'child',
      'ip -4 -o addr show dev eth0; ip link show eth0',
    );
    expect(inside).toContain(child.address);
    expect(inside).toContain(child.mac);
    expect(inside).not.toContain(`${parent.address}/`);
  });

  it('a fork inherits what it may reach, but no forwards', async () => {
    const call = scene.client().call;
    await call('workspace_fork', { workspace_id: 'open', new_name: 'open-child' });
    const parent = await call('network_info', { workspace_id: 'open' });
    const child = await call('network_info', { workspace_id: 'open-child' });
    expect(child.network_policy).toEqual(parent.network_policy);
    expect(parent.port_forwards).toHaveLength(3);
    expect(child.port_forwards).toEqual([]);
  });

  it('leaves no device, rule, machine or program behind', async () => {
    await scene.daemon.clean();
    await expect.poll(() => remains(scene)).toEqual([]);
  });
});

/** Frames first, then everything else at the same time. */
async function runMatrix(): Promise<Outcome[]> {
  const cast: Cast = {
    closed: await scene.place(parts.closed),
    other: await scene.place(parts.other),
    open: await scene.place(parts.open),
  };
  await Promise.all([scene.bed.hostPeers.reset(), scene.bed.internetPeers.reset()]);
  const run = async (from: Row['from'], chosen: readonly Row[]): Promise<Outcome[]> =>
    await scene.attempts(
      from === 'host' || from === 'internet' ? from : parts[from],
      chosen
        .filter((row) => row.from === from)
        .map(({ name, probe, expect: expected }) => ({
          name,
          probe: probe(cast),
          expect: expected,
        })),
    );
  const frames = await run('closed', frameRows);
  const everybody = ['closed', 'other', 'open', 'host', 'internet'] as const;
  const rest = await Promise.all(everybody.map((from) => run(from, reachRows)));
  return [...frames, ...rest.flat()];
}
