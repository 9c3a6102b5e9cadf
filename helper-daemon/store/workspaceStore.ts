/** Rows of workspaces and of their running machines. */
import type { WorkspaceState } from '../../protocol/operations/workspaceModel.ts';
import { CoppiceError } from '../../protocol/errors.ts';
import type { Database } from './database.ts';

export interface WorkspaceRecord {
  readonly id: string;
  readonly name: string;
  readonly state: WorkspaceState;
  readonly imageName: string;
  readonly imageDigest: string;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskGb: number;
  readonly init: 'agent' | 'system';
  readonly ephemeral: boolean;
  readonly hostname: string;
  /** 32 hex digits. */
  readonly machineId: string;
  /** Counts the lives of the machine: boots, restores, forks. */
  readonly generation: number;
  readonly createdAt: string;
  /** Host account its machine runs as; null in user mode. */
  readonly uid: number | null;
  readonly problem: string | null;
}

export interface MachineRunRecord {
  readonly workspaceId: string;
  readonly runId: string;
  /** 64 hex digits (docs/guest-channel.md). */
  readonly channelKey: string;
  readonly transport: { kind: 'virtio-serial' } | { kind: 'vsock'; cid: number };
  readonly accelerator: 'kvm' | 'tcg';
  readonly startedAt: string;
  /** Unset until the process is known. */
  readonly process?: {
    readonly pid: number;
    readonly startTime: string;
    readonly executable: string;
  };
}

export interface WorkspaceStore {
  /** @throws CoppiceError `name_taken` */
  insert(record: WorkspaceRecord): void;
  byId(id: string): WorkspaceRecord | undefined;
  byName(name: string): WorkspaceRecord | undefined;
  all(): WorkspaceRecord[];
  update(
    id: string,
    change: Partial<Pick<WorkspaceRecord, 'state' | 'problem' | 'generation'>>,
  ): void;
  remove(id: string): void;
  countOnImage(digest: string): number;

  insertRun(run: MachineRunRecord): void;
  setRunProcess(runId: string, process: NonNullable<MachineRunRecord['process']>): void;
  runOf(workspaceId: string): MachineRunRecord | undefined;
  removeRun(workspaceId: string): void;
  allRuns(): MachineRunRecord[];
}

type Row = Record<string, unknown>;

export function workspaceStore(db: Database): WorkspaceStore {
  const insert = db.prepare(
    `INSERT INTO workspace (id, name, state, image_name, image_digest, vcpus, memory_mb, disk_gb, init,
       ephemeral, hostname, machine_id, generation, created_at, uid, problem)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const byId = db.prepare('SELECT * FROM workspace WHERE id = ?');
  const byName = db.prepare('SELECT * FROM workspace WHERE name = ?');
  const all = db.prepare('SELECT * FROM workspace ORDER BY created_at, id');
  const update = db.prepare(
    'UPDATE workspace SET state = ?, problem = ?, generation = ? WHERE id = ?',
  );
  const remove = db.prepare('DELETE FROM workspace WHERE id = ?');
  const onImage = db.prepare('SELECT count(*) AS n FROM workspace WHERE image_digest = ?');
  const insertRun = db.prepare(
    `INSERT INTO machine_run (workspace_id, run_id, channel_key, transport, accelerator, started_at)
     VALUES (?, ?, ?, ?, ?, ?)`,
  );
  const setProcess = db.prepare(
    'UPDATE machine_run SET pid = ?, start_time = ?, executable = ? WHERE run_id = ?',
  );
  const runOf = db.prepare('SELECT * FROM machine_run WHERE workspace_id = ?');
  const removeRun = db.prepare('DELETE FROM machine_run WHERE workspace_id = ?');
  const allRuns = db.prepare('SELECT * FROM machine_run');

  return {
    insert(record) {
      if (byName.get(record.name) !== undefined) {
        throw new CoppiceError({
          code: 'name_taken',
          message: `There is already a workspace named ${record.name}.`,
          next: 'Choose another name, or destroy that one first.',
          details: { name: record.name },
        });
      }
      insert.run(
        record.id,
        record.name,
        record.state,
        record.imageName,
        record.imageDigest,
        record.vcpus,
        record.memoryMb,
        record.diskGb,
        record.init,
        record.ephemeral ? 1 : 0,
        record.hostname,
        record.machineId,
        record.generation,
        record.createdAt,
        record.uid,
        record.problem,
      );
    },
    byId: (id) => optional(byId.get(id), toWorkspace),
    byName: (name) => optional(byName.get(name), toWorkspace),
    all: () => all.all().map((row) => toWorkspace(row)),
    update(id, change) {
      const current = optional(byId.get(id), toWorkspace);
      if (current === undefined) return;
      const next = { ...current, ...change };
      update.run(next.state, next.problem, next.generation, id);
    },
    remove(id) {
      remove.run(id);
    },
    countOnImage: (digest) => Number(onImage.get(digest)?.['n'] ?? 0),
    insertRun(run) {
      insertRun.run(
        run.workspaceId,
        run.runId,
        run.channelKey,
        JSON.stringify(run.transport),
        run.accelerator,
        run.startedAt,
      );
    },
    setRunProcess(runId, process) {
      setProcess.run(process.pid, process.startTime, process.executable, runId);
    },
    runOf: (workspaceId) => optional(runOf.get(workspaceId), toRun),
    removeRun(workspaceId) {
      removeRun.run(workspaceId);
    },
    allRuns: () => allRuns.all().map((row) => toRun(row)),
  };
}

function optional<T>(row: Row | undefined, convert: (row: Row) => T): T | undefined {
  return row === undefined ? undefined : convert(row);
}

function toWorkspace(row: Row): WorkspaceRecord {
  return {
    id: String(row['id']),
    name: String(row['name']),
    state: row['state'] as WorkspaceState,
    imageName: String(row['image_name']),
    imageDigest: String(row['image_digest']),
    vcpus: Number(row['vcpus']),
    memoryMb: Number(row['memory_mb']),
    diskGb: Number(row['disk_gb']),
    init: row['init'] as 'agent' | 'system',
    ephemeral: Number(row['ephemeral']) === 1,
    hostname: String(row['hostname']),
    machineId: String(row['machine_id']),
    generation: Number(row['generation']),
    createdAt: String(row['created_at']),
    uid: row['uid'] === null ? null : Number(row['uid']),
    problem: row['problem'] as string | null,
  };
}

function toRun(row: Row): MachineRunRecord {
  const base = {
    workspaceId: String(row['workspace_id']),
    runId: String(row['run_id']),
    channelKey: String(row['channel_key']),
    transport: JSON.parse(String(row['transport'])) as MachineRunRecord['transport'],
    accelerator: row['accelerator'] as 'kvm' | 'tcg',
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
