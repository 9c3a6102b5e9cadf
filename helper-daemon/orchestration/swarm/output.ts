/** The files a task's output goes to while it runs. */
import { open, stat, type FileHandle } from 'node:fs/promises';
import type { OutputSink, StreamName } from '../guest.ts';

/** Kept of each stream's beginning. */
export const outputBytes = 16 * 1024 * 1024;

/** How far offsets in a stream are ahead of the size of its file. */
export type Skews = Readonly<Record<StreamName, number>>;

export interface TaskOutput extends OutputSink {
  /** Bytes of the stream that have been seen. */
  seen(stream: StreamName): number;
  /** Says at the end of a file what it does not hold, and shows the last of it. */
  finish(stream: StreamName, totalBytes: number, tail: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

interface Sink {
  readonly file: FileHandle;
  size: number;
  skew: number;
}

/**
 * Opens the two files, or goes on with those there are.
 * @param skewChanged called before a gap is written down
 */
export async function openOutput(
  files: Readonly<Record<StreamName, string>>,
  skews: Skews,
  skewChanged: (stream: StreamName, skew: number) => void,
): Promise<TaskOutput> {
  const stdout = await openSink(files.stdout, skews.stdout);
  const stderr = await openSink(files.stderr, skews.stderr).catch(async (error: unknown) => {
    await stdout.file.close();
    throw error;
  });
  const sinks = { stdout, stderr };

  async function append(sink: Sink, data: Uint8Array): Promise<void> {
    await sink.file.write(data, 0, data.length, sink.size);
    sink.size += data.length;
  }

  return {
    // A file that is full needs nothing more.
    next: (stream) =>
      sinks[stream].size >= outputBytes
        ? Number.MAX_SAFE_INTEGER
        : sinks[stream].size + sinks[stream].skew,
    seen: (stream) => sinks[stream].size + sinks[stream].skew,
    async write(stream, offset, data) {
      const sink = sinks[stream];
      if (sink.size >= outputBytes) return;
      const lost = offset - (sink.size + sink.skew);
      if (lost > 0) {
        const mark = Buffer.from(
          `\n[LOST: ${String(lost)} bytes that came faster than they were read]\n`,
        );
        sink.skew += lost - mark.length;
        skewChanged(stream, sink.skew);
        await append(sink, mark);
      }
      await append(sink, data.subarray(0, Math.max(0, outputBytes - sink.size)));
    },
    async finish(stream, totalBytes, tail) {
      const sink = sinks[stream];
      const seen = sink.size + sink.skew;
      if (sink.size < outputBytes || totalBytes <= seen) return;
      const last = tail.subarray(Math.max(0, tail.length - (totalBytes - seen)));
      const mark = Buffer.from(
        `\n[TRUNCATED: ${String(totalBytes)} bytes total, showing first ${String(seen)} bytes and last ${String(last.length)} bytes]\n`,
      );
      await append(sink, mark);
      await append(sink, last);
    },
    async close() {
      await Promise.all([stdout.file.close(), stderr.file.close()]);
    },
  };
}

async function openSink(path: string, skew: number): Promise<Sink> {
  const file = await open(path, 'a+').then(async (made) => {
    // Writes go to positions, which append mode would ignore.
    await made.close();
    return await open(path, 'r+');
  });
  const { size } = await file.stat();
  return { file, size, skew };
}

/** The file as text of at most `cap` bytes: all of it, or head and tail with a mark between them. */
export async function readCapped(path: string, cap: number): Promise<string> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size === 0) return '';
  const file = await open(path, 'r');
  try {
    const read = async (position: number, length: number): Promise<Buffer> => {
      const buffer = Buffer.alloc(length);
      const { bytesRead } = await file.read(buffer, 0, length, position);
      return buffer.subarray(0, bytesRead);
    };
    if (size <= cap) return (await read(0, size)).toString('utf8');
    const half = Math.floor(cap / 2);
    // Characters that the cut went through are left out.
    const head = new TextDecoder().decode(await read(0, half), { stream: true });
    const tail = withoutBrokenStart(await read(size - half, half));
    return `${head}\n[TRUNCATED: ${String(size)} bytes total, showing first ${String(Buffer.byteLength(head))} bytes and last ${String(tail.length)} bytes]\n${tail.toString('utf8')}`;
  } finally {
    await file.close();
  }
}

function withoutBrokenStart(bytes: Buffer): Buffer {
  let start = 0;
  while (start < 3 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return bytes.subarray(start);
}
