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
  readonly disk?: DiskFile;
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
  /** Its network card; absent: none. The kind of its backend is part of what a memory image is bound to. */
  readonly network?: { readonly mac: string; readonly backend: CardBackend };
  /**
   * Continue from here instead of booting: same vcpus, memory, transport kind, card; a disk with the
   * content the image was taken on. The guest still believes that it is the machine the image was taken of.
   */
  readonly resumeFrom?: MemoryImage;
  /** Only with resumeFrom: loaded, but standing still until `resume`. */
  readonly paused?: boolean;
}

/** What a network card is connected to. */
export type CardBackend =
  /** Nothing. */
  | { readonly kind: 'none' }
  /** A TAP device with virtio headers, as an open descriptor that the monitor inherits. */
  | { readonly kind: 'tap'; readonly fd: number }
  /** A Unix socket `net.sock` in the run directory, on which the monitor listens: frames after their length. */
  | { readonly kind: 'socket' };

/**
 * Frozen memory and device state of a machine, in the host's memory where nobody can change it any more:
 * any number of machines continue from it, each with a private copy of what it writes.
 */
export interface MemoryImage {
  /** A uuid. */
  readonly id: string;
  /** What it can only continue on; compared with `Engine.binding` by `bindingMismatch`. */
  readonly binding: MachineBinding;
  /** Size of the guest's memory. */
  readonly memoryMb: number;
  /** Host memory this image takes, in bytes: pages that are not all zero. */
  readonly residentBytes: number;
  /** Writes it to a file that `Engine.loadMemory` reads, durable when this resolves. Hex SHA-256 of the file. */
  save(file: string): Promise<{ readonly sha256: string; readonly bytes: number }>;
  /** Lets go of the host's memory once the machines that use it have gone. */
  release(): void;
}

/** By what a reader would call it ("QEMU", "machine type", "accelerator", "vcpus", …). */
export type MachineBinding = Readonly<Record<string, string>>;

export interface CaptureOptions {
  /** Also keep memory and devices, under this id. */
  readonly memory?: { readonly id: string };
  /**
   * The disk it writes to afterwards: made beforehand, standing on the one it has. Nothing the guest does
   * after the pause is in the old one.
   */
  readonly switchTo?: DiskFile;
  /** After what can be copied ahead and before the pause. */
  readonly beforePause?: () => Promise<void>;
  /** While the machine stands still and its disk is flushed. */
  readonly whilePaused?: () => Promise<void>;
  /** Do not let it run again. A machine that was paused before stays so anyway. */
  readonly stayPaused?: boolean;
}

export interface Captured {
  readonly memory?: MemoryImage;
  /** How long the machine stood still, in milliseconds. */
  readonly pausedMs: number;
  /** Memory copied while it stood still, in bytes. */
  readonly copiedBytes: number;
}

export interface DiskFile {
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
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
  /** Adopting leaves it paused if it is. */
  readonly paused?: boolean;
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
  /** Memory nobody else shares. */
  readonly privateBytes: number;
  /** Its share of everything: private, plus each shared page divided by its users. */
  readonly proportionalBytes: number;
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
  /** Stands still, with its memory, until `resume`. Both are no-ops where that is so already. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /**
   * Keeps its state of this moment, and may move it to another disk. When this throws the machine runs on (or
   * stays paused, if it was) on the disk it had, unless the error's details say `switched: true`.
   * @throws CoppiceError `no_memory`, `internal`, `busy` while another capture is going on
   */
  capture(options: CaptureOptions): Promise<Captured>;
  /** File behind its disk at this moment: tells after a crash whether a switch has happened. */
  diskPath(): Promise<string | undefined>;
  /** Tells the guest that its disk is larger now. */
  growDisk(sizeBytes: number): Promise<void>;
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
  /** What a memory image of such a machine would be bound to. */
  binding(
    spec: Pick<MachineSpec, 'vcpus' | 'memoryMb' | 'accelerator' | 'transport' | 'network'>,
  ): Promise<MachineBinding>;
  /**
   * Reads a memory image back.
   * @throws CoppiceError `memory_missing`, `memory_corrupt` (wrong digest or structure), `no_memory`
   */
  loadMemory(
    file: string,
    expected: { readonly id: string; readonly sha256: string },
  ): Promise<MemoryImage>;
  /** Makes sure that no process, cgroup or directory of this run is left. */
  reap(run: Omit<RunRecord, 'transport'>): Promise<void>;
}
