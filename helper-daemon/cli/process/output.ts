/** From a process stream to where its output belongs. */
import { once } from 'node:events';
import { CoppiceError } from '../../../protocol/errors.ts';
import { limits } from '../../../protocol/limits.ts';
import type { ExitResult } from '../../../protocol/operations/process.ts';
import { frameType, type StreamStarted } from '../../../protocol/stream.ts';
import { frameJson, type ByteStream } from '../../client/byteStream.ts';

export interface OutputSink {
  stdout(data: Uint8Array): Promise<void> | void;
  stderr(data: Uint8Array): Promise<void> | void;
  started?(started: StreamStarted): void;
}

/** Reads the stream to its end; a slow sink slows the command down, nothing is kept in memory. */
export async function pumpOutput(stream: ByteStream, sink: OutputSink): Promise<ExitResult> {
  for await (const frame of stream.frames()) {
    switch (frame.type) {
      case frameType.data:
        await sink.stdout(frame.payload);
        break;
      case frameType.stderr:
        await sink.stderr(frame.payload);
        break;
      case frameType.started:
        sink.started?.(frameJson<StreamStarted>(frame));
        break;
      case frameType.result:
        return frameJson<ExitResult>(frame);
      case frameType.end:
      case frameType.control:
      case frameType.error:
        // Not for us; frames() has thrown what an error says.
        break;
    }
  }
  throw new CoppiceError({
    code: 'outcome_unknown',
    message: 'The stream ended before its result.',
  });
}

/** Writes and waits where the other side reads slowly. */
export async function writeTo(stream: NodeJS.WriteStream, data: Uint8Array): Promise<void> {
  if (!stream.write(data)) await once(stream, 'drain');
}

export const standardOutput: OutputSink = {
  stdout: (data) => writeTo(process.stdout, data),
  stderr: (data) => writeTo(process.stderr, data),
};

export interface Capture {
  readonly sink: OutputSink;
  /** The output as text, cut in the middle where it was too long. */
  text(): { readonly stdout: string; readonly stderr: string };
}

/** Keeps the head and the tail of both streams for --json. */
export function captureOutput(capBytes: number = limits.outputBytes.max): Capture {
  const stdout = headAndTail(capBytes);
  const stderr = headAndTail(capBytes);
  return {
    sink: { stdout: stdout.push, stderr: stderr.push },
    text: () => ({ stdout: stdout.text(), stderr: stderr.text() }),
  };
}

export function headAndTail(capBytes: number): { push(data: Uint8Array): void; text(): string } {
  const headRoom = Math.ceil(capBytes / 2);
  const tailRoom = capBytes - headRoom;
  const head: Uint8Array[] = [];
  let headBytes = 0;
  let tail: Uint8Array[] = [];
  let tailBytes = 0;
  let total = 0;
  return {
    push(data) {
      total += data.length;
      const taken = data.subarray(0, headRoom - headBytes);
      if (taken.length > 0) head.push(taken);
      headBytes += taken.length;
      const rest = data.subarray(taken.length);
      if (rest.length === 0) return;
      tail.push(rest);
      tailBytes += rest.length;
      if (tailBytes > 2 * tailRoom + 65_536) {
        tail = [Buffer.concat(tail).subarray(-tailRoom)];
        tailBytes = tailRoom;
      }
    },
    text() {
      const first = Buffer.concat(head);
      const last = Buffer.concat(tail).subarray(-Math.min(tailRoom, tailBytes) || Infinity);
      const missing = total - first.length - last.length;
      if (missing === 0) return Buffer.concat([first, last]).toString('utf8');
      const note = `\n[… ${String(missing)} bytes left out …]\n`;
      return first.toString('utf8') + note + last.toString('utf8');
    },
  };
}
