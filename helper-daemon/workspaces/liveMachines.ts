/** The machines that are up, by workspace: what the daemon holds beside their rows. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { Machine } from '../engine/machine.ts';
import type { GuestLink } from '../guest/guestLink.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';

export interface LiveMachine {
  readonly workspaceId: string;
  readonly runId: string;
  readonly machine: Machine;
  readonly link: GuestLink;
}

export interface LiveMachines {
  get(workspaceId: string): LiveMachine | undefined;
  set(live: LiveMachine): void;
  delete(workspaceId: string): void;
  /** Calls back for every machine from here on, when it is set. Returns what ends that. */
  onSet(listener: (live: LiveMachine) => void): () => void;
  all(): LiveMachine[];
  /** @throws CoppiceError `wrong_state` when the workspace is not running */
  require(record: WorkspaceRecord): LiveMachine;
}

export function liveMachines(): LiveMachines {
  const byId = new Map<string, LiveMachine>();
  const listeners = new Set<(live: LiveMachine) => void>();
  return {
    get: (id) => byId.get(id),
    set(live) {
      byId.set(live.workspaceId, live);
      for (const listener of listeners) listener(live);
    },
    onSet(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    delete(id) {
      byId.delete(id);
    },
    all: () => [...byId.values()],
    require(record) {
      const live = byId.get(record.id);
      if (live !== undefined && record.state === 'running') return live;
      throw new CoppiceError({
        code: 'wrong_state',
        message: `Workspace ${record.name} is not running (state: ${record.state}).${
          record.problem === null ? '' : ` ${record.problem}`
        }`,
        next: adviceFor(record),
        details: { state: record.state },
      });
    },
  };
}

function adviceFor({ name, state }: WorkspaceRecord): string {
  if (state === 'stopped') return `Start it with coppice start ${name}.`;
  if (state === 'paused' || state === 'suspended') return `Let it go on: coppice resume ${name}.`;
  return 'Wait until it has settled, then try again.';
}
