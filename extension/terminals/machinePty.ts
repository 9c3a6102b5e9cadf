/**
 * A VS Code terminal over a process stream of a workspace. The shell is a kept job: when the connection
 * breaks, the terminal attaches to it again and goes on at the byte where it stopped.
 */
import * as vscode from 'vscode';
import type { ByteStream } from '../../helper-daemon/client/byteStream.ts';
import { frameJson } from '../../helper-daemon/client/byteStream.ts';
import type { CoppiceClient } from '../../helper-daemon/client/client.ts';
import { asCoppiceError, CoppiceError } from '../../protocol/errors.ts';
import type { ExitResult, TerminalSize } from '../../protocol/operations/process.ts';
import { frameType, type StreamStarted } from '../../protocol/stream.ts';
import { reconnectPauses } from '../helper/backOff.ts';
import type { DaemonConnection } from '../helper/connection.ts';

/** A login shell: the image's bash, or whatever sh it has. */
const loginShell = 'exec "$(command -v bash || command -v sh)" -l';

export interface MachinePtyOptions {
  readonly daemon: DaemonConnection;
  readonly workspaceId: string;
  /** Attach to this shell, and show what it kept, instead of starting one. */
  readonly jobId?: number;
  readonly onStarted: (jobId: number) => void;
  /** The shell itself has ended. */
  readonly onEnded: (jobId: number | undefined) => void;
}

export function machinePty(options: MachinePtyOptions): vscode.Pseudoterminal {
  const { daemon, workspaceId } = options;
  const write = new vscode.EventEmitter<string>();
  const close = new vscode.EventEmitter<number>();
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let size: TerminalSize = { columns: 80, rows: 24 };
  let jobId = options.jobId;
  let received = 0;
  let stream: ByteStream | undefined;
  /** Typed while there was no stream: before the shell started, or while a connection is made again. */
  let typedAhead = '';
  let phase: 'live' | 'over' | 'closed' = 'live';

  /** Follows the shell until it ends. @throws CoppiceError when the connection does first */
  async function follow(client: CoppiceClient): Promise<void> {
    const { ticket } = await client.call('process_open', {
      workspace_id: workspaceId,
      terminal: size,
      stdin: true,
      ...(jobId === undefined
        ? {
            command: loginShell,
            keep: true,
            label: 'VS Code terminal',
            env: { TERM: 'xterm-256color', COLORTERM: 'truecolor' },
          }
        : { job_id: jobId, stdout_offset: received }),
    });
    const opened = await client.openStream(ticket);
    if (phase === 'closed') {
      opened.destroy();
      return;
    }
    stream = opened;
    // The size may have changed while the stream was on its way, or since the shell was last attached.
    stream.control({ resize: size });
    if (typedAhead !== '') void stream.write(encoder.encode(typedAhead));
    typedAhead = '';
    for await (const frame of stream.frames()) {
      if (frame.type === frameType.data) {
        received += frame.payload.length;
        write.fire(decoder.decode(frame.payload, { stream: true }));
      } else if (frame.type === frameType.started) {
        jobId = frameJson<StreamStarted>(frame).job_id;
        options.onStarted(jobId);
      } else if (frame.type === frameType.result) {
        ended(frameJson<ExitResult>(frame));
      }
    }
  }

  async function live(): Promise<void> {
    let client: CoppiceClient | undefined;
    for (let failures = 0; phase === 'live';) {
      const before = received;
      try {
        client ??= await daemon.client();
        await follow(client);
        return;
      } catch (error) {
        stream = undefined;
        if (received > before) failures = 0;
        const pause = reconnectPauses[failures++];
        if (pause === undefined || jobId === undefined || !isConnectionLoss(error)) {
          failed(error);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, pause));
        client = await daemon.whenConnected();
      }
    }
  }

  function ended(result: ExitResult): void {
    options.onEnded(jobId);
    if (result.exit_code === 0) {
      close.fire(0);
      return;
    }
    const how =
      result.signal === null ? `with exit code ${result.exit_code}` : `by signal ${result.signal}`;
    over(`The shell was ended ${how}.`);
  }

  function failed(error: unknown): void {
    const { message, next = '' } = asCoppiceError(error);
    over(`${message} ${next}`.trim());
  }

  function over(text: string): void {
    if (phase !== 'live') return;
    phase = 'over';
    const lines = text.replaceAll('\n', '\r\n');
    write.fire(`\r\n\u001b[2m[${lines} Press any key to close.]\u001b[0m\r\n`);
  }

  return {
    onDidWrite: write.event,
    onDidClose: close.event,
    open(dimensions) {
      if (dimensions !== undefined) size = dimensions;
      void live();
    },
    setDimensions({ columns, rows }) {
      size = { columns, rows };
      stream?.control({ resize: size });
    },
    handleInput(text) {
      // Zero whatever happened: what happened was said, and VS Code would only say it again.
      if (phase === 'over') close.fire(0);
      else if (stream === undefined) typedAhead += text;
      else void stream.write(encoder.encode(text));
    },
    close() {
      phase = 'closed';
      stream?.destroy();
    },
  };
}

function isConnectionLoss(error: unknown): boolean {
  if (!(error instanceof CoppiceError)) return false;
  return error.code === 'outcome_unknown' || error.code === 'daemon_unavailable';
}
