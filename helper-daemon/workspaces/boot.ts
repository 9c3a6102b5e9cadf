/** From a stopped workspace to a machine that answers and knows who it is. */
import { randomBytes, randomUUID } from 'node:crypto';
import { CoppiceError } from '../../protocol/errors.ts';
import type { Machine, MachineEnd, MachineSpec } from '../engine/machine.ts';
import type { GuestLink } from '../guest/guestLink.ts';
import type { MachineRunRecord } from '../store/runStore.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { makeDirectory } from '../system/directory.ts';
import { requireMemory } from './admission.ts';
import { accountOf } from './accounts.ts';
import { runDirectory } from './directories.ts';
import { guestVersions } from './guestVersions.ts';
import { headDisk } from './heads.ts';
import type { LiveMachine } from './liveMachines.ts';
import { handleMachineEnd } from './machineEnd.ts';
import { requireCompatible, type LoadedMemory } from './memories.ts';
import { bindingMismatch } from '../engine/memory/binding.ts';
import type { Attachment, RunKey } from '../network/network.ts';
import { cardFor, connectCard, guestNetwork } from './network.ts';
import type { WorkspaceServices } from './services.ts';

export interface BootOptions {
  readonly signal: AbortSignal;
  readonly progress: (message: string) => void;
}

export interface LaunchOptions extends BootOptions {
  /** Continue from this memory instead of booting; the disk must have the content it was taken on. */
  readonly from?: LoadedMemory;
  /**
   * What the guest must be told of its disk: that the file system may fill it, or first that it is larger than
   * the one its memory knows.
   */
  readonly grow?: 'filesystem' | 'disk';
  /**
   * `self`: the guest is told who it is before anything runs in it. `looker`: only what keeps it from being
   * mistaken for another; its files stay as they are. `nobody`: it is frozen before it is anybody.
   */
  readonly as: 'self' | 'looker' | 'nobody';
}

/**
 * Starts the workspace's machine and waits until the guest answers as itself. The caller holds the
 * workspace's lock and a journal entry; when this throws, no process and no run record is left.
 * @throws CoppiceError `no_memory`, `boot_failed`, `boot_timeout`, `boot_assets_missing`, `snapshot_incompatible`, `cancelled`
 */
export async function bootMachine(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  options: BootOptions & Partial<LaunchOptions>,
): Promise<LiveMachine> {
  const launched = await launchMachine(services, record, {
    as: 'self',
    ...(options.from === undefined ? { grow: 'filesystem' } : {}),
    ...options,
  });
  watch(services, launched);
  return launched;
}

/** As bootMachine, but nobody follows the machine yet. */
async function launchMachine(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  options: LaunchOptions,
): Promise<LiveMachine> {
  const abandoned = new AbortController();
  services.booting.set(record.id, abandoned);
  const signal = AbortSignal.any([options.signal, abandoned.signal]);
  let live: LiveMachine | undefined;
  try {
    live = await startMonitor(services, record, { ...options, signal });
    await makeItself(services, record, live, { ...options, signal });
    return live;
  } catch (error) {
    if (live !== undefined) await abandonMachine(services, live);
    throw error;
  } finally {
    services.booting.delete(record.id);
  }
}

