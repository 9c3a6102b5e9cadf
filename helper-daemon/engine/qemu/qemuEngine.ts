/** The engine on QEMU: starts machines, finds them again, and clears up after them. */
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import { asCoppiceError, CoppiceError } from '../../../protocol/errors.ts';
import { isUuid } from '../../../protocol/names.ts';
import { spawnDetached } from '../../system/run.ts';
import {
  createCgroup,
  detectCgroups,
  enterCgroup,
  removeCgroup,
  type CgroupHost,
} from '../cgroup.ts';
import type {
  Accelerator,
  Engine,
  Machine,
  MachineIdentity,
  MachineSpec,
  MachineTransport,
  RunRecord,
} from '../machine.ts';
import type { TransportAddress } from '../../guest/transport.ts';
import { isAlive, readProcessStat, signalProcess } from '../processIdentity.ts';
import { chooseAccelerator } from './accelProbe.ts';
import { qemuArguments, translationCacheMb, type HostFacts } from './arguments.ts';
import { confined } from './confinement.ts';
import { findRun } from './findRun.ts';
import { microvm } from './machineFacts.ts';
import { findProgram, readTscKhz } from './program.ts';
import { bindingOf, bindingOfProcess } from './qemuBinding.ts';
import { attachMachine, endProcess, exitOf, type QemuMachineParts } from './qemuMachine.ts';
import { connectQmp } from './qmp.ts';
import { checkBinding, openResumeSource } from './resumeSource.ts';
import { runFiles } from './runFiles.ts';
import { createStderrPipe, openStderrPipe, type StderrPipe } from './stderrPipe.ts';

export interface QemuEngineOptions {
  /** File that keeps the accelerator's verdict. */
  readonly accelCache: string;
  /** COPPICE_ACCEL. */
  readonly accelerator?: string | undefined;
  /** System mode: cgroup below which every machine gets one of its own. */
  readonly cgroupParent?: string;
  /** QEMU's program, where it is not the one on PATH. */
  readonly program?: string;
  /** How long QEMU may take to open its control socket. */
  readonly startTimeoutMs?: number;
  /** Captures read memory through QEMU even where it can be read directly. */
  readonly captureThroughMonitor?: boolean;
}

/** Port of the agent on vsock. */
const agentPort = 5000;
/** Descriptors that a process inherits beyond its standard ones begin here. */
const firstInherited = 3;
/** What QEMU itself may need beside the guest's memory. */
const monitorMb = 192;

