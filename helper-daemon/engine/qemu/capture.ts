/** Keeps the state of a running QEMU: memory, devices, and the move to another disk, in one short pause. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { Captured, CaptureOptions, MachineBinding, MemoryImage } from '../machine.ts';
import { openGuestMemory } from '../memory/guestMemory.ts';
import { readProblem } from '../memory/libc.ts';
import { MemoryCopy } from '../memory/memoryCopy.ts';
import { SealedMemory } from '../memory/memoryImage.ts';
import { stateLimit } from '../memory/memoryFile.ts';
import { prepareSwitch, type DiskSwitch } from './diskNodes.ts';
import { takeFile } from './monitorFiles.ts';
import { monitorReader } from './monitorMemory.ts';
import { asObject, type Qmp } from './qmp.ts';

export interface CaptureContext {
  readonly qmp: Qmp;
  readonly pid: number;
  readonly runDir: string;
  readonly lowMemoryBytes: number;
  /** Read memory through the monitor although it could be read directly. */
  readonly throughMonitor: boolean;
  binding(): Promise<MachineBinding>;
}

/** A monitor that flushes a slow disk may take its time. */
const stopMs = 60_000;

/** @throws CoppiceError see Machine.capture */
export async function captureMachine(
  context: CaptureContext,
  options: CaptureOptions,
): Promise<Captured> {
  const capture = new Capture(context, options);
  try {
    return await capture.run();
  } catch (error) {
    throw await capture.undo(error);
  }
}

/** Owns what has been prepared until the capture has succeeded. */
class Capture {
  readonly #context: CaptureContext;
  readonly #options: CaptureOptions;
  #copy: MemoryCopy | undefined;
  #closeGuest: (() => void) | undefined;
  #diskSwitch: DiskSwitch | undefined;
  #state: Buffer | undefined;
  #image: MemoryImage | undefined;
  #stopped = false;
  #switched = false;

  constructor(context: CaptureContext, options: CaptureOptions) {
    this.#context = context;
    this.#options = options;
  }

  async run(): Promise<Captured> {
    const { qmp } = this.#context;
    const options = this.#options;
    const stands = await this.#standsStill();
    const binding = options.memory === undefined ? undefined : await this.#openMemory();
    if (options.switchTo !== undefined) {
      this.#diskSwitch = await prepareSwitch(qmp, options.switchTo);
    }
    if (!stands) await this.#copy?.copyAhead();
    await options.beforePause?.();
    const began = performance.now();
    if (!stands) await this.#stop();
    const copiedBytes = await this.#keepMemory();
    await options.whilePaused?.();
    // Last: nothing that can fail comes between it and running on.
    if (this.#diskSwitch !== undefined) {
      await this.#diskSwitch.commit();
      this.#switched = true;
    }
    if (!stands && options.stayPaused !== true) await qmp.execute('cont');
    const pausedMs = performance.now() - began;
    if (options.memory !== undefined && binding !== undefined) {
      this.#image = await this.#seal(options.memory.id, binding);
    }
    this.#closeGuest?.();
    return {
      ...(this.#image === undefined ? {} : { memory: this.#image }),
      pausedMs,
      copiedBytes,
    };
  }

  /** The machine runs on with the disk it has; what was prepared is gone. Gives the error to throw. */
  async undo(cause: unknown): Promise<unknown> {
    const { qmp } = this.#context;
    this.#copy?.abort();
    this.#closeGuest?.();
    this.#image?.release();
    if (!this.#switched) await this.#diskSwitch?.abort().catch(() => undefined);
    if (this.#stopped) await qmp.execute('cont').catch(() => undefined);
    if (!this.#switched) return cause;
    const error = cause instanceof CoppiceError ? cause : undefined;
    return new CoppiceError(
      {
        code: error?.code ?? 'internal',
        message: `The machine has moved to its next disk, but its memory was not kept: ${(cause as Error).message}`,
        details: { ...error?.details, switched: true },
      },
      { cause },
    );
  }

  /** True when it was paused before. @throws CoppiceError `wrong_state` when it can do neither */
  async #standsStill(): Promise<boolean> {
    const status = await statusOf(this.#context.qmp);
    if (status === 'running') return false;
    if (status === 'paused' || status === 'prelaunch') return true;
    throw new CoppiceError({
      code: 'wrong_state',
      message:
        status === 'io-error'
          ? 'The machine stands still because its disk cannot be written; its state cannot be kept now.'
          : `The state of the machine cannot be kept: its monitor says ${status}.`,
      next: 'Free space on the host, or start the machine again.',
      details: { status },
    });
  }

  async #stop(): Promise<void> {
    const { qmp } = this.#context;
    this.#stopped = true;
    await qmp.execute('stop', undefined, stopMs);
    const status = await statusOf(qmp);
    if (status === 'paused') return;
    // It shut down, or its disk became full, just before.
    this.#stopped = false;
    throw new CoppiceError({
      code: 'wrong_state',
      message: `The machine stopped by itself while its state was to be kept: its monitor says ${status}.`,
      details: { status },
    });
  }

  async #openMemory(): Promise<MachineBinding> {
    const { qmp, pid, runDir, lowMemoryBytes } = this.#context;
    const binding = await this.#context.binding();
    const address = await hostAddress(qmp);
    const summary = asObject(await qmp.execute('query-memory-size-summary'));
    const bytes = Number(summary['base-memory']);
    const guest = await openGuestMemory(pid, address, bytes);
    this.#closeGuest = guest.close;
    const direct = !this.#context.throughMonitor && readProblem(pid, address) === undefined;
    const reader = direct ? undefined : monitorReader({ qmp, runDir, lowMemoryBytes });
    this.#copy = new MemoryCopy(guest, reader);
    return binding;
  }

  /** Devices first: what they still write on the way belongs to memory. Bytes copied. */
  async #keepMemory(): Promise<number> {
    if (this.#copy === undefined) return 0;
    const { qmp, runDir } = this.#context;
    this.#state = await takeFile(runDir, stateLimit, (filename) =>
      qmp.execute('xen-save-devices-state', { filename, live: false }),
    );
    return this.#copy.copyRest();
  }

  async #seal(id: string, binding: MachineBinding): Promise<MemoryImage> {
    const copy = this.#copy;
    if (copy === undefined || this.#state === undefined) throw new Error('nothing was captured');
    const ram = await copy.finish();
    this.#copy = undefined;
    return new SealedMemory({ id, binding, memoryMb: copy.memoryMb }, ram, this.#state);
  }
}

async function statusOf(qmp: Qmp): Promise<string> {
  return String(asObject(await qmp.execute('query-status'))['status']);
}

/** Where the guest's memory begins in the monitor; guest-physical 0 is its first byte on every machine. */
async function hostAddress(qmp: Qmp): Promise<number> {
  const text = await qmp.execute('human-monitor-command', { 'command-line': 'gpa2hva 0' });
  const address = parseInt(/ is 0x([0-9a-f]{1,12})\b/.exec(String(text))?.[1] ?? '', 16);
  if (Number.isSafeInteger(address) && address > 0) return address;
  throw new CoppiceError({
    code: 'internal',
    message: 'The monitor of the machine does not tell where the memory of the guest is.',
  });
}