/** Starts the process; with `paused` (and `from`) the guest stands still until `machine.resume`. */
export async function startMonitor(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  options: LaunchOptions & { readonly paused?: boolean },
): Promise<LiveMachine> {
  const { from } = options;
  const assets = await services.bootAssets();
  const accelerator = await services.engine.accelerator();
  const run: MachineRunRecord = {
    workspaceId: record.id,
    runId: randomUUID(),
    channelKey: from?.channelKey ?? randomBytes(32).toString('hex'),
    transport: { kind: 'virtio-serial' },
    accelerator,
    guest: from?.guest ?? guestVersions(assets),
    startedAt: services.now().toISOString(),
  };
  const account = accountOf(record.uid);
  const runDir = runDirectory(services.paths, run.runId);
  const key: RunKey = { workspaceId: record.id, runId: run.runId, runDir };
  let attachment: Attachment | undefined;
  // No wait between the two: machines that start at the same time see each other's rows.
  requireMemory(services, record.memoryMb);
  services.lightly(() => services.runs.insert(run));
  try {
    throwIfCancelled(options.signal);
    await makeDirectory(runDir, 0o700);
    attachment = await services.network.attach(key, cardFor(services, record.id));
    const spec: MachineSpec = {
      workspaceId: record.id,
      runId: run.runId,
      runDir,
      vcpus: record.vcpus,
      memoryMb: record.memoryMb,
      disk: await headDisk(services, record),
      network: { mac: record.mac, backend: attachment.backend },
      kernel: assets.vmlinux,
      initramfs: assets.initramfs,
      kernelParameters: {
        'coppice.key': run.channelKey,
        'coppice.generation': String(options.as === 'nobody' ? 0 : record.generation),
        'coppice.hostname': options.as === 'nobody' ? 'coppice' : record.hostname,
        'coppice.root': '/dev/vda',
        ...(record.init === 'system' ? { 'coppice.init': 'system' } : {}),
      },
      accelerator,
      transport: run.transport,
      ...(account === undefined ? {} : { runAs: account }),
      ...(from === undefined ? {} : { resumeFrom: from.image }),
      ...(options.paused === true ? { paused: true } : {}),
    };
    if (from !== undefined) {
      const was = { ...from.image.binding, ...from.guest };
      const is = { ...(await services.engine.binding(spec)), ...guestVersions(assets) };
      requireCompatible(record.name, bindingMismatch(was, is));
    }
    options.progress(from === undefined ? 'Booting the machine' : 'Continuing from memory');
    const machine = await services.engine.launch(spec, (identity) =>
      services.lightly(() => services.runs.setProcess(run.runId, identity)),
    );
    attachment.release();
    await connectCard(services, key, machine);
    const link = services.openGuestLink({
      machine,
      channelKey: run.channelKey,
      generation: options.as === 'nobody' ? 0 : record.generation,
    });
    return { workspaceId: record.id, runId: run.runId, machine, link };
  } catch (error) {
    attachment?.release();
    await services.engine.reap({ runId: run.runId, runDir });
    await services.network.detach(key);
    services.runs.remove(record.id);
    throw error;
  }
}

/** Waits for the guest and gives it its identity. */
export async function makeItself(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  { machine, link }: LiveMachine,
  options: Pick<LaunchOptions, 'as' | 'grow' | 'progress' | 'signal'>,
): Promise<void> {
  await waitForAgent(services, record, machine, link, options.signal);
  if (options.as !== 'nobody') await introduce(services, record, link, options.as);
  if (options.grow === 'disk') await machine.growDisk(record.diskGb * 1024 ** 3);
  if (options.grow === undefined) return;
  const { system } = await link.clients();
  await system.growRoot({});
}

/** Ends a machine that never became a workspace's. */
export async function abandonMachine(
  services: WorkspaceServices,
  live: LiveMachine,
): Promise<void> {
  live.link.close();
  await services.engine.reap({
    runId: live.runId,
    runDir: runDirectory(services.paths, live.runId),
    identity: live.machine.identity,
  });
  services.runs.remove(live.workspaceId);
}

/** Puts a machine among the live ones and follows it to its end. */
export function watch(services: WorkspaceServices, live: LiveMachine): void {
  services.machines.set(live);
  void live.machine.ended.then((end) => handleMachineEnd(services, live, end));
}

/**
 * Tells the guest who it is; its workload is held until this has succeeded. A copy that cannot be told must
 * not live: it would act under its parent's identity.
 */
export async function introduce(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  link: GuestLink,
  as: 'self' | 'looker' = 'self',
): Promise<void> {
  const { system } = await link.clients();
  await system.configure({
    generation: BigInt(record.generation),
    realtimeNs: BigInt(Date.now()) * 1_000_000n,
    entropy: randomBytes(64),
    release: true,
    ...(as === 'looker'
      ? {}
      : {
          hostname: record.hostname,
          machineId: record.machineId,
          network: guestNetwork(services, record),
        }),
  });
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
