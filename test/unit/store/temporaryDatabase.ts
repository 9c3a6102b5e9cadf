/** A database of a test's own, and rows to put into it. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { closedPolicy } from '../../../helper-daemon/network/policy.ts';
import { openDatabase, type Database } from '../../../helper-daemon/store/database.ts';
import type {
  LayerRecord,
  MemoryRecord,
  SnapshotRecord,
} from '../../../helper-daemon/store/treeStore.ts';
import type { WorkspaceRecord } from '../../../helper-daemon/store/workspaceStore.ts';

export interface TemporaryDatabase {
  readonly file: string;
  db: Database;
  /** Closes and opens it again, as the next daemon does. */
  reopen(): void;
}

/** Call it once in a test file: every test gets a database of its own. */
export function temporaryDatabase(): TemporaryDatabase {
  const made = { file: '', reopen } as { file: string; db: Database; reopen: () => void };
  let directory = '';
  function reopen(): void {
    made.db.close();
    made.db = openDatabase(made.file);
  }
  beforeEach(() => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'coppice-store-'));
    made.file = path.join(directory, 'test.db');
    made.db = openDatabase(made.file);
  });
  afterEach(() => {
    if (made.db.isOpen) made.db.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return made;
}

const now = '2026-01-01T00:00:00.000Z';

export function workspaceRow(id: string, more: Partial<WorkspaceRecord> = {}): WorkspaceRecord {
  return {
    id,
    name: `name-${id}`,
    state: 'running',
    role: 'user',
    imageName: 'debian-dev',
    imageDigest: 'sha256:00',
    vcpus: 1,
    memoryMb: 256,
    diskGb: 10,
    init: 'agent',
    ephemeral: false,
    hostname: `name-${id}`,
    machineId: '0'.repeat(32),
    generation: 1,
    createdAt: now,
    uid: null,
    problem: null,
    storage: 'qcow2',
    head: `disks/${id}.qcow2`,
    baseLayer: null,
    snapshotId: null,
    mac: '02:c0:0a:2a:00:02',
    address: `10.42.0.${id}`,
    forkedFrom: null,
    idleSuspendSecs: 0,
    expiresAt: null,
    memoryId: null,
    network: closedPolicy,
    networkRevision: 1,
    owner: null,
    ...more,
  };
}

export function layerRow(id: string, parentId: string | null = null): LayerRecord {
  return {
    id,
    storage: 'qcow2',
    locator: `disks/${id}.qcow2`,
    parentId,
    imageDigest: 'sha256:00',
    virtualBytes: 1024,
    stamp: 'stamp',
    bytes: 10,
    sha256: null,
    createdAt: now,
  };
}

export function memoryRow(id: string): MemoryRecord {
  return {
    id,
    binding: { QEMU: '7.2' },
    channelKey: 'k',
    memoryMb: 256,
    sha256: '00',
    bytes: 5,
    createdAt: now,
  };
}

export function snapshotRow(
  id: string,
  layerId: string,
  more: Partial<SnapshotRecord> = {},
): SnapshotRecord {
  return {
    id,
    workspaceId: '1',
    name: `snap-${id}`,
    description: '',
    parentId: null,
    layerId,
    memoryId: null,
    diskGb: 10,
    implicit: false,
    createdAt: now,
    ...more,
  };
}
