/** Machines on the test's own host: how they are made, equipped, and made to talk. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { expect, vi } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import type { InputOf } from '../../../protocol/operations.ts';
import type { DaemonMode } from '../../../helper-daemon/system/paths.ts';
import {
  doors,
  inNamespace,
  openNetworkBed,
  type BedOptions,
  peersScript,
  places,
  probeScript,
  type NetworkBed,
} from '../support/networkBed.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import { sh } from '../support/workspaceSteps.ts';
import {
  attempt,
  compared,
  fromMachine,
  fromNamespace,
  type Attempt,
  type Outcome,
} from './probes.ts';

export const gateway = '10.42.0.1';
export const gatewayMac = '02:c0:0a:2a:00:01';
export const bridge = 'br-coppice';
/** Listens on a machine's own loopback alone. */
export const loopbackDoor = 7009;
/** For what machines do by themselves; under emulation a program takes its time to start. */
export const patience = { timeout: 30_000, interval: 100 };

export interface Place {
  readonly address: string;
  readonly mac: string;
}

export interface Scene {
  readonly bed: NetworkBed;
  readonly daemon: TestDaemon;
  /** To the daemon that runs now. */
  client(): CoppiceClient;
  /** After the daemon was started again. */
  reconnect(): Promise<void>;
  /** Creates machines with these policies, and starts their servers. @returns where they are, in the same order */
  add(machines: Readonly<Record<string, Partial<InputOf<'workspace_create'>>>>): Promise<Place[]>;
  /** Where the machine is, asked anew. */
  place(name: string): Promise<Place>;
  /** Starts the servers of a machine that has booted. */
  serve(name: string): Promise<void>;
  setPolicy(name: string, policy: Omit<InputOf<'network_policy'>, 'workspace_id'>): Promise<void>;
  /** Tries from a machine, or from `host` or `internet`. */
  attempts(from: string, attempts: readonly Attempt[]): Promise<Outcome[]>;
  /** The same, and every one must end as expected. */
  expectAll(from: string, attempts: readonly Attempt[]): Promise<void>;
  /** Destroys everything. */
  dispose(): Promise<void>;
}

export interface SceneOptions extends BedOptions {
  readonly mode?: DaemonMode;
  /** Before the daemon starts. */
  readonly prepare?: (bed: NetworkBed) => void;
}

export async function openScene(options: SceneOptions = {}): Promise<Scene> {
  const bed = await openNetworkBed(options);
  let daemon: TestDaemon;
  try {
    options.prepare?.(bed);
    daemon = await startTestDaemon(options.mode ?? 'system', {
      namespace: bed.host,
      env: { COPPICE_DNS: places.nameServer },
    });
  } catch (error) {
    await bed.dispose();
    throw error;
  }
  let client = await daemon.connect();
  const scripts = await Promise.all(
    [peersScript, probeScript].map(async (file) => await readFile(file, 'utf8')),
  );
  const servers = JSON.stringify({
    tcp: [...Object.values(doors).map((port) => ['0.0.0.0', port]), ['127.0.0.1', loopbackDoor]],
    udp: Object.values(doors).map((port) => ['0.0.0.0', port]),
    stats: '/run/peers.json',
  });

  async function place(name: string): Promise<Place> {
    const { address, mac } = await client.call('network_info', { workspace_id: name });
    return { address, mac };
  }

  async function serve(name: string): Promise<void> {
    const [peers = '', probe = ''] = scripts;
    for (const [path, content] of [
      ['/srv/peers.py', peers],
      ['/srv/probe.py', probe],
      ['/srv/servers.json', `${servers}\n`],
    ] as const) {
      await client.call('file_write', { workspace_id: name, path, content });
    }
    const command = 'exec python3 /srv/peers.py < /srv/servers.json';
    await client.call('process_start', { workspace_id: name, command });
    await sh(client, name, 'until [ -e /run/peers.json ]; do sleep 0.05; done');
  }

  async function attempts(from: string, wanted: readonly Attempt[]): Promise<Outcome[]> {
    const namespace = { host: bed.host, internet: bed.internet }[from];
    const run = namespace === undefined ? fromMachine(client, from) : fromNamespace(namespace);
    return await attempt(run, wanted, bed.hostPeers);
  }

  return {
    bed,
    daemon,
    client: () => client,
    reconnect: async () => {
      client = await daemon.connect();
    },
    async add(machines) {
      const [first, ...others] = Object.entries(machines).map(([name, policy]) => async () => {
        await client.call('workspace_create', { name, memory_mb: 256, vcpus: 1, ...policy });
        await serve(name);
        return await place(name);
      });
      // With the first one the daemon finds out how machines run here; the others need not wait for each other.
      const places = first === undefined ? [] : [await first()];
      return [...places, ...(await Promise.all(others.map((other) => other())))];
    },
    place,
    serve,
    async setPolicy(name, policy) {
      await client.call('network_policy', { workspace_id: name, ...policy });
    },
    attempts,
    async expectAll(from, wanted) {
      const { found, expected } = compared(await attempts(from, wanted));
      expect(found).toEqual(expected);
    },
    async dispose() {
      try {
        await daemon.dispose();
      } finally {
        await bed.dispose();
      }
    },
  };
}

