/** One running QEMU: its control connection, its end, its console. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type {
  Captured,
  CaptureOptions,
  Machine,
  MachineBinding,
  MachineBlock,
  MachineEnd,
  MachineEvent,
  MachineIdentity,
  MachineUsage,
} from '../machine.ts';
import type { TransportAddress } from '../../guest/transport.ts';
import { isAlive, signalProcess, waitUntilGone } from '../processIdentity.ts';
import { primeCardSocket } from './cardSocket.ts';
import { createConsoleLog, type ConsoleLog } from './consoleLog.ts';
import { currentDisk } from './diskNodes.ts';
import { describeEnd, type EndFacts } from './machineEnd.ts';
import { usageOf } from './machineUsage.ts';
import { asObject, connectQmp, type Qmp, type QmpEvent } from './qmp.ts';
import { runFiles } from './runFiles.ts';
import type { StderrPipe } from './stderrPipe.ts';

/** A monitor that is asked to quit flushes its disks first; one that hangs is killed after this. */
const quitMs = 3_000;
const killMs = 30_000;
/** Stopping flushes the disk to the host's. */
const stopMs = 60_000;
/** How often a machine that ran out of disk space tries again. */
const resumeMs = 5_000;
/** How long it must then run before it counts as running again. */
const settleMs = 500;

export interface QemuMachineParts {
  readonly identity: MachineIdentity;
  readonly runDir: string;
  readonly transport: TransportAddress;
  readonly stderr: StderrPipe | undefined;
  /** Known only to the daemon that started it. */
  readonly exited?: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  /** It may stand still: attaching leaves it so. */
  readonly paused: boolean;
  /** It continues from memory with a network card behind a socket that nobody has used. */
  readonly newCardSocket?: boolean;
  readonly lowMemoryBytes: number;
  readonly throughMonitor: boolean;
  binding(): Promise<MachineBinding>;
}

/**
 * Connects to a QEMU and checks that it is the one expected. `keepTrying` is asked while its control
 * socket is not there yet.
 */
export async function attachMachine(
  parts: QemuMachineParts,
  keepTrying: () => boolean = () => false,
): Promise<Machine> {
  const machine = new QemuMachine(parts);
  try {
    await machine.connect(keepTrying);
    return machine;
  } catch (error) {
    machine.detach();
    throw error;
  }
}

class QemuMachine implements Machine {
  readonly identity: MachineIdentity;
  readonly transport: TransportAddress;
  readonly ended: Promise<MachineEnd>;
  readonly #parts: QemuMachineParts;
  readonly #console: ConsoleLog;
  readonly #listeners = new Set<(event: MachineEvent) => void>();
  readonly #facts: EndFacts = {};
  #settle!: (end: MachineEnd) => void;
  #finishing: Promise<void> | undefined;
  #qmp: Qmp | undefined;
  #blocked: MachineBlock | undefined;
  #resumeTimer: NodeJS.Timeout | undefined;
  #detached = false;
  /** It is to stand still: nothing here lets it run. */
  #paused: boolean;
  #capturing: Promise<void> | undefined;

  constructor(parts: QemuMachineParts) {
    this.#parts = parts;
    this.#paused = parts.paused;
    this.identity = parts.identity;
    this.transport = parts.transport;
    this.#console = createConsoleLog(runFiles(parts.runDir).console);
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
    void parts.exited?.then((exit) => {
      this.#facts.exit = exit;
      void this.#finish().catch(() => undefined);
    });
  }

