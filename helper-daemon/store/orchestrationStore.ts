/** Rows of prepared machines and of swarms. */
import type { SwarmArtifact, SwarmState, SwarmTaskState } from '../../protocol/operations/swarm.ts';
import type { Database } from './database.ts';

export interface PreparedRecord {
  readonly id: number;
  /** Key of the caller. */
  readonly owner: string;
  /** What was asked for. */
  readonly name: string;
  /** What the machine is called. */
  readonly workspaceName: string;
  /** Null until the machine is there. */
  readonly workspaceId: string | null;
  readonly state: 'preparing' | 'ready' | 'failed';
  /** The machine was made for this and goes when it fails. */
  readonly fresh: boolean;
  /** Of the inputs the golden snapshot was made with; null while there is none. */
  readonly digest: string | null;
  readonly snapshotId: string | null;
  /** Name a snapshot has until it is the golden one. */
  readonly pendingSnapshot: string;
  readonly problem: string | null;
  readonly startedAt: string;
}

export interface SwarmRecord {
  readonly id: string;
  readonly owner: string;
  readonly state: SwarmState;
  readonly goldenId: string;
  readonly goldenName: string;
  readonly snapshotId: string;
  readonly snapshotName: string;
  /** JSON. */
  readonly plan: string;
  readonly cancelled: boolean;
  /** JSON. */
  readonly merge: string | null;
  /** JSON. */
  readonly problem: string | null;
  readonly startedAt: string;
  readonly endedAt: string | null;
}

export interface SwarmTaskRecord {
  readonly swarmId: string;
  readonly position: number;
  readonly name: string;
  /** Part of names: of the worker, of the directory. */
  readonly slug: string;
  readonly workerName: string;
  readonly state: SwarmTaskState;
  readonly workspaceId: string | null;
  readonly jobId: number | null;
  /** Null until it has ended. */
  readonly exitCode: number | null;
  readonly timedOut: boolean;
  readonly error: string | null;
  readonly artifacts: readonly SwarmArtifact[];
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  readonly stdoutSkew: number;
  readonly stderrSkew: number;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly workerGone: boolean;
}

export interface PreparedStore {
  insert(record: Omit<PreparedRecord, 'id'>): number;
  update(id: number, change: Partial<Omit<PreparedRecord, 'id'>>): void;
  remove(id: number): void;
  ofWorkspace(workspaceId: string): PreparedRecord | undefined;
  /** Newest first. */
  named(name: string): PreparedRecord[];
  underWay(): PreparedRecord[];
}

export interface SwarmStore {
  insert(swarm: SwarmRecord, tasks: readonly SwarmTaskRecord[]): void;
  update(id: string, change: Partial<Omit<SwarmRecord, 'id'>>): void;
  updateTask(
    swarmId: string,
    position: number,
    change: Partial<Omit<SwarmTaskRecord, 'swarmId' | 'position'>>,
  ): void;
  byId(id: string): SwarmRecord | undefined;
  tasks(swarmId: string): SwarmTaskRecord[];
  /** Newest first. */
  all(): SwarmRecord[];
  remove(id: string): void;
}

type Row = Record<string, unknown>;
type Value = string | number | null;
type Codec<T> = readonly [column: string, write: (value: T) => Value, read: (value: unknown) => T];
type Columns<T> = { readonly [F in keyof T]: Codec<T[F]> };

const text = (column: string): Codec<string> => [column, (value) => value, String];
const number = (column: string): Codec<number> => [column, (value) => value, Number];
const flag = (column: string): Codec<boolean> => [column, Number, (value) => value === 1];
const maybeText = (column: string): Codec<string | null> => [
  column,
  (value) => value,
  (value) => value as string | null,
];
const maybeNumber = (column: string): Codec<number | null> => [
  column,
  (value) => value,
  (value) => value as number | null,
];
const word = <T extends string>(column: string): Codec<T> => [
  column,
  (value) => value,
  (value) => value as T,
];

const preparedColumns: Columns<Omit<PreparedRecord, 'id'>> = {
  owner: text('owner'),
  name: text('name'),
  workspaceName: text('workspace_name'),
  workspaceId: maybeText('workspace_id'),
  state: word('state'),
  fresh: flag('fresh'),
  digest: maybeText('digest'),
  snapshotId: maybeText('snapshot_id'),
  pendingSnapshot: text('pending_snapshot'),
  problem: maybeText('problem'),
  startedAt: text('started_at'),
};

const swarmColumns: Columns<SwarmRecord> = {
  id: text('id'),
  owner: text('owner'),
  state: word('state'),
  goldenId: text('golden_id'),
  goldenName: text('golden_name'),
  snapshotId: text('snapshot_id'),
  snapshotName: text('snapshot_name'),
  plan: text('plan'),
  cancelled: flag('cancelled'),
  merge: maybeText('merge'),
  problem: maybeText('problem'),
  startedAt: text('started_at'),
  endedAt: maybeText('ended_at'),
};

