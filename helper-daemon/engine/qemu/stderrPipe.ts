/**
 * The monitor's stderr. A file would let a hostile guest fill the host's disk with warnings, a plain pipe
 * would die with the daemon. So it is a FIFO that the monitor itself holds open at both ends: the kernel
 * keeps 64 KiB for the next daemon, and a guest that floods it stops only itself.
 */
import fs from 'node:fs';
import net from 'node:net';
import { run } from '../../system/run.ts';

export interface StderrPipe {
  text(): string;
  /** Reads what is left after the monitor has gone. */
  drain(timeoutMs: number): Promise<string>;
  close(): void;
}

/** Kept of the beginning and of the end: the first complaint explains, the last one is what killed it. */
const keepBytes = 8 * 1024;
/** Bytes read per second at most, so that a flood costs the daemon nothing. */
const readBudget = 64 * 1024;

/**
 * Makes the FIFO. The returned descriptor is for the monitor; close it once that has been started. `fast`
 * makes it with native code, which is loaded anyway when a machine continues from memory.
 */
export async function createStderrPipe(
  file: string,
  fast = false,
): Promise<{ readonly writer: number; readonly pipe: StderrPipe }> {
  if (fast) (await import('../memory/libc.ts')).makeFifo(file, 0o600);
  else await run('mkfifo', ['-m', '600', file]);
  const writer = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
  try {
    const pipe = openStderrPipe(file);
    if (pipe === undefined) throw new Error(`${file} is not a FIFO`);
    return { writer, pipe };
  } catch (error) {
    fs.closeSync(writer);
    throw error;
  }
}

/** undefined when there is no FIFO; the directory belongs to the monitor, so it may be anything. */
export function openStderrPipe(file: string): StderrPipe | undefined {
  let fd: number;
  try {
    const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = fs.constants;
    fd = fs.openSync(file, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  } catch {
    return undefined;
  }
  if (!fs.fstatSync(fd).isFIFO()) {
    fs.closeSync(fd);
    return undefined;
  }
  return new FifoReader(fd);
}

class FifoReader implements StderrPipe {
  readonly #socket: net.Socket;
  readonly #closed: Promise<void>;
  #head = Buffer.alloc(0);
  #tail = Buffer.alloc(0);
  #dropped = 0;
  #budget = readBudget;
  #resume: NodeJS.Timeout | undefined;

  constructor(fd: number) {
    this.#socket = new net.Socket({ fd, readable: true, writable: false });
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#closed = new Promise((resolve) => {
      this.#socket.once('close', () => resolve());
    });
    this.#socket.on('error', () => this.#socket.destroy());
  }

  text(): string {
    const gap = this.#dropped === 0 ? '' : `\n[… ${String(this.#dropped)} bytes left out …]\n`;
    return this.#head.toString('utf8') + gap + this.#tail.toString('utf8');
  }

  async drain(timeoutMs: number): Promise<string> {
    clearTimeout(this.#resume);
    this.#budget = readBudget;
    this.#socket.resume();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([this.#closed, late]);
    clearTimeout(timer);
    this.close();
    return this.text();
  }

  close(): void {
    clearTimeout(this.#resume);
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    const room = keepBytes - this.#head.length;
    if (room > 0) this.#head = Buffer.concat([this.#head, chunk.subarray(0, room)]);
    if (chunk.length > room) {
      const joined = Buffer.concat([this.#tail, chunk.subarray(Math.max(0, room))]);
      this.#dropped += Math.max(0, joined.length - keepBytes);
      this.#tail = Buffer.from(joined.subarray(-keepBytes));
    }
    this.#budget -= chunk.length;
    if (this.#budget > 0) return;
    this.#socket.pause();
    this.#resume = setTimeout(() => {
      this.#budget = readBudget;
      this.#socket.resume();
    }, 1000);
    this.#resume.unref();
  }
}
