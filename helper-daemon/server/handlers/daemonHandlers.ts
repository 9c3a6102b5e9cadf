import { totalmem, cpus } from 'node:os';
import { memoryUsage } from 'node:process';
import { checkHost } from '../../system/doctor.ts';
import { availableDiskBytes, availableMemoryMb } from '../../workspaces/admission.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import { stopWorkspace } from '../../workspaces/stop.ts';
import type { Handlers } from '../handlerTypes.ts';

type DaemonHandlers = Pick<Handlers, 'daemon_status' | 'daemon_doctor' | 'daemon_stop'>;

export interface DaemonFacts {
  readonly version: string;
  readonly startedAt: Date;
  readonly connections: () => number;
  /** The accelerator once a machine has needed one. */
  readonly accelerator: () => 'kvm' | 'tcg' | undefined;
  /** Ends the daemon after the reply has been sent. */
  readonly stop: () => void;
}

export function daemonHandlers(services: WorkspaceServices, facts: DaemonFacts): DaemonHandlers {
  return {
    async daemon_status() {
      const records = services.store.visible();
      const running = records.filter((record) => services.machines.get(record.id) !== undefined);
      const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
      return {
        version: facts.version,
        pid: process.pid,
        mode: services.paths.mode,
        started_at: facts.startedAt.toISOString(),
        uptime_ms: Date.now() - facts.startedAt.getTime(),
        rss_bytes: memoryUsage.rss(),
        socket: services.paths.socket,
        state_dir: services.paths.state,
        log_file: services.paths.log,
        accelerator: facts.accelerator() ?? null,
        workspaces: { total: records.length, running: running.length },
        clients: facts.connections(),
        host: {
          cpus: cpus().length,
          memory_total_bytes: totalmem(),
          memory_available_bytes: availableMemoryMb() * 1024 * 1024,
          disk_available_bytes: await availableDiskBytes(services.paths.state),
        },
        allocated: {
          vcpus: sum(running.map((record) => record.vcpus)),
          memory_mb: sum(running.map((record) => record.memoryMb)),
          disk_gb: sum(records.map((record) => record.diskGb)),
        },
      };
    },
    async daemon_doctor() {
      const checks = await checkHost({
        paths: services.paths,
        accelerator: () => services.engine.accelerator(),
        bootAssets: services.bootAssets,
        defaultImage: () => services.images.require(undefined),
        network: () => services.network.checks(),
      });
      return { ok: checks.every((check) => check.status !== 'failed'), checks };
    },
    async daemon_stop({ stop_machines }) {
      const live = stop_machines === true ? services.machines.all() : [];
      await Promise.all(
        live.map(({ workspaceId }) => stopWorkspace(services, workspaceId, { force: false })),
      );
      facts.stop();
      return { stopped_machines: live.length };
    },
  };
}