const taskColumns: Columns<SwarmTaskRecord> = {
  swarmId: text('swarm_id'),
  position: number('position'),
  name: text('name'),
  slug: text('slug'),
  workerName: text('worker_name'),
  state: word('state'),
  workspaceId: maybeText('workspace_id'),
  jobId: maybeNumber('job_id'),
  exitCode: maybeNumber('exit_code'),
  timedOut: flag('timed_out'),
  error: maybeText('error'),
  artifacts: [
    'artifacts',
    JSON.stringify,
    (value) => JSON.parse(value as string) as SwarmArtifact[],
  ],
  stdoutBytes: number('stdout_bytes'),
  stderrBytes: number('stderr_bytes'),
  stdoutSkew: number('stdout_skew'),
  stderrSkew: number('stderr_skew'),
  startedAt: maybeText('started_at'),
  endedAt: maybeText('ended_at'),
  workerGone: flag('worker_gone'),
};

export function preparedStore(db: Database): PreparedStore {
  const ofWorkspace = db.prepare('SELECT * FROM prepared WHERE workspace_id = ?');
  const named = db.prepare('SELECT * FROM prepared WHERE name = ? ORDER BY id DESC');
  const underWay = db.prepare("SELECT * FROM prepared WHERE state = 'preparing' ORDER BY id");
  const remove = db.prepare('DELETE FROM prepared WHERE id = ?');
  const toRecord = (row: Row): PreparedRecord => ({
    id: Number(row['id']),
    ...fromRow(preparedColumns, row),
  });
  return {
    insert: (record) => insertInto(db, 'prepared', preparedColumns, record),
    update(id, change) {
      updateIn(db, 'prepared', preparedColumns, change, { id });
    },
    remove(id) {
      remove.run(id);
    },
    ofWorkspace(workspaceId) {
      const row = ofWorkspace.get(workspaceId);
      return row === undefined ? undefined : toRecord(row);
    },
    named: (name) => named.all(name).map(toRecord),
    underWay: () => underWay.all().map(toRecord),
  };
}

export function swarmStore(db: Database): SwarmStore {
  const byId = db.prepare('SELECT * FROM swarm WHERE id = ?');
  const all = db.prepare('SELECT * FROM swarm ORDER BY started_at DESC, rowid DESC');
  const tasks = db.prepare('SELECT * FROM swarm_task WHERE swarm_id = ? ORDER BY position');
  const remove = db.prepare('DELETE FROM swarm WHERE id = ?');
  return {
    insert(swarm, taskRecords) {
      insertInto(db, 'swarm', swarmColumns, swarm);
      for (const record of taskRecords) insertInto(db, 'swarm_task', taskColumns, record);
    },
    update(id, change) {
      updateIn(db, 'swarm', swarmColumns, change, { id });
    },
    updateTask(swarmId, position, change) {
      updateIn(db, 'swarm_task', taskColumns, change, { swarm_id: swarmId, position });
    },
    byId(id) {
      const row = byId.get(id);
      return row === undefined ? undefined : fromRow(swarmColumns, row);
    },
    tasks: (swarmId) => tasks.all(swarmId).map((row) => fromRow(taskColumns, row)),
    all: () => all.all().map((row) => fromRow(swarmColumns, row)),
    remove(id) {
      remove.run(id);
    },
  };
}

function fromRow<T extends object>(columns: Columns<T>, row: Row): T {
  const entries = Object.entries(columns) as [string, Codec<unknown>][];
  return Object.fromEntries(
    entries.map(([field, [column, , read]]) => [field, read(row[column])]),
  ) as T;
}

/** Column and value of each field that is given. */
function toColumns<T extends object>(
  columns: Columns<T>,
  values: Partial<T>,
): readonly (readonly [string, Value])[] {
  return (Object.entries(values) as [keyof T, unknown][]).map(([field, value]) => {
    const [column, write] = columns[field] as Codec<unknown>;
    return [column, write(value)] as const;
  });
}

function insertInto<T extends object>(
  db: Database,
  table: string,
  columns: Columns<T>,
  record: T,
): number {
  const given = toColumns(columns, record);
  const names = given.map(([column]) => column).join(', ');
  const marks = given.map(() => '?').join(', ');
  return Number(
    db
      .prepare(`INSERT INTO ${table} (${names}) VALUES (${marks})`)
      .run(...given.map(([, value]) => value)).lastInsertRowid,
  );
}

function updateIn<T extends object>(
  db: Database,
  table: string,
  columns: Columns<T>,
  change: Partial<T>,
  key: Readonly<Record<string, string | number>>,
): void {
  const given = toColumns(columns, change);
  if (given.length === 0) return;
  const sets = given.map(([column]) => `${column} = ?`).join(', ');
  const where = Object.keys(key)
    .map((column) => `${column} = ?`)
    .join(' AND ');
  db.prepare(`UPDATE ${table} SET ${sets} WHERE ${where}`).run(
    ...given.map(([, value]) => value),
    ...Object.values(key),
  );
}
