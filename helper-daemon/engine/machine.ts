/**
 * What the rest of the daemon knows about running machines. Nothing here names QEMU, so that another
 * monitor can stand behind it.
 */

import type { TransportAddress } from '../guest/transport.ts';

export type Accelerator = 'kvm' | 'tcg';

/** How the byte stream of docs/guest-channel.md reaches the guest. */
export type MachineTransport =
  { readonly kind: 'virtio-serial' } | { readonly kind: 'vsock'; readonly cid: number };

export interface MachineSpec {
  readonly workspaceId: string;
  /** A uuid, new for every boot: the identity of this machine on the host. */
  readonly runId: string;
  /** Exists, mode 0700, belongs to this run alone; sockets, pid file and console go here. */
  readonly runDir: string;
  readonly vcpus: number;
  readonly memoryMb: number;
  /** Absent: a machine without a disk (tests, templates of the boot). */
  readonly disk?: { readonly path: string; readonly format: 'qcow2' | 'raw' };
  readonly kernel: string;
  readonly initramfs: string;
  /** `coppice.*` parameters of the kernel command line. */
  readonly kernelParameters: Readonly<Record<string, string>>;
  readonly accelerator: Accelerator;
  readonly transport: MachineTransport;
  /** Account the monitor runs as; the engine gives runDir to it. Only root can ask for this. */
  readonly runAs?: { readonly uid: number; readonly gid: number };
  /** Limits of the machine's cgroup, where the engine was told to use cgroups. */
  readonly limits?: MachineLimits;
}

export interface MachineLimits {
  /** Absent: guest memory plus what the monitor itself may need. */
  readonly memoryBytes?: number;
  /** Cores, may be fractional; absent: vcpus + 1, so that disk and network threads get their share. */
  readonly cpus?: number;
  readonly pids?: number;
}

/** Enough to recognise a process after a restart of the daemon, safe against pid reuse. */
export interface MachineIdentity {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks between host boot and the start of the process. */
  readonly startTime: string;
  /** Resolved path of the monitor's program. */
  readonly executable: string;
  readonly runId: string;
}

/** What recovery knows about a run; `identity` is missing when the daemon died before recording it. */
export interface RunRecord {
  readonly runId: string;
  readonly runDir: string;
  readonly transport: MachineTransport;
  readonly identity?: MachineIdentity;
}

export type EndReason =
  /** The guest shut itself down or reset. */
  | 'shutdown'
  | 'panic'
  /** Ended from the host: powerOff, or the host's own shutdown. */
  | 'killed'
  /** The monitor went away without being asked to. */
  | 'crashed';

export interface MachineEnd {
  readonly reason: EndReason;
  /** For a person, without a full stop. */
  readonly detail: string;
  readonly consoleTail: string;
  readonly stderrTail: string;
}

/** Why the guest does not run although its monitor does. */
export type MachineBlock =
  /** The host's file system is full; the machine goes on by itself once there is space. */
  'host_disk_full' | 'disk_error';

export interface MachineUsage {
  readonly rssBytes: number;
  /** CPU time since the start, user and system. */
  readonly cpuMs: number;
}

export interface Machine {
  readonly identity: MachineIdentity;
  readonly transport: TransportAddress;
  /** Resolves once the process is gone and what it left has been read; never rejects. */
  readonly ended: Promise<MachineEnd>;
  /** The end of the console output, at most consoleLimit bytes. */
  console(): Promise<string>;
  /** What the monitor itself complained about. */
  stderr(): Promise<string>;
  /** Ends it at once and waits until the process is really gone. */
  powerOff(): Promise<void>;
  usage(): Promise<MachineUsage>;
  /** Set while the guest is stopped because its disk cannot be written. */
  blocked(): MachineBlock | undefined;
  /** Calls back on every change of `blocked`, and when the guest opens or closes the channel. */
  watch(listener: (event: MachineEvent) => void): () => void;
  /** Forgets the machine without touching it: the daemon exits and the machine stays. */
  detach(): void;
}

export type MachineEvent =
  | { readonly type: 'blocked'; readonly block: MachineBlock | undefined }
  /** The guest opened or closed its end of the channel (virtio-serial only). */
  | { readonly type: 'channel'; readonly open: boolean };

export interface Engine {
  /** The best accelerator that works here; the first call may take a second, later ones are cached. */
  accelerator(): Promise<Accelerator>;
  /**
   * Starts a machine. `recordIdentity` is called, synchronously, before anything else can fail.
   * Resolves when the monitor answers, long before the guest has booted.
   * @throws CoppiceError `prerequisite_missing`, `boot_failed`, `invalid_input`
   */
  launch(spec: MachineSpec, recordIdentity: (identity: MachineIdentity) => void): Promise<Machine>;
  /** Takes over a machine of an earlier daemon; undefined when it is not there any more. */
  adopt(run: RunRecord): Promise<Machine | undefined>;
  /** Makes sure that no process, cgroup or directory of this run is left. */
  reap(run: Omit<RunRecord, 'transport'>): Promise<void>;
}
