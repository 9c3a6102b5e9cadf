/** Follows what listens in each machine, and keeps forwards open for as long as they exist. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ListeningPort } from '../../protocol/operations/networkModel.ts';
import type { LiveMachine } from './liveMachines.ts';
import { refreshCard } from './network.ts';
import { announcePorts } from './portForwards.ts';
import type { WorkspaceServices } from './services.ts';

export interface PortWatch {
  close(): void;
}

/** What one machine may make the daemon remember. */
const portsKept = 512;
const nameLength = 64;
/** Between attempts where the agent cannot be asked. */
const patienceMs = 500;

/** Call it before recovery: what the kernel carries must not be interrupted. */
export async function openForwards(services: WorkspaceServices): Promise<void> {
  for (const forward of services.forwards.all()) {
    const problem = await services.forwardListeners.open(forward);
    if (problem === undefined) continue;
    services.log.warn({ ...forward, problem: problem.code }, 'port forward not open');
  }
}

/** Call it after recovery: from here on every machine that becomes a workspace's is followed. */
export function portWatch(services: WorkspaceServices): PortWatch {
  const closed = new AbortController();
  const unsubscribe = services.machines.onSet((live) => follow(services, live, closed.signal));
  for (const live of services.machines.all()) follow(services, live, closed.signal);
  return {
    close() {
      closed.abort();
      unsubscribe();
      services.forwardListeners.closeAll();
    },
  };
}

function follow(services: WorkspaceServices, live: LiveMachine, closed: AbortSignal): void {
  const ended = new AbortController();
  const signal = AbortSignal.any([closed, ended.signal]);
  void live.machine.ended.then(() => {
    ended.abort();
    const successor = services.machines.get(live.workspaceId);
    if (successor !== undefined && successor.runId !== live.runId) return;
    services.listening.forget(live.workspaceId);
    if (services.store.byId(live.workspaceId)?.role === 'user') {
      announcePorts(services, live.workspaceId);
    }
  });
  void (async () => {
    while (!signal.aborted && isCurrent(services, live)) {
      try {
        // One that stands still would not answer, and the silence would be taken for its end.
        if (services.store.byId(live.workspaceId)?.state !== 'running') throw new Error('not yet');
        const { network } = await live.link.clients();
        for await (const { listeners } of network.watchListeners({}, { signal })) {
          if (!isCurrent(services, live)) return;
          await learn(services, live.workspaceId, listeners.slice(0, portsKept).map(toPort));
        }
      } catch {
        // It is being restored, stands still, or is not anybody yet.
      }
      await delay(patienceMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  })();
}

/** A machine that is kept ready, or has been replaced, has no ports anybody asks for. */
function isCurrent({ machines, store }: WorkspaceServices, live: LiveMachine): boolean {
  return (
    machines.get(live.workspaceId)?.runId === live.runId &&
    store.byId(live.workspaceId)?.role === 'user'
  );
}

async function learn(
  services: WorkspaceServices,
  id: string,
  ports: readonly ListeningPort[],
): Promise<void> {
  services.listening.set(id, ports);
  announcePorts(services, id);
  if (services.forwards.of(id).length > 0) await refreshCard(services, id);
}

function toPort(listener: {
  readonly address: string;
  readonly port: number;
  readonly pid: number;
  readonly process: string;
}): ListeningPort {
  return {
    port: Math.min(Math.max(listener.port, 1), 65_535),
    address: listener.address.slice(0, nameLength),
    pid: listener.pid === 0 ? null : listener.pid,
    process: listener.process.slice(0, nameLength),
  };
}
