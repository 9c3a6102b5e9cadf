/** Frozen memory and device state of a machine: two sealed memory files that this process holds. */
import fs from 'node:fs';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { MachineBinding, MemoryImage } from '../machine.ts';
import { dataExtents, memfdCreate, sealAll, type Extent } from './libc.ts';
import { loadMemoryFile, saveMemoryFile } from './memoryFile.ts';

const stateFileName = 'coppice-devices';

export interface MemoryParts {
  readonly id: string;
  readonly binding: MachineBinding;
  readonly memoryMb: number;
}

/** Descriptors that a monitor inherits to continue from an image. */
export interface MemoryDescriptors {
  readonly ram: number;
  /** An open description of its own: it is read from the start. */
  readonly state: number;
  close(): void;
}

/** Owns both descriptors. The kernel keeps the memory for machines that have it mapped. */
export class SealedMemory implements MemoryImage {
  readonly id: string;
  readonly binding: MachineBinding;
  readonly memoryMb: number;
  /**
   * Where the content is. Kept, because the file grows: the kernel adds a page of zeros to it when a machine
   * first touches a hole.
   */
  readonly #extents: readonly Extent[];
  readonly #ram: number;
  readonly #state: number;
  #released = false;

  /** Takes `ram` over in any case: it is closed when this throws. */
  constructor(parts: MemoryParts, ram: number, state: Buffer) {
    this.id = parts.id;
    this.binding = parts.binding;
    this.memoryMb = parts.memoryMb;
    this.#ram = ram;
    try {
      sealAll(ram);
      this.#state = sealedFile(state);
    } catch (error) {
      fs.closeSync(ram);
      throw error;
    }
    this.#extents = [...dataExtents(ram, parts.memoryMb * 2 ** 20)];
  }

  get residentBytes(): number {
    if (this.#released) return 0;
    return [this.#ram, this.#state].reduce((sum, fd) => sum + fs.fstatSync(fd).blocks * 512, 0);
  }

  /** @throws CoppiceError `memory_missing` after release */
  open(): MemoryDescriptors {
    this.#check();
    const state = fs.openSync(`/proc/self/fd/${String(this.#state)}`, 'r');
    return { ram: this.#ram, state, close: () => fs.closeSync(state) };
  }

  async save(file: string): Promise<{ readonly sha256: string; readonly bytes: number }> {
    this.#check();
    // Of its own, so that a release meanwhile takes nothing away.
    const ram = fs.openSync(`/proc/self/fd/${String(this.#ram)}`, 'r');
    try {
      return await saveMemoryFile(
        file,
        this,
        { fd: ram, extents: this.#extents },
        fs.readFileSync(`/proc/self/fd/${String(this.#state)}`),
      );
    } finally {
      fs.closeSync(ram);
    }
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    fs.closeSync(this.#ram);
    fs.closeSync(this.#state);
  }

  #check(): void {
    if (!this.#released) return;
    throw new CoppiceError({
      code: 'memory_missing',
      message: `The memory image ${this.id} has been released.`,
    });
  }
}

function sealedFile(content: Buffer): number {
  const fd = memfdCreate(stateFileName);
  try {
    fs.writeSync(fd, content, 0, content.length, 0);
    sealAll(fd);
    return fd;
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** @throws CoppiceError see Engine.loadMemory */
export async function loadMemory(
  file: string,
  expected: { readonly id: string; readonly sha256: string },
): Promise<SealedMemory> {
  const { ram, state, ...parts } = await loadMemoryFile(file, expected);
  return new SealedMemory(parts, ram, state);
}