export function createQemuEngine(options: QemuEngineOptions): Engine {
  const facts = microvm;
  const { cgroupParent } = options;
  let program: string | undefined;
  const findQemu = (): string => (program ??= findProgram(options.program ?? facts.program));
  let tscKhz: Promise<number | undefined> | undefined;
  let verdict: Promise<Accelerator> | undefined;
  let cgroups: CgroupHost | undefined;
  const cgroupHost = (): CgroupHost => (cgroups ??= detectCgroups());

  const clock = (): Promise<number | undefined> => (tscKhz ??= readTscKhz());
  const machineParts = (
    identity: MachineIdentity,
    run: Pick<RunRecord, 'runDir' | 'transport' | 'paused'>,
  ): Omit<QemuMachineParts, 'stderr' | 'exited'> => ({
    identity,
    runDir: run.runDir,
    transport: addressOf(run.runDir, run.transport),
    paused: run.paused === true,
    lowMemoryBytes: facts.lowMemoryBytes,
    throughMonitor: options.captureThroughMonitor === true,
    binding: async () => bindingOfProcess(identity.pid, await clock()),
  });

  async function start(
    spec: MachineSpec,
    recordIdentity: (identity: MachineIdentity) => void,
    stderr: { readonly writer: number; readonly pipe: StderrPipe },
  ): Promise<Machine> {
    const executable = findQemu();
    const khz = await clock();
    const inherited = await openInherited(spec);
    try {
      const args = qemuArguments(facts, spec, {
        ...(khz === undefined ? {} : { tscKhz: khz }),
        ...inherited.facts,
      });
      if (spec.resumeFrom !== undefined) {
        checkBinding(spec.resumeFrom, await bindingOf(executable, args, khz));
      }
      if (cgroupParent !== undefined) {
        createCgroup(cgroupHost(), cgroupParent, spec.runId, limitsOf(spec));
      }
      const command = confined(executable, args, spec);
      const child = spawnDetached(command.file, command.args, {
        output: stderr.writer,
        inheritEnv: false,
        inherit: inherited.fds,
      });
      const identity: MachineIdentity = {
        pid: child.pid,
        startTime: readProcessStat(child.pid)?.startTime ?? '0',
        executable,
        runId: spec.runId,
      };
      try {
        recordIdentity(identity);
        if (cgroupParent !== undefined) {
          enterCgroup(cgroupHost(), cgroupParent, spec.runId, child.pid);
        }
        const parts = {
          ...machineParts(identity, spec),
          newCardSocket: spec.resumeFrom !== undefined && spec.network?.backend.kind === 'socket',
          stderr: stderr.pipe,
          exited: child.exited,
        };
        return await attachMachine(parts, untilUp(identity, options.startTimeoutMs ?? 15_000));
      } catch (error) {
        signalProcess(identity, 'SIGKILL');
        await exitOf(child.exited);
        throw bootFailed(error, await stderr.pipe.drain(200));
      }
    } finally {
      inherited.close();
    }
  }

  return {
    accelerator() {
      verdict ??= chooseAccelerator({
        program: findQemu(),
        cacheFile: options.accelCache,
        wanted: options.accelerator,
      });
      return verdict;
    },

    async launch(spec, recordIdentity) {
      checkSpec(spec);
      if (spec.runAs !== undefined) await fsp.chown(spec.runDir, spec.runAs.uid, spec.runAs.gid);
      const stderr = await createStderrPipe(
        runFiles(spec.runDir).stderr,
        spec.resumeFrom !== undefined,
      );
      try {
        return await start(spec, recordIdentity, stderr);
      } catch (error) {
        stderr.pipe.close();
        if (cgroupParent !== undefined) {
          await removeCgroup(cgroupHost(), cgroupParent, spec.runId);
        }
        throw error;
      } finally {
        fs.closeSync(stderr.writer);
      }
    },

    async adopt(run) {
      const identity = await findRun(run, findQemu());
      if (identity === undefined) return undefined;
      const stderr = openStderrPipe(runFiles(run.runDir).stderr);
      try {
        return await attachMachine({ ...machineParts(identity, run), stderr });
      } catch (error) {
        stderr?.close();
        if ((await findRun({ ...run, identity }, findQemu())) === undefined) return undefined;
        throw error;
      }
    },

    async binding(spec) {
      const args = qemuArguments(
        facts,
        {
          ...spec,
          ...{ workspaceId: '', runId: '', runDir: '/', kernel: '', initramfs: '' },
          kernelParameters: {},
          disk: { path: '/', format: 'qcow2' },
        },
        spec.transport.kind === 'vsock' ? { vhostFd: firstInherited } : {},
      );
      return bindingOf(findQemu(), args, await clock());
    },

    async loadMemory(file, expected) {
      const { loadMemory } = await import('../memory/memoryImage.ts');
      return loadMemory(file, expected);
    },

    async reap(run) {
      const identity = await findRun(run, findQemu());
      if (identity !== undefined) {
        const qmp = await connectQmp(runFiles(run.runDir).qmp, { connectTimeoutMs: 1_000 }).catch(
          () => undefined,
        );
        await endProcess(identity, qmp);
        qmp?.close();
      }
      if (cgroupParent !== undefined) {
        await removeCgroup(cgroupHost(), cgroupParent, run.runId);
      }
      await fsp.rm(run.runDir, { recursive: true, force: true });
    },
  };
}

function checkSpec(spec: MachineSpec): void {
  if (!isUuid(spec.runId) || !/^[A-Za-z0-9._-]+$/.test(spec.workspaceId)) {
    throw new CoppiceError({
      code: 'invalid_input',
      message: 'A machine needs a uuid as run id and a plain workspace id.',
    });
  }
  if (spec.network !== undefined && !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(spec.network.mac)) {
    throw new CoppiceError({
      code: 'invalid_input',
      message: `${JSON.stringify(spec.network.mac)} is not a MAC address.`,
    });
  }
  if (spec.paused === true && spec.resumeFrom === undefined) {
    throw new CoppiceError({
      code: 'invalid_input',
      message: 'Only a machine that continues from a memory image can start paused.',
    });
  }
}

