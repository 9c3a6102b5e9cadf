/** Rows of workspaces. */
import type { ForkedFrom } from '../../protocol/operations/snapshotModel.ts';
import type { WorkspaceState } from '../../protocol/operations/workspaceModel.ts';
import { CoppiceError } from '../../protocol/errors.ts';
import { closedPolicy, type NetworkPolicy } from '../network/policy.ts';
import type { Database } from './database.ts';

/**
 * Who a workspace is for. `user`: callers made it and see it. `pool`: kept ready to become one. `template`:
 * boots to be frozen. `probe`: looks at the files of a snapshot.
 */
export type WorkspaceRole = 'user' | 'pool' | 'template' | 'probe';

export interface WorkspaceRecord {
  readonly id: string;
  readonly name: string;
  readonly state: WorkspaceState;
  readonly role: WorkspaceRole;
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
  readonly storage: 'qcow2' | 'zfs' | 'reflink';
  /** Locator of its writable disk. */
  readonly head: string;
  /** Layer the head stands on; null: on the image itself. */
  readonly baseLayer: string | null;
  /** Snapshot the present state grew from. */
  readonly snapshotId: string | null;
  readonly mac: string;
  /** IPv4. */
  readonly address: string;
  readonly forkedFrom: ForkedFrom | null;
  /** 0: never. */
  readonly idleSuspendSecs: number;
  readonly expiresAt: string | null;
  /** Memory of a suspended workspace. */
  readonly memoryId: string | null;
  readonly network: NetworkPolicy;
  /** Of its policy: unlike that of any other, now or earlier. */
  readonly networkRevision: number;
  /** Key of the caller it belongs to (workspaces/callers.ts); null: of nobody. */
  readonly owner: string | null;
}

/** Everything else is fixed when the row is made. */
export type WorkspaceChange = Partial<Omit<WorkspaceRecord, 'id' | 'uid'>>;

export interface OwnedSum {
  readonly workspaces: number;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskGb: number;
}

export interface WorkspaceStore {
  /** @throws CoppiceError `name_taken` */
  insert(record: WorkspaceRecord): void;
  byId(id: string): WorkspaceRecord | undefined;
  byName(name: string): WorkspaceRecord | undefined;
  /** The first two whose id begins so; hexadecimal digits and dashes. */
  byIdPrefix(prefix: string): WorkspaceRecord[];
  /** Of members of teams, by `team.member` or `team-member`; the latter can be said of more than one. */
  byMember(reference: string): WorkspaceRecord[];
  /** Of every role, oldest first. */
  all(): WorkspaceRecord[];
  /** Those that callers see. */
  visible(): WorkspaceRecord[];
  countVisible(): number;
  /** Those whose time is limited. */
  withLifetime(): WorkspaceRecord[];
  forkedFromSnapshot(snapshotId: string): WorkspaceRecord[];
  /** Those that callers see and this one owns. */
  ownedBy(owner: string): WorkspaceRecord[];
  /** What those have together. */
  sumOwnedBy(owner: string): OwnedSum;
  /** @throws CoppiceError `name_taken` */
  update(id: string, change: WorkspaceChange): void;
  remove(id: string): void;
  countOnImage(digest: string): number;
  addresses(): Set<string>;
}

type Row = Record<string, unknown>;
type Value = string | number | null;

/** Column of each field, and how the field is written and read. */
const columns: {
  readonly [F in keyof WorkspaceRecord]: readonly [
    column: string,
    write: (value: WorkspaceRecord[F]) => Value,
    read: (value: unknown) => WorkspaceRecord[F],
  ];
} = {
  id: ['id', same, String],
  name: ['name', same, String],
  state: ['state', same, (value) => value as WorkspaceState],
  role: ['role', same, (value) => value as WorkspaceRole],
  imageName: ['image_name', same, String],
  imageDigest: ['image_digest', same, String],
  vcpus: ['vcpus', same, Number],
  memoryMb: ['memory_mb', same, Number],
  diskGb: ['disk_gb', same, Number],
  init: ['init', same, (value) => value as WorkspaceRecord['init']],
  ephemeral: ['ephemeral', Number, (value) => value === 1],
  hostname: ['hostname', same, String],
  machineId: ['machine_id', same, String],
  generation: ['generation', same, Number],
  createdAt: ['created_at', same, String],
  uid: ['uid', same, (value) => (value === null ? null : Number(value))],
  problem: ['problem', same, text],
  storage: ['storage', same, (value) => value as WorkspaceRecord['storage']],
  head: ['head', same, String],
  baseLayer: ['base_layer', same, text],
  snapshotId: ['snapshot_id', same, text],
  mac: ['mac', same, String],
  address: ['address', same, String],
  forkedFrom: [
    'forked_from',
    (value) => (value === null ? null : JSON.stringify(value)),
    (value) => (value === null ? null : (JSON.parse(value as string) as ForkedFrom)),
  ],
  idleSuspendSecs: ['idle_suspend_secs', same, Number],
  expiresAt: ['expires_at', same, text],
  memoryId: ['memory_id', same, text],
  network: [
    'network',
    JSON.stringify,
    (value) => ({ ...closedPolicy, ...(JSON.parse(value as string) as Partial<NetworkPolicy>) }),
  ],
  networkRevision: ['network_revision', same, Number],
  owner: ['owner', same, text],
};
const fields = Object.keys(columns) as (keyof WorkspaceRecord)[];

