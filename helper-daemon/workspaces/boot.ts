/** From a stopped workspace to a machine that answers and knows who it is. */
import { randomBytes, randomUUID } from 'node:crypto';
import { CoppiceError } from '../../protocol/errors.ts';
import type { Machine, MachineEnd } from '../engine/machine.ts';
import type { GuestLink } from '../guest/guestLink.ts';
import type { MachineRunRecord, WorkspaceRecord } from '../store/workspaceStore.ts';
import { makeDirectory } from '../system/directory.ts';
import { accountOf } from './accounts.ts';
import { runDirectory, workspaceDirectories } from './directories.ts';
import type { LiveMachine } from './liveMachines.ts';
import { handleMachineEnd } from './machineEnd.ts';
import type { WorkspaceServices } from './services.ts';

export interface BootOptions {
  readonly signal: AbortSignal;
  readonly progress: (message: string) => void;
}

/**
 * Boots the workspace's machine. The caller holds the workspace's lock and a journal entry; when this
 * throws, no process and no run record is left.
 * @throws CoppiceError `boot_failed`, `boot_timeout`, `boot_assets_missing`, `cancelled`
 */
export async function bootMachine(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  options: BootOptions,
): Promise<LiveMachine> {
  const assets = await services.bootAssets();
  const accelerator = await services.engine.accelerator();
  const run: MachineRunRecord = {
    workspaceId: record.id,
    runId: randomUUID(),
    channelKey: randomBytes(32).toString('hex'),
    transport: { kind: 'virtio-serial' },
    accelerator,
    startedAt: services.now().toISOString(),
  };
  const account = accountOf(record.uid);
  const runDir = runDirectory(services.paths, run.runId);
  const abandoned = new AbortController();
  const signal = AbortSignal.any([options.signal, abandoned.signal]);
  let link: GuestLink | undefined;
  services.store.insertRun(run);
  services.booting.set(record.id, abandoned);
  try {
    throwIfCancelled(signal);
    await makeDirectory(runDir, 0o700);
    options.progress('Starting the machine');
    const machine = await services.engine.launch(
      {
        workspaceId: record.id,
        runId: run.runId,
        runDir,
        vcpus: record.vcpus,
        memoryMb: record.memoryMb,
        disk: services.storage.head(workspaceDirectories(services.paths, record.id).disks, 'head'),
        kernel: assets.vmlinux,
        initramfs: assets.initramfs,
        kernelParameters: {
          'coppice.key': run.channelKey,
          'coppice.generation': String(record.generation),
          'coppice.hostname': record.hostname,
          'coppice.root': '/dev/vda',
          ...(record.init === 'system' ? { 'coppice.init': 'system' } : {}),
        },
        accelerator,
        transport: run.transport,
        ...(account === undefined ? {} : { runAs: account }),
      },
      (identity) => services.store.setRunProcess(run.runId, identity),
    );
    options.progress('Waiting for the machine to boot');
    link = services.openGuestLink({
      machine,
      channelKey: run.channelKey,
      generation: record.generation,
    });
    await waitForAgent(services, record, machine, link, signal);
    await introduce(record, link);
    const live: LiveMachine = { workspaceId: record.id, runId: run.runId, machine, link };
    watch(services, live);
    return live;
  } catch (error) {
    link?.close();
    await services.engine.reap({ runId: run.runId, runDir });
    services.store.removeRun(record.id);
    throw error;
  } finally {
    services.booting.delete(record.id);
  }
}

/** Puts a machine among the live ones and follows it to its end. */
export function watch(services: WorkspaceServices, live: LiveMachine): void {
  services.machines.set(live);
  void live.machine.ended.then((end) => handleMachineEnd(services, live, end));
}

/** Tells the guest who it is; nothing may run in it before this has succeeded. */
export async function introduce(record: WorkspaceRecord, link: GuestLink): Promise<void> {
  const { system } = await link.clients();
  await system.configure({
    generation: BigInt(record.generation),
    hostname: record.hostname,
    machineId: record.machineId,
    realtimeNs: BigInt(Date.now()) * 1_000_000n,
    entropy: randomBytes(64),
  });
  await system.growRoot({});
}

async function waitForAgent(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  machine: Machine,
  link: GuestLink,
  signal: AbortSignal,
): Promise<void> {
  const deadline = AbortSignal.timeout(services.bootTimeoutMs);
  const ended = machine.ended.then((end) => ({ end }));
  const answered = link.connect(AbortSignal.any([signal, deadline])).then(
    () => ({ answered: true }) as const,
    (error: unknown) => ({ error }),
  );
  const outcome = await Promise.race([ended, answered]);
  if ('answered' in outcome) return;
  if ('end' in outcome) throw bootFailed(record, outcome.end);
  throwIfCancelled(signal);
  if (!deadline.aborted) throw outcome.error;
  throw new CoppiceError({
    code: 'boot_timeout',
    message: `The machine of ${record.name} did not answer within ${String(services.bootTimeoutMs / 1000)} s.${quoteTail(await machine.console())}`,
    next: 'Check that the image is sound and the host not overloaded; COPPICE_BOOT_TIMEOUT_SECS allows more time.',
  });
}

function bootFailed(record: WorkspaceRecord, end: MachineEnd): CoppiceError {
  const tail = quoteTail(end.consoleTail === '' ? end.stderrTail : end.consoleTail);
  return new CoppiceError({
    code: 'boot_failed',
    message: `The machine of ${record.name} ended while booting: ${end.detail}.${tail}`,
    next:
      record.memoryMb < 256
        ? 'It may need more memory: try memory_mb 256 or more.'
        : 'The console output above says where it stopped; the image or its init may be broken.',
    details: { reason: end.reason },
  });
}

function quoteTail(text: string): string {
  const lines = text.trimEnd().split('\n').slice(-30).join('\n').trim();
  return lines === '' ? ' Its console is empty.' : ` The end of its console:\n${lines}\n`;
}

function throwIfCancelled(signal: AbortSignal): void {
  if (!signal.aborted) return;
  throw new CoppiceError({
    code: 'cancelled',
    message: 'The call was cancelled; nothing was kept.',
  });
}
