/** Workspaces whose time is over are destroyed, those that nobody uses are suspended; both only where asked for. */
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { destroyWorkspace } from './destroy.ts';
import type { WorkspaceServices } from './services.ts';
import { suspendWorkspace } from './suspend.ts';

const lookEveryMs = 1_000;
/**
 * A machine that takes more of a core than this does something, also when nobody looks. Idle ones take up to 2 % where
 * they are emulated, and twice that beside others: the agent looks for listening ports once a second.
 */
const busyShare = 0.1;

export interface Lifetimes {
  close(): void;
}

export function lifetimes(services: WorkspaceServices): Lifetimes {
  const working = new Set<string>();
  const load = new Map<string, { cpuMs: number; at: number; quietSince: number }>();

  async function isQuiet(record: WorkspaceRecord): Promise<boolean> {
    const limitMs = record.idleSuspendSecs * 1000;
    const live = services.machines.get(record.id);
    if (live === undefined || services.activity.idleMs(record.id) < limitMs) {
      load.delete(record.id);
      return false;
    }
    const { cpuMs } = await live.machine.usage();
    const at = performance.now();
    const before = load.get(record.id) ?? { cpuMs, at, quietSince: at };
    const busy = at > before.at && (cpuMs - before.cpuMs) / (at - before.at) > busyShare;
    const quietSince = busy ? at : before.quietSince;
    load.set(record.id, { cpuMs, at, quietSince });
    return at - quietSince >= Math.min(limitMs, 2 * lookEveryMs);
  }

  async function look(record: WorkspaceRecord): Promise<void> {
    if (record.expiresAt !== null && services.now() >= new Date(record.expiresAt)) {
      services.log.info({ workspace: record.id }, 'its time is over, destroying it');
      await destroyWorkspace(services, record.id);
      return;
    }
    if (record.state !== 'running' || record.idleSuspendSecs === 0) return;
    if (!(await isQuiet(record))) return;
    services.log.info({ workspace: record.id }, 'nobody uses it, suspending it');
    await suspendWorkspace(services, record.id, {
      stillWanted: (now) =>
        now.state === 'running' && services.activity.idleMs(now.id) >= now.idleSuspendSecs * 1000,
    });
  }

  const timer = setInterval(() => {
    for (const record of services.store.withLifetime()) {
      if (working.has(record.id)) continue;
      working.add(record.id);
      look(record)
        .catch((error: unknown) => {
          services.log.warn({ workspace: record.id, err: error }, 'lifetime not enforced');
        })
        .finally(() => working.delete(record.id));
    }
  }, lookEveryMs);
  timer.unref();
  return {
    close() {
      clearInterval(timer);
    },
  };
}
