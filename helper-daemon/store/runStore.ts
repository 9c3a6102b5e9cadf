/** Rows of the machines of workspaces; each is written before its process is started. */
import type { Database } from './database.ts';

export interface MachineRunRecord {
  readonly workspaceId: string;
  readonly runId: string;
  /** 64 hex digits (docs/guest-channel.md). */
  readonly channelKey: string;
  readonly transport: { kind: 'virtio-serial' } | { kind: 'vsock'; cid: number };
  readonly accelerator: 'kvm' | 'tcg';
  /** Kernel and agent that the guest runs, by what a reader would call them. */
  readonly guest: Readonly<Record<string, string>>;
  readonly startedAt: string;
  /** Unset until the process is known. */
  readonly process?: {
    readonly pid: number;
    readonly startTime: string;
    readonly executable: string;
  };
}

export interface RunStore {
  insert(run: MachineRunRecord): void;
  setProcess(runId: string, process: NonNullable<MachineRunRecord['process']>): void;
  of(workspaceId: string): MachineRunRecord | undefined;
  remove(workspaceId: string): void;
  all(): MachineRunRecord[];
  /** What each machine may grow to, and its process once that is known. */
  promises(): { readonly memoryMb: number; readonly pid: number | null }[];
}

type Row = Record<string, unknown>;

export function runStore(db: Database): RunStore {
  const insert = db.prepare(
    `INSERT INTO machine_run (workspace_id, run_id, channel_key, transport, accelerator, guest,
       started_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );
  const setProcess = db.prepare(
    'UPDATE machine_run SET pid = ?, start_time = ?, executable = ? WHERE run_id = ?',
  );
  const of = db.prepare('SELECT * FROM machine_run WHERE workspace_id = ?');
  const remove = db.prepare('DELETE FROM machine_run WHERE workspace_id = ?');
  const all = db.prepare('SELECT * FROM machine_run');
  const promises = db.prepare(
    'SELECT memory_mb, pid FROM machine_run JOIN workspace ON workspace.id = workspace_id',
  );
  return {
    insert(run) {
      insert.run(
        run.workspaceId,
        run.runId,
        run.channelKey,
        JSON.stringify(run.transport),
        run.accelerator,
        JSON.stringify(run.guest),
        run.startedAt,
      );
    },
    setProcess(runId, process) {
      setProcess.run(process.pid, process.startTime, process.executable, runId);
    },
    of(workspaceId) {
      const row = of.get(workspaceId);
      return row === undefined ? undefined : toRun(row);
    },
    remove(workspaceId) {
      remove.run(workspaceId);
    },
    all: () => all.all().map(toRun),
    promises: () =>
      promises.all().map((row) => ({
        memoryMb: Number(row['memory_mb']),
        pid: row['pid'] === null ? null : Number(row['pid']),
      })),
  };
}

function toRun(row: Row): MachineRunRecord {
  const base = {
    workspaceId: String(row['workspace_id']),
    runId: String(row['run_id']),
    channelKey: String(row['channel_key']),
    transport: JSON.parse(String(row['transport'])) as MachineRunRecord['transport'],
    accelerator: row['accelerator'] as 'kvm' | 'tcg',
    guest: JSON.parse(String(row['guest'])) as Record<string, string>,
    startedAt: String(row['started_at']),
  };
  if (row['pid'] === null) return base;
  return {
    ...base,
    process: {
      pid: Number(row['pid']),
      startTime: String(row['start_time']),
      executable: String(row['executable']),
    },
  };
}
