/** What a test daemon has stored, looked at and changed from outside. */
import {
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, vi } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import type { HostPaths } from '../../../helper-daemon/system/paths.ts';
import type { TestDaemon } from './testDaemon.ts';

type Row = Record<string, string | number | null>;

/** Rows of the daemon's database, read beside it. */
export function rows(paths: HostPaths, sql: string, ...values: string[]): Row[] {
  const db = new DatabaseSync(paths.database, { readOnly: true });
  try {
    return db.prepare(sql).all(...values) as Row[];
  } finally {
    db.close();
  }
}

/** Changes rows; for a daemon that does not run. */
export function alter(paths: HostPaths, sql: string, ...values: string[]): number {
  const db = new DatabaseSync(paths.database);
  try {
    return Number(db.prepare(sql).run(...values).changes);
  } finally {
    db.close();
  }
}

export function memoryFile(paths: HostPaths, id: string): string {
  return path.join(paths.state, 'memory', `${id}.memory`);
}

/** Alters one byte in the middle of a file. */
export function flipByte(file: string): void {
  const { size, mode } = statSync(file);
  chmodSync(file, 0o600);
  const fd = openSync(file, 'r+');
  try {
    const byte = Buffer.alloc(1);
    const at = Math.floor(size / 2);
    readSync(fd, byte, 0, 1, at);
    byte[0] = (byte[0] ?? 0) ^ 0xff;
    writeSync(fd, byte, 0, 1, at);
  } finally {
    closeSync(fd);
    chmodSync(file, mode & 0o777);
  }
}

function names(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).sort() : [];
}

/**
 * Every disk, memory file, run directory and QEMU process has a row, and every row has its own; no mutation
 * is under way.
 */
export function expectNothingLost({ paths, machines }: TestDaemon): void {
  const column = (sql: string): string[] =>
    rows(paths, sql)
      .map((row) => String(Object.values(row)[0]))
      .sort();
  expect({
    journal: column('SELECT kind FROM journal'),
    disks: names(path.join(paths.state, 'disks')).map((name) => `disks/${name}`),
    memories: names(path.join(paths.state, 'memory')),
    workspaces: names(paths.workspaces),
    runs: names(paths.runtime).filter((name) => name.length === 36),
    processes: machines().sort(),
  }).toEqual({
    journal: [],
    disks: column('SELECT head FROM workspace UNION SELECT locator FROM layer'),
    memories: column("SELECT id || '.memory' FROM memory"),
    workspaces: column('SELECT id FROM workspace'),
    runs: column('SELECT run_id FROM machine_run'),
    processes: rows(paths, 'SELECT pid FROM machine_run')
      .map(({ pid }) => Number(pid))
      .sort(),
  });
}

/** Nothing is lost, and every byte is what it was when it was frozen. */
export async function expectSound(daemon: TestDaemon, client: CoppiceClient): Promise<void> {
  const { problems } = await client.call('storage_verify', { deep: true });
  expect(problems).toEqual([]);
  // The daemon may be tidying up at this moment.
  await vi.waitFor(() => expectNothingLost(daemon), { timeout: 10_000 });
}
