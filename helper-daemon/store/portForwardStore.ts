/** Rows of port forwards. */
import type { Database } from './database.ts';

export interface PortForwardRecord {
  readonly workspaceId: string;
  /** Host address it listens on; 0.0.0.0: every one. */
  readonly bind: string;
  readonly hostPort: number;
  readonly guestPort: number;
}

export interface PortForwardStore {
  /** @throws when that address and port are taken by another row */
  insert(forward: PortForwardRecord): void;
  of(workspaceId: string): PortForwardRecord[];
  all(): PortForwardRecord[];
  remove(forward: Pick<PortForwardRecord, 'bind' | 'hostPort'>): void;
}

export function portForwardStore(db: Database): PortForwardStore {
  const insert = db.prepare(
    'INSERT INTO port_forward (workspace_id, bind, host_port, guest_port) VALUES (?, ?, ?, ?)',
  );
  const of = db.prepare(
    'SELECT * FROM port_forward WHERE workspace_id = ? ORDER BY guest_port, host_port, bind',
  );
  const all = db.prepare('SELECT * FROM port_forward ORDER BY guest_port, host_port, bind');
  const remove = db.prepare('DELETE FROM port_forward WHERE bind = ? AND host_port = ?');
  return {
    insert({ workspaceId, bind, hostPort, guestPort }) {
      insert.run(workspaceId, bind, hostPort, guestPort);
    },
    of: (workspaceId) => of.all(workspaceId).map(toForward),
    all: () => all.all().map(toForward),
    remove({ bind, hostPort }) {
      remove.run(bind, hostPort);
    },
  };
}

function toForward(row: Record<string, unknown>): PortForwardRecord {
  return {
    workspaceId: String(row['workspace_id']),
    bind: String(row['bind']),
    hostPort: Number(row['host_port']),
    guestPort: Number(row['guest_port']),
  };
}
