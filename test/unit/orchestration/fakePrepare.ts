/** A host of preparations whose machines are a few lines of memory; its rows are real. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';
import { workspacePrepare } from '../../../protocol/operations/prepare.ts';
import type { Ran } from '../../../helper-daemon/orchestration/guest.ts';
import type {
  PrepareHost,
  PrepareInput,
} from '../../../helper-daemon/orchestration/prepare/host.ts';
import { openDatabase, transaction } from '../../../helper-daemon/store/database.ts';
import {
  preparedStore,
  type PreparedStore,
} from '../../../helper-daemon/store/orchestrationStore.ts';
import type { SnapshotRecord } from '../../../helper-daemon/store/treeStore.ts';
import {
  workspaceStore,
  type WorkspaceRecord,
} from '../../../helper-daemon/store/workspaceStore.ts';
import { callerKey } from '../../../helper-daemon/workspaces/callers.ts';
import { closedPolicy } from '../../../helper-daemon/network/policy.ts';

export interface FakeHost {
  readonly host: PrepareHost;
  readonly rows: PreparedStore;
  /** What was run in machines, in order. */
  readonly ran: string[];
  readonly warnings: string[];
  workspaces(): WorkspaceRecord[];
  snapshots(): { name: string; hasMemory: boolean }[];
  /** A machine that was there before. */
  add(name: string, owner: string | null): string;
  readonly on: {
    run: (command: string) => Ran | Promise<Ran>;
    adopt: () => void;
    takeSnapshot: (memory: boolean) => void;
    isNeeded: () => boolean;
  };
  remove(): void;
}

export const succeeded: Ran = { exitCode: 0, timedOut: false, stdout: '', stderr: '' };

export function fakePrepareHost(): FakeHost {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'cop-prepare-'));
  const db = openDatabase(path.join(directory, 'test.db'));
  const store = workspaceStore(db);
  const rows = preparedStore(db);
  const snapshots = new Map<string, SnapshotRecord>();
  const ran: string[] = [];
  const warnings: string[] = [];
  let count = 0;
  const on: FakeHost['on'] = {
    run: () => succeeded,
    adopt: () => {
      throw new CoppiceError({ code: 'not_owned', message: 'its owner is at work' });
    },
    takeSnapshot: () => undefined,
    isNeeded: () => false,
  };

  function add(name: string, owner: string | null): string {
    count += 1;
    const id = `00000000-0000-4000-8000-${String(count).padStart(12, '0')}`;
    store.insert(workspaceRow(id, name, owner, count));
    return id;
  }

  const named = (id: string, name: string): SnapshotRecord | undefined =>
    [...snapshots.values()].find((one) => one.workspaceId === id && one.name === name);

  const host: PrepareHost = {
    rows,
    guest: {
      async run(_id, what) {
        const command = typeof what === 'string' ? what : what.join(' ');
        ran.push(command);
        return await on.run(command);
      },
      sync: () => Promise.resolve(),
    },
    now: () => new Date(),
    transaction: (work) => transaction(db, work),
    warn: (message) => warnings.push(message),
    workspace: (id) => store.byId(id),
    named: (name) => store.byName(name),
    address: () => null,
    async create(_input, name, caller) {
      await Promise.resolve();
      const made = store.byId(add(name, callerKey(caller)));
      if (made === undefined) throw new Error('not stored');
      return made;
    },
    adopt(id, caller) {
      on.adopt();
      store.update(id, { owner: callerKey(caller) });
    },
    wake: async (id) => {
      await Promise.resolve();
      store.update(id, { state: 'running' });
    },
    destroy: async (id) => {
      await Promise.resolve();
      store.remove(id);
      for (const one of snapshots.values()) if (one.workspaceId === id) snapshots.delete(one.id);
    },
    snapshotNamed: named,
    snapshot: (id) => snapshots.get(id),
    takeSnapshot: async (workspaceId, { name, memory }) => {
      await Promise.resolve();
      on.takeSnapshot(memory);
      const id = `snapshot-${String(snapshots.size + 1)}-${name}`;
      snapshots.set(id, {
        id,
        workspaceId,
        name,
        memoryId: memory ? 'memory' : null,
        createdAt: new Date().toISOString(),
      } as SnapshotRecord);
    },
    renameSnapshot(id, name) {
      const one = snapshots.get(id);
      if (one !== undefined) snapshots.set(id, { ...one, name });
    },
    announce: () => undefined,
    deleteSnapshot: async (id, name) => {
      await Promise.resolve();
      snapshots.delete(named(id, name)?.id ?? '');
    },
    isNeeded: () => on.isNeeded(),
  };

  return {
    host,
    rows,
    ran,
    warnings,
    workspaces: () => store.visible(),
    snapshots: () =>
      [...snapshots.values()].map(({ name, memoryId }) => ({ name, hasMemory: memoryId !== null })),
    add,
    on,
    remove() {
      db.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function workspaceRow(
  id: string,
  name: string,
  owner: string | null,
  number: number,
): WorkspaceRecord {
  return {
    id,
    name,
    owner,
    state: 'stopped',
    role: 'user',
    imageName: 'debian-dev',
    imageDigest: 'sha256:0',
    vcpus: 1,
    memoryMb: 256,
    diskGb: 10,
    init: 'agent',
    ephemeral: false,
    hostname: name,
    machineId: '0'.repeat(32),
    generation: 1,
    createdAt: new Date().toISOString(),
    uid: null,
    problem: null,
    storage: 'qcow2',
    head: `disks/${id}`,
    baseLayer: null,
    snapshotId: null,
    mac: '',
    address: `10.42.0.${String(number)}`,
    forkedFrom: null,
    idleSuspendSecs: 0,
    expiresAt: null,
    memoryId: null,
    network: closedPolicy,
    networkRevision: number,
  };
}

/** Input as it comes from a caller. */
export function prepareOf(input: Partial<PrepareInput> = {}): PrepareInput {
  return workspacePrepare.input.parse({ name: 'gold', ...input });
}