interface Inherited {
  readonly fds: readonly number[];
  /** Their numbers in the monitor. */
  readonly facts: Pick<HostFacts, 'vhostFd' | 'memory' | 'tapFd'>;
  close(): void;
}

/** Descriptors that the monitor gets from here, in the order in which it will count them. */
async function openInherited(spec: MachineSpec): Promise<Inherited> {
  const memory =
    spec.resumeFrom === undefined ? undefined : await openResumeSource(spec.resumeFrom);
  try {
    const vhost = spec.transport.kind === 'vsock' ? openVhostVsock() : undefined;
    const backend = spec.network?.backend;
    const tap = backend?.kind === 'tap' ? backend.fd : undefined;
    const fds = [
      ...(vhost === undefined ? [] : [vhost]),
      ...(tap === undefined ? [] : [tap]),
      ...(memory === undefined ? [] : [memory.ram, memory.state]),
    ];
    const numberOf = (fd: number): number => firstInherited + fds.indexOf(fd);
    return {
      fds,
      facts: {
        ...(vhost === undefined ? {} : { vhostFd: numberOf(vhost) }),
        ...(tap === undefined ? {} : { tapFd: numberOf(tap) }),
        ...(memory === undefined
          ? {}
          : { memory: { ramFd: numberOf(memory.ram), stateFd: numberOf(memory.state) } }),
      },
      close() {
        memory?.close();
        if (vhost !== undefined) fs.closeSync(vhost);
      },
    };
  } catch (error) {
    memory?.close();
    throw error;
  }
}

/**
 * Guest memory, the monitor's own, and under TCG its translation cache. A machine that continues from an
 * image may be charged for its memory twice: for its own pages, and for the pages of zeros that the kernel
 * adds to the image when it is the first one to touch a hole there.
 */
function limitsOf(spec: MachineSpec): { memoryBytes: number; cpus: number; pids: number } {
  const guestMb = spec.memoryMb * (spec.resumeFrom === undefined ? 1 : 2);
  const extraMb = monitorMb + (spec.accelerator === 'tcg' ? translationCacheMb : 0);
  return {
    memoryBytes: spec.limits?.memoryBytes ?? (guestMb + extraMb) * 1024 * 1024,
    cpus: spec.limits?.cpus ?? spec.vcpus + 1,
    pids: spec.limits?.pids ?? 256 + spec.vcpus,
  };
}

function addressOf(runDir: string, transport: MachineTransport): TransportAddress {
  return transport.kind === 'vsock'
    ? { kind: 'vsock', cid: transport.cid, port: agentPort }
    : { kind: 'unix', path: runFiles(runDir).agent };
}

/** The machine's own account need not be allowed to open the device: it inherits the descriptor. */
function openVhostVsock(): number {
  try {
    return fs.openSync('/dev/vhost-vsock', fs.constants.O_RDWR);
  } catch (error) {
    throw new CoppiceError(
      {
        code: 'prerequisite_missing',
        message: `/dev/vhost-vsock cannot be opened: ${(error as Error).message}.`,
        next: 'Load the vhost_vsock module, or let machines use virtio-serial.',
      },
      { cause: error },
    );
  }
}

/** The control socket is there after some 20 ms; it is worth waiting only while the process lives. */
function untilUp(identity: MachineIdentity, timeoutMs: number): () => boolean {
  const deadline = performance.now() + timeoutMs;
  return () => performance.now() < deadline && isAlive(identity);
}

function bootFailed(error: unknown, stderr: string): CoppiceError {
  if (error instanceof CoppiceError && error.code !== 'internal' && error.code !== 'timeout') {
    return error;
  }
  const why = stderr.trim() === '' ? asCoppiceError(error).message : stderr.trim();
  return new CoppiceError(
    {
      code: 'boot_failed',
      message: `The machine could not be started: ${why.slice(-2000)}`,
      next: 'Run coppice doctor to check QEMU, the kernel and the disk.',
      details: { stderr: stderr.slice(-4000) },
    },
    { cause: error },
  );
}