export function workspaceStore(db: Database): WorkspaceStore {
  const names = fields.map((field) => columns[field][0]);
  const insert = db.prepare(
    `INSERT INTO workspace (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`,
  );
  const byId = db.prepare('SELECT * FROM workspace WHERE id = ?');
  // No id has a character above f.
  const byIdPrefix = db.prepare('SELECT * FROM workspace WHERE id >= ? AND id < ? LIMIT 2');
  const byName = db.prepare('SELECT * FROM workspace WHERE name = ?');
  const byMember = db.prepare(
    `SELECT workspace.* FROM team_member JOIN team ON team.id = team_member.team_id
       JOIN workspace ON workspace.id = team_member.workspace_id
     WHERE ?1 IN (team.name || '.' || team_member.name, team.name || '-' || team_member.name)`,
  );
  const all = db.prepare('SELECT * FROM workspace ORDER BY created_at, id');
  const visible = db.prepare("SELECT * FROM workspace WHERE role = 'user' ORDER BY created_at, id");
  const countVisible = db.prepare("SELECT count(*) AS n FROM workspace WHERE role = 'user'");
  const withLifetime = db.prepare(
    "SELECT * FROM workspace WHERE role = 'user' AND (expires_at IS NOT NULL OR idle_suspend_secs > 0)",
  );
  const forked = db.prepare(
    "SELECT * FROM workspace WHERE json_extract(forked_from, '$.snapshot_id') = ? ORDER BY created_at, id",
  );
  const owned = db.prepare(
    "SELECT * FROM workspace WHERE role = 'user' AND owner = ? ORDER BY created_at, id",
  );
  const sumOwned = db.prepare(
    `SELECT count(*) AS workspaces, total(vcpus) AS vcpus, total(memory_mb) AS memory_mb,
       total(disk_gb) AS disk_gb FROM workspace WHERE role = 'user' AND owner = ?`,
  );
  const update = db.prepare(
    `UPDATE workspace SET ${names.map((name) => `${name} = ?`).join(', ')} WHERE id = ?`,
  );
  const remove = db.prepare('DELETE FROM workspace WHERE id = ?');
  const onImage = db.prepare(
    "SELECT count(*) AS n FROM workspace WHERE image_digest = ? AND role = 'user'",
  );
  const addresses = db.prepare('SELECT address FROM workspace');

  const requireFreeName = (name: string): void => {
    if (byName.get(name) === undefined) return;
    throw new CoppiceError({
      code: 'name_taken',
      message: `There is already a workspace named ${name}.`,
      next: 'Choose another name, or destroy that one first.',
      details: { name },
    });
  };
  const one = (row: Row | undefined): WorkspaceRecord | undefined =>
    row === undefined ? undefined : toRecord(row);

  return {
    insert(record) {
      requireFreeName(record.name);
      insert.run(...toValues(record));
    },
    byId: (id) => one(byId.get(id)),
    byIdPrefix: (prefix) => byIdPrefix.all(prefix, `${prefix}g`).map(toRecord),
    byName: (name) => one(byName.get(name)),
    byMember: (reference) => byMember.all(reference).map(toRecord),
    all: () => all.all().map(toRecord),
    visible: () => visible.all().map(toRecord),
    countVisible: () => Number(countVisible.get()?.['n'] ?? 0),
    withLifetime: () => withLifetime.all().map(toRecord),
    forkedFromSnapshot: (snapshotId) => forked.all(snapshotId).map(toRecord),
    ownedBy: (owner) => owned.all(owner).map(toRecord),
    sumOwnedBy(owner) {
      const row = sumOwned.get(owner) ?? {};
      return {
        workspaces: Number(row['workspaces']),
        vcpus: Number(row['vcpus']),
        memoryMb: Number(row['memory_mb']),
        diskGb: Number(row['disk_gb']),
      };
    },
    update(id, change) {
      const current = one(byId.get(id));
      if (current === undefined) return;
      if (change.name !== undefined && change.name !== current.name) requireFreeName(change.name);
      update.run(...toValues({ ...current, ...change }), id);
    },
    remove(id) {
      remove.run(id);
    },
    countOnImage: (digest) => Number(onImage.get(digest)?.['n'] ?? 0),
    addresses: () => new Set(addresses.all().map((row) => String(row['address']))),
  };
}

function toValues(record: WorkspaceRecord): Value[] {
  return fields.map((field) => (columns[field][1] as (value: unknown) => Value)(record[field]));
}

function toRecord(row: Row): WorkspaceRecord {
  return Object.fromEntries(
    fields.map((field) => [field, columns[field][2](row[columns[field][0]])]),
  ) as unknown as WorkspaceRecord;
}

function same<T extends Value>(value: T): T {
  return value;
}

function text(value: unknown): string | null {
  return value as string | null;
}