  async connect(keepTrying: () => boolean): Promise<void> {
    this.#qmp = await connectQmp(runFiles(this.#parts.runDir).qmp, {
      keepTrying,
      onEvent: (event) => this.#onEvent(event),
      onClose: () => void this.#onControlLost(),
    });
    const { UUID: uuid } = asObject(await this.#qmp.execute('query-uuid'));
    if (uuid !== this.identity.runId) {
      throw new CoppiceError({
        code: 'internal',
        message: `The monitor behind run ${this.identity.runId} says that it is ${String(uuid).slice(0, 64)}.`,
      });
    }
    if (this.#parts.newCardSocket === true) await primeCardSocket(this.#parts.runDir, this.#qmp);
    await this.#catchUp(this.#qmp);
  }

  async console(): Promise<string> {
    await this.#console.drain(this.#qmp);
    return this.#console.text();
  }

  stderr(): Promise<string> {
    return Promise.resolve(this.#parts.stderr?.text() ?? '');
  }

  async powerOff(): Promise<void> {
    this.#facts.killed ??= 'It was powered off';
    await this.#finish();
  }

  usage(): Promise<MachineUsage> {
    return usageOf(this.identity);
  }

  async pause(): Promise<void> {
    const qmp = await this.#free();
    this.#paused = true;
    await qmp.execute('stop', undefined, stopMs);
  }

  async resume(): Promise<void> {
    const qmp = await this.#free();
    this.#paused = false;
    await qmp.execute('cont');
  }

  async capture(options: CaptureOptions): Promise<Captured> {
    if (this.#capturing !== undefined) throw busy();
    const capturing = this.#capture(options);
    this.#capturing = capturing.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await capturing;
    } finally {
      this.#capturing = undefined;
    }
  }

  async diskPath(): Promise<string | undefined> {
    return (await currentDisk(this.#control()))?.path;
  }

  async growDisk(sizeBytes: number): Promise<void> {
    const qmp = await this.#free();
    const disk = await currentDisk(qmp);
    if (disk === undefined) {
      throw new CoppiceError({ code: 'invalid_input', message: 'The machine has no disk.' });
    }
    await qmp.execute('block_resize', { 'node-name': disk.nodeName, size: sizeBytes });
  }

  blocked(): MachineBlock | undefined {
    return this.#blocked;
  }

  watch(listener: (event: MachineEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  detach(): void {
    this.#detached = true;
    clearTimeout(this.#resumeTimer);
    this.#listeners.clear();
    this.#qmp?.close();
    this.#parts.stderr?.close();
  }

  /** Loaded on demand: a daemon whose machines are never captured does without native code. */
  async #capture(options: CaptureOptions): Promise<Captured> {
    const { captureMachine } = await import('./capture.ts');
    const { runDir, lowMemoryBytes, throughMonitor } = this.#parts;
    const captured = await captureMachine(
      {
        qmp: this.#control(),
        pid: this.identity.pid,
        runDir,
        lowMemoryBytes,
        throughMonitor,
        binding: () => this.#parts.binding(),
      },
      options,
    );
    if (options.stayPaused === true) this.#paused = true;
    return captured;
  }

  /** @throws CoppiceError `internal` when nothing answers there any more */
  #control(): Qmp {
    if (this.#qmp !== undefined) return this.#qmp;
    throw new CoppiceError({ code: 'internal', message: 'The machine has no monitor.' });
  }

  /** The monitor, once no capture needs it for itself. */
  async #free(): Promise<Qmp> {
    while (this.#capturing !== undefined) await this.#capturing;
    return this.#control();
  }

  #onEvent({ event, data }: QmpEvent): void {
    if (event === 'SHUTDOWN') {
      // `guest` is false for quit and for signals to the monitor.
      if (data['guest'] === true) this.#facts.guestLeft = String(data['reason']);
      else if (data['reason'] === 'host-signal') {
        this.#facts.killed ??= 'A signal on the host ended it';
      }
      void this.#finish().catch(() => undefined);
    } else if (event === 'BLOCK_IO_ERROR' && data['action'] === 'stop') {
      this.#setBlocked(data['nospace'] === true ? 'host_disk_full' : 'disk_error');
    } else if (event === 'RESUME') {
      this.#onResumed();
    } else if (event === 'VSERPORT_CHANGE') {
      this.#tell({ type: 'channel', open: data['open'] === true });
    }
  }

  /** A machine that only tries again stops at once if there is still no room: that is no change. */
  #onResumed(): void {
    if (this.#blocked === undefined) return;
    clearTimeout(this.#resumeTimer);
    this.#resumeTimer = setTimeout(() => this.#setBlocked(undefined), settleMs);
    this.#resumeTimer.unref();
  }

  /** What happened while nobody was connected: the guest may have left, or a pause was never undone. */
  async #catchUp(qmp: Qmp): Promise<void> {
    const status = await loadedStatus(qmp);
    if (status === 'shutdown' || status === 'guest-panicked' || status === 'internal-error') {
      this.#facts.guestLeft = status;
      void this.#finish().catch(() => undefined);
    } else if (status === 'io-error') {
      this.#setBlocked('host_disk_full');
    } else if (status === 'paused' || status === 'prelaunch') {
      if (!this.#paused && this.#capturing === undefined) await qmp.execute('cont');
    }
  }

  /** The process has gone, or its monitor dropped us: only the process table tells which. */
  async #onControlLost(): Promise<void> {
    if (this.#isLeaving()) return;
    for (let attempt = 0; attempt < 5; attempt += 1) {
      if (await waitUntilGone(this.identity, 100 * (attempt + 1))) break;
      if (this.#isLeaving()) return;
      try {
        await this.connect(() => false);
        return;
      } catch {
        this.#qmp?.close();
      }
    }
    if (isAlive(this.identity)) this.#facts.unresponsive = true;
    await this.#finish().catch(() => undefined);
  }

  #isLeaving(): boolean {
    return this.#detached || this.#finishing !== undefined;
  }

  #setBlocked(block: MachineBlock | undefined): void {
    clearTimeout(this.#resumeTimer);
    if (block === 'host_disk_full') {
      // Writing again is the only way to learn whether there is room now; it stops again if not.
      this.#resumeTimer = setTimeout(() => void this.#tryAgain(), resumeMs);
      this.#resumeTimer.unref();
    }
    if (block === this.#blocked) return;
    this.#blocked = block;
    this.#tell({ type: 'blocked', block });
  }

  async #tryAgain(): Promise<void> {
    try {
      const qmp = await this.#free();
      if (!this.#paused && this.#blocked !== undefined) await qmp.execute('cont');
    } catch {
      // The monitor is gone or will be asked again when it reports the next failure.
    }
  }

  #tell(event: MachineEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** One way out, whoever asks first: save the console, end the process, tell. */
  #finish(): Promise<void> {
    if (this.#detached) return Promise.resolve();
    this.#finishing ??= this.#end().catch((error: unknown) => {
      // A process that would not end can be asked again.
      this.#finishing = undefined;
      throw error;
    });
    return this.#finishing;
  }

  async #end(): Promise<void> {
    clearTimeout(this.#resumeTimer);
    await this.#console.drain(this.#qmp);
    await endProcess(this.identity, this.#qmp);
    this.#qmp?.close();
    const exit = await exitOf(this.#parts.exited);
    if (exit !== undefined) this.#facts.exit = exit;
    const stderrTail = (await this.#parts.stderr?.drain(500)) ?? '';
    const consoleTail = await this.#console.text();
    this.#listeners.clear();
    this.#settle({ ...describeEnd(this.#facts, consoleTail), consoleTail, stderrTail });
  }
}

/** Its state once it is no longer reading a memory image; QEMU exits when it cannot. */
async function loadedStatus(qmp: Qmp): Promise<string> {
  for (;;) {
    const status = String(asObject(await qmp.execute('query-status'))['status']);
    if (status !== 'inmigrate') return status;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function busy(): CoppiceError {
  return new CoppiceError({
    code: 'busy',
    message: 'The state or the disk of the machine is being copied already.',
    next: 'Try again when that is done.',
  });
}

/** The exit status arrives a moment after the process has gone. */
export async function exitOf<T>(exited: Promise<T> | undefined): Promise<T | undefined> {
  if (exited === undefined) return undefined;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), 2_000);
  });
  return Promise.race([exited, late]).finally(() => clearTimeout(timer));
}

/** @throws CoppiceError `internal` when not even SIGKILL ends it */
export async function endProcess(identity: MachineIdentity, qmp: Qmp | undefined): Promise<void> {
  if (qmp !== undefined && !qmp.closed && isAlive(identity)) {
    await qmp.execute('quit', undefined, quitMs).catch(() => undefined);
    if (await waitUntilGone(identity, quitMs)) return;
  }
  signalProcess(identity, 'SIGKILL');
  if (await waitUntilGone(identity, killMs)) return;
  throw new CoppiceError({
    code: 'internal',
    message: `Process ${String(identity.pid)} of a machine does not end, not even by SIGKILL.`,
    next: 'Its disk or network file system may hang: look at the host kernel log (dmesg).',
    details: { pid: identity.pid },
  });
}
