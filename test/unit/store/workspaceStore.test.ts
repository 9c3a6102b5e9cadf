import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDatabase, transaction, type Database } from '../../../helper-daemon/store/database.ts';
import {
  workspaceStore,
  type WorkspaceRecord,
  type WorkspaceStore,
} from '../../../helper-daemon/store/workspaceStore.ts';

let directory: string;
let db: Database;
let store: WorkspaceStore;

beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'coppice-store-'));
  db = openDatabase(path.join(directory, 'test.db'));
  store = workspaceStore(db);
});
afterEach(() => {
  if (db.isOpen) db.close();
  rmSync(directory, { recursive: true, force: true });
});

function record(id: string, name: string): WorkspaceRecord {
  return {
    id,
    name,
    state: 'running',
    imageName: 'debian-dev',
    imageDigest: 'sha256:00',
    vcpus: 1,
    memoryMb: 256,
    diskGb: 10,
    init: 'agent',
    ephemeral: false,
    hostname: name,
    machineId: '0'.repeat(32),
    generation: 1,
    createdAt: '2026-01-01T00:00:00.000Z',
    uid: null,
    problem: null,
  };
}

describe('workspaceStore', () => {
  it('returns what was stored, also after the file was opened again', () => {
    store.insert(record('1', 'one'));
    db.close();
    db = openDatabase(path.join(directory, 'test.db'));
    expect(workspaceStore(db).byName('one')).toEqual(record('1', 'one'));
  });

  it('refuses a name that is taken', () => {
    store.insert(record('1', 'one'));
    expect(() => store.insert(record('2', 'one'))).toThrow(/already a workspace named one/);
  });

  it('keeps what is known of a run until the workspace goes', () => {
    store.insert(record('1', 'one'));
    const run = {
      workspaceId: '1',
      runId: 'r',
      channelKey: 'k',
      transport: { kind: 'vsock', cid: 7 },
      accelerator: 'tcg',
      startedAt: 'now',
    } as const;
    store.insertRun(run);
    expect(store.runOf('1')).toEqual(run);
    const process = { pid: 5, startTime: '99', executable: '/usr/bin/qemu' };
    store.setRunProcess('r', process);
    expect(store.runOf('1')).toEqual({ ...run, process });
    store.remove('1');
    expect(store.allRuns()).toEqual([]);
  });

  it('undoes a transaction that fails', () => {
    expect(() =>
      transaction(db, () => {
        store.insert(record('1', 'one'));
        throw new Error('no');
      }),
    ).toThrow('no');
    expect(store.all()).toEqual([]);
  });

  it('refuses a file of a newer schema', () => {
    db.exec('PRAGMA user_version = 999');
    db.close();
    expect(() => openDatabase(path.join(directory, 'test.db'))).toThrow(/newer Coppice/);
  });
});
