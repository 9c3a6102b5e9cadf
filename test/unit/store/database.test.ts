import { DatabaseSync } from 'node:sqlite';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDatabase, transaction } from '../../../helper-daemon/store/database.ts';
import { journal } from '../../../helper-daemon/store/journal.ts';
import { migrations } from '../../../helper-daemon/store/migrations.ts';
import { workspaceStore } from '../../../helper-daemon/store/workspaceStore.ts';
import { temporaryDatabase, workspaceRow } from './temporaryDatabase.ts';

const test = temporaryDatabase();

describe('a transaction', () => {
  it('that fails is undone', () => {
    const store = workspaceStore(test.db);
    const failing = (): void =>
      transaction(test.db, () => {
        store.insert(workspaceRow('1'));
        throw new Error('no');
      });
    expect(failing).toThrow('no');
    expect(store.all()).toEqual([]);
    transaction(test.db, () => store.insert(workspaceRow('1')));
    expect(store.all()).toHaveLength(1);
  });

  it('that the database ended itself still says why it failed', () => {
    const failing = (): void =>
      transaction(test.db, () => {
        test.db.exec('ROLLBACK');
        throw new Error('the true reason');
      });
    expect(failing).toThrow('the true reason');
  });
});

describe('the database', () => {
  it('of a newer schema is refused', () => {
    test.db.exec('PRAGMA user_version = 999');
    test.db.close();
    expect(() => openDatabase(test.file)).toThrow(/newer Coppice/);
  });

  it('of the first schema keeps its workspaces, each with an address and a disk', () => {
    test.db.close();
    rmSync(test.file);
    test.db = new DatabaseSync(test.file);
    test.db.exec(migrations[0] ?? '');
    test.db.exec('PRAGMA user_version = 1');
    for (const id of ['a', 'b']) {
      test.db.exec(
        `INSERT INTO workspace (id, name, state, image_name, image_digest, vcpus, memory_mb, disk_gb, init,
         ephemeral, hostname, machine_id, generation, created_at)
         VALUES ('${id}', '${id}', 'stopped', 'i', 'sha256:0', 1, 256, 10, 'agent', 0, '${id}', '0', 1, 'now')`,
      );
    }
    test.reopen();
    const records = workspaceStore(test.db).all();
    expect(records.map(({ head, role, baseLayer }) => [head, role, baseLayer])).toEqual([
      ['workspaces/a/disks/head.qcow2', 'user', null],
      ['workspaces/b/disks/head.qcow2', 'user', null],
    ]);
    expect(new Set(records.map(({ address }) => address)).size).toBe(2);
    for (const { address, mac } of records) {
      expect(address).toMatch(/^10\.42\.\d+\.\d+$/);
      expect(mac).toMatch(/^02:c0:0a:2a:/);
    }
  });

  it('has the space of its log before it needs it', () => {
    expect(statSync(`${test.file}-wal`).size).toBeGreaterThan(4 * 1024 ** 2);
    workspaceStore(test.db).insert(workspaceRow('1'));
    test.reopen();
    expect(workspaceStore(test.db).all()).toHaveLength(1);
  });
});

// Only root can mount a small file system.
it.skipIf(process.getuid?.() !== 0)('can be written to on a disk that is full', () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'coppice-full-'));
  const shell = (command: string): void => {
    const { status, stderr } = spawnSync('/bin/sh', ['-c', command], { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  };
  shell(`mount -t tmpfs -o size=16m tmpfs ${directory}`);
  try {
    const db = openDatabase(path.join(directory, 'test.db'));
    const log = journal(db);
    const entry = log.begin('freeze', 'before');
    shell(`dd if=/dev/zero of=${directory}/filler bs=64k 2>/dev/null || true`);
    for (let round = 0; round < 100; round += 1) {
      transaction(db, () => log.end(log.begin('destroy', 'something')));
    }
    log.end(entry);
    expect(log.open()).toEqual([]);
    db.close();
  } finally {
    shell(`umount ${directory}`);
    rmSync(directory, { recursive: true });
  }
});
