/**
 * The guest's console. The monitor keeps the newest output in a ring in its own memory, whether or not a
 * daemon is there; reading it takes it out, so what was read is kept in a small file of the run.
 */
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import type { Qmp } from './qmp.ts';
import { consoleDevice, consoleRingBytes } from './arguments.ts';

/** Bytes of console output that can be asked for. */
const consoleLimit = 64 * 1024;

export interface ConsoleLog {
  /** Moves what the monitor holds into the file; quietly does nothing when it does not answer. */
  drain(qmp: Qmp | undefined): Promise<void>;
  text(): Promise<string>;
}

export function createConsoleLog(file: string): ConsoleLog {
  // Drains follow one another, or their pieces would be written in the wrong order.
  let last: Promise<void> = Promise.resolve();
  return {
    drain(qmp) {
      last = last.then(async () => {
        if (qmp === undefined || qmp.closed) return;
        try {
          const bytes = await readRing(qmp);
          if (bytes.length > 0) await append(file, bytes);
        } catch {
          // The monitor is going away or hangs; what was drained before is still there.
        }
      });
      return last;
    },
    async text() {
      await last;
      return (await readTail(file, consoleLimit)).toString('utf8');
    },
  };
}

async function readRing(qmp: Qmp): Promise<Buffer> {
  const reply = await qmp.execute(
    'ringbuf-read',
    { device: consoleDevice, size: consoleRingBytes, format: 'base64' },
    2_000,
  );
  return typeof reply === 'string' ? Buffer.from(reply, 'base64') : Buffer.alloc(0);
}

/** The run directory belongs to the monitor's account: a symlink in it must lead nowhere. */
const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY } = fs.constants;

async function append(file: string, bytes: Buffer): Promise<void> {
  const size = await fsp.lstat(file).then(
    (stat) => stat.size,
    () => 0,
  );
  if (size + bytes.length <= 2 * consoleLimit) {
    await write(file, O_APPEND, bytes);
    return;
  }
  const kept = Buffer.concat([await readTail(file, consoleLimit), bytes]).subarray(-consoleLimit);
  await write(file, O_TRUNC, kept);
}

async function write(file: string, mode: number, bytes: Buffer): Promise<void> {
  const handle = await fsp.open(file, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | mode, 0o600);
  try {
    await handle.writeFile(bytes);
  } finally {
    await handle.close();
  }
}

async function readTail(file: string, limit: number): Promise<Buffer> {
  let handle: fsp.FileHandle;
  try {
    handle = await fsp.open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch {
    return Buffer.alloc(0);
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) return Buffer.alloc(0);
    const buffer = Buffer.alloc(Math.min(stat.size, limit));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, stat.size - buffer.length);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
