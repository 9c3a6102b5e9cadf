/** Looking at a workspace: facts, load, logs. */
import { limits } from '../../protocol/limits.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import { mayUse, type Caller } from './callers.ts';
import { readKeptLogs } from './directories.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { viewPolicy } from './network.ts';
import { portForwards } from './portForwards.ts';
import { resolveWorkspace } from './resolve.ts';
import type { WorkspaceServices } from './services.ts';
import { summarize } from './view.ts';

/** A machine that does not answer must not keep anyone from reading the rest. */
const guestPatienceMs = 2000;

export async function describeWorkspace(
  services: WorkspaceServices,
  caller: Caller,
  reference: string,
): Promise<OutputOf<'workspace_info'>> {
  const record = resolveWorkspace(services.store, reference);
  const run = services.runs.of(record.id);
  const live = services.machines.get(record.id);
  const guest =
    live === undefined || record.state !== 'running'
      ? undefined
      : await live.link
          .clients()
          .then(({ system }) => system.getInfo({}, { timeoutMs: guestPatienceMs }))
          .catch(() => undefined);
  return {
    ...summarize(services, record),
    owned: mayUse(caller, record.owner),
    hostname: record.hostname,
    init: record.init,
    image_digest: record.imageDigest,
    accelerator: run?.accelerator ?? null,
    transport: run?.transport.kind ?? null,
    pid: run?.process?.pid ?? null,
    generation: record.generation,
    uptime_ms: guest === undefined ? null : Number(guest.uptimeMs),
    network: {
      mac: record.mac,
      address: record.address,
      ...viewPolicy(record.network),
      port_forwards: portForwards(services, record.id),
    },
    storage: record.storage,
    idle_suspend_secs: record.idleSuspendSecs,
    snapshots: services.tree.countSnapshots(record.id),
    disk_used_bytes: await headBytes(services, record).catch(() => 0),
    disk_volsize_bytes: record.diskGb * 1024 ** 3,
    guest:
      guest === undefined
        ? null
        : {
            agent_version: guest.agentVersion,
            kernel: guest.kernelRelease,
            os: guest.os,
            boot_id: guest.bootId,
            machine_id: guest.machineId,
          },
  };
}

export async function headBytes(
  services: WorkspaceServices,
  record: WorkspaceRecord,
): Promise<number> {
  return await services.storages.named(record.storage).usedBytes(record.head);
}

export async function workspaceLoad(
  services: WorkspaceServices,
  reference: string,
): Promise<OutputOf<'workspace_stats'>> {
  const record = resolveWorkspace(services.store, reference);
  const live = services.machines.require(record);
  const { system } = await live.link.clients();
  const [guest, host, diskBytes] = await Promise.all([
    system.getStats({}),
    live.machine.usage(),
    headBytes(services, record),
  ]);
  return {
    workspace_id: record.id,
    name: record.name,
    uptime_ms: Number(guest.uptimeMs),
    cpu_busy_ms: Number(guest.cpuBusyMs),
    cpu_total_ms: Number(guest.cpuTotalMs),
    load1: guest.load1,
    processes: guest.processes,
    memory_total_bytes: Number(guest.memoryTotalBytes),
    memory_available_bytes: Number(guest.memoryAvailableBytes),
    disk_total_bytes: Number(guest.diskTotalBytes),
    disk_available_bytes: Number(guest.diskAvailableBytes),
    agent_rss_bytes: Number(guest.agentRssBytes),
    host_rss_bytes: host.rssBytes,
    host_private_bytes: host.privateBytes,
    host_proportional_bytes: host.proportionalBytes,
    host_cpu_ms: host.cpuMs,
    host_disk_bytes: diskBytes,
  };
}

export async function workspaceLogs(
  services: WorkspaceServices,
  input: ParsedInputOf<'workspace_logs'>,
): Promise<OutputOf<'workspace_logs'>> {
  const record = resolveWorkspace(services.store, input.workspace_id);
  const live = services.machines.get(record.id);
  const logs =
    live === undefined
      ? await readKeptLogs(services.paths, record.id)
      : { console: await live.machine.console(), stderr: await live.machine.stderr() };
  const last = (text: string): string =>
    text
      .trimEnd()
      .split('\n')
      .slice(-(input.max_lines ?? limits.logLines.default))
      .join('\n');
  const kind = input.log_type ?? 'all';
  return {
    ...(kind === 'stderr' ? {} : { console: last(logs.console) }),
    ...(kind === 'console' ? {} : { stderr: last(logs.stderr) }),
  };
}