/** Devices, elements of sets and maps, machines and programs that are still there. */
export function remains({ bed: { host }, daemon }: Scene): string[] {
  const links = JSON.parse(inNamespace(host, ['ip', '-j', 'link'])) as { ifname: string }[];
  const devices = links.map(({ ifname }) => ifname).filter((name) => name.startsWith('cpt-'));
  const programs = inNamespace(host, ['ip', 'netns', 'pids', host])
    .split('\n')
    .filter((pid) => pid !== '')
    .map((pid) => commandOf(pid))
    // The daemon, the servers of the test, and who asks.
    .filter(
      (command) =>
        !['', 'node', 'node-MainThread', 'MainThread', 'python3', 'ip'].includes(command),
    );
  return [...devices, ...elements(host), ...programs, ...daemon.machines().map(String)];
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

/** What was tried in vain is kept for an hour, and how often lately for a minute or two. */
const remembered = new Set(['denied', 'denied_other', 'noting', 'pinging']);

/** The elements of our own tables that are about machines. */
function elements(namespace: string): string[] {
  const { nftables } = JSON.parse(inNamespace(namespace, ['nft', '-j', 'list', 'ruleset'])) as {
    nftables: Record<string, { table?: string; name?: string; elem?: unknown[] }>[];
  };
  return nftables
    .flatMap((entry) => [entry['set'], entry['map']])
    .filter((set) => set?.table === 'coppice' && !remembered.has(set.name ?? ''))
    .flatMap((set) =>
      (set?.elem ?? []).map((element) => `${set?.name ?? ''}: ${JSON.stringify(element)}`),
    )
    .filter((text) => text.includes('10.42.') || text.includes('cpt-'))
    .filter((text) => !text.includes(gateway));
}

export interface Flow {
  /** By which servers count what arrives of it. */
  readonly name: string;
  /** Of what it says, how much came back. */
  echoes(): Promise<number>;
  /** It goes on. */
  lives(): Promise<void>;
  /** Nothing comes back from the moment of this call on. */
  isDead(): Promise<void>;
}

let flows = 0;

/** A connection that a machine opens and keeps. Done when it works. */
export async function openFlow(
  scene: Scene,
  machine: string,
  flow: { readonly kind: 'tcp' | 'udp'; readonly to: string; readonly port: number },
): Promise<Flow> {
  flows += 1;
  const name = `${machine}-${flow.kind}-${String(flows)}`;
  const file = `/run/flow-${name}.json`;
  const wanted = JSON.stringify({ ...flow, name, file });
  await scene.client().call('process_start', {
    workspace_id: machine,
    command: `exec python3 /srv/probe.py hold '${wanted}'`,
  });
  async function echoes(): Promise<number> {
    const text = await sh(scene.client(), machine, `cat ${file} 2>/dev/null || echo '{}'`);
    return (JSON.parse(text) as { echoes?: number }).echoes ?? 0;
  }
  const opened: Flow = {
    name,
    echoes,
    async lives() {
      const before = await echoes();
      await becomesMore(echoes, before);
    },
    async isDead() {
      // What was under way at the moment of the change may still arrive and be written down.
      await sh(scene.client(), machine, 'sleep 0.5');
      const before = await echoes();
      await sh(scene.client(), machine, 'sleep 1');
      expect(await echoes()).toBe(before);
    },
  };
  await becomesMore(echoes, 0);
  return opened;
}

/** Also in hooks, unlike `expect.poll`. */
export async function becomesMore(count: () => Promise<number>, than: number): Promise<void> {
  await vi.waitFor(async () => expect(await count()).toBeGreaterThan(than), patience);
}
