/** A daemon of the bench's own, from the bundle users run, with a state directory that goes away again. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { CoppiceClient } from '../../helper-daemon/client/client.ts';
import { connectDaemon } from '../../helper-daemon/client/startDaemon.ts';
import { readProcessStat, waitUntilGone } from '../../helper-daemon/engine/processIdentity.ts';
import { closedPolicy } from '../../helper-daemon/network/policy.ts';
import { openDatabase } from '../../helper-daemon/store/database.ts';
import { workspaceStore } from '../../helper-daemon/store/workspaceStore.ts';
import { hostPaths, type HostPaths } from '../../helper-daemon/system/paths.ts';
import { version } from '../../helper-daemon/system/version.ts';
import { own } from './cleanup.ts';

export interface BenchHome {
  readonly directory: string;
  readonly paths: HostPaths;
  connect(): Promise<CoppiceClient>;
  /** Ends the daemon; its state stays. */
  stop(client: CoppiceClient): Promise<void>;
  /** QEMU processes of this daemon's machines, those that stand ready included. */
  machines(): number[];
  /** Ends whatever still runs and removes the directory. */
  remove(): Promise<void>;
}

const stopMs = 60_000;

export function benchHome(): BenchHome {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'cop-bench-'));
  const paths = hostPaths('user', { COPPICE_HOME: directory });
  const clients = new Set<CoppiceClient>();
  const config = path.join(directory, 'config.toml');
  // What is measured is how long calls take, not how many are allowed.
  writeFileSync(config, '[rate_limit]\nenabled = false\n');

  /** The connection ends before the process, which then still closes its database. */
  async function stop(client: CoppiceClient): Promise<void> {
    const { pid } = client.server.server;
    const startTime = readProcessStat(pid)?.startTime ?? '';
    await client.call('daemon_stop', { stop_machines: true });
    if (await waitUntilGone({ pid, startTime }, stopMs)) return;
    throw new Error('the daemon of the bench does not end');
  }

  const remove = own(async () => {
    for (const client of clients) {
      const { pid } = client.server.server;
      // A daemon that does not end in order is ended: the bench started it.
      await stop(client).catch(() => endProcess(pid));
    }
    for (const pid of machinesBelow(paths.runtime)) endProcess(pid);
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    rmSync(paths.runtime, { recursive: true, force: true });
  });

  return {
    directory,
    paths,
    async connect() {
      // The daemon inherits these; nothing else in this process looks at them.
      process.env['COPPICE_HOME'] = directory;
      process.env['COPPICE_CONFIG'] = config;
      delete process.env['COPPICE_TEMPLATES'];
      delete process.env['COPPICE_SOCKET'];
      const client = await connectDaemon({ name: 'bench', version });
      clients.add(client);
      client.onClose(() => clients.delete(client));
      return client;
    },
    stop,
    machines: () => machinesBelow(paths.runtime),
    remove,
  };
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** Pids of QEMU processes whose sockets are below this directory. */
function machinesBelow(runtime: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return commandLine.includes('qemu-system') && commandLine.includes(`${runtime}/`);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Puts stopped workspaces into a state directory that no daemon is using. */
export function addStoppedWorkspaces(home: BenchHome, amount: number): void {
  const db = openDatabase(home.paths.database);
  const store = workspaceStore(db);
  const before = store.all().length;
  for (let index = before; index < before + amount; index += 1) {
    const id = randomUUID();
    const octets = [index >> 8, index & 0xff];
    store.insert({
      id,
      name: `known-${id}`,
      state: 'stopped',
      role: 'user',
      imageName: 'debian-dev',
      imageDigest: 'sha256:0',
      vcpus: 2,
      memoryMb: 512,
      diskGb: 10,
      init: 'agent',
      ephemeral: false,
      hostname: `known-${String(index)}`,
      machineId: randomBytes(16).toString('hex'),
      generation: 1,
      createdAt: new Date().toISOString(),
      uid: null,
      problem: null,
      storage: 'qcow2',
      head: `disks/${id}.qcow2`,
      baseLayer: null,
      snapshotId: null,
      network: closedPolicy,
      networkRevision: index + 1,
      owner: null,
      mac: [
        '52',
        '54',
        '00',
        '00',
        ...octets.map((octet) => octet.toString(16).padStart(2, '0')),
      ].join(':'),
      address: `10.99.${octets.join('.')}`,
      forkedFrom: null,
      idleSuspendSecs: 0,
      expiresAt: null,
      memoryId: null,
    });
  }
  db.close();
}
