/** A command in a machine that has our terminal: raw keys in, screen out, sizes kept equal. */
import type { ExitResult } from '../../../protocol/operations/process.ts';
import type { StreamStarted } from '../../../protocol/stream.ts';
import type { ByteStream } from '../../client/byteStream.ts';
import { pumpOutput, writeTo } from '../process/output.ts';
import { signalNumbers, type EndSignal, type Signals } from '../signals.ts';
import { detachFilter, type DetachFilter } from './detachKeys.ts';
import type { LocalTerminal } from './localTerminal.ts';
import { modeTracker } from './modes.ts';

/** How long a Ctrl-P waits for its Ctrl-Q. */
const detachWindowMs = 400;

export interface SessionOptions {
  readonly onStarted?: (started: StreamStarted) => void;
  /** Called for Ctrl-P Ctrl-Q, which without it is passed on like any other key. */
  readonly onDetach?: () => void;
  /** Called instead of sending the signal to the command. */
  readonly onSignal?: (name: EndSignal) => void;
  /** Make the program in the terminal draw itself anew: we see it in the middle of its life. */
  readonly redraw?: boolean;
}

/** Runs until the command ends or `stream` is destroyed; the terminal is as before afterwards. */
export async function runTerminalSession(
  stream: ByteStream,
  terminal: LocalTerminal,
  signals: Signals,
  options: SessionOptions = {},
): Promise<ExitResult> {
  const modes = modeTracker();
  const restore = await terminal.enterRaw();
  const sendSize = (): void => stream.control({ resize: terminal.size() });
  const offResize = terminal.onResize(sendSize);
  const release = signals.take((name) => {
    if (options.onSignal !== undefined) options.onSignal(name);
    else stream.control({ signal: signalNumbers[name] });
  });
  const keys = forwardKeys(stream, options.onDetach);
  if (options.redraw === true) {
    const { columns, rows } = terminal.size();
    stream.control({ resize: { columns, rows: rows + 1 } });
  }
  sendSize();
  const screen = async (data: Uint8Array): Promise<void> => {
    modes.see(data);
    await writeTo(process.stdout, data);
  };
  try {
    return await pumpOutput(stream, {
      stdout: screen,
      stderr: screen,
      ...(options.onStarted === undefined ? {} : { started: options.onStarted }),
    });
  } finally {
    keys.stop();
    release();
    offResize();
    process.stdout.write(modes.undo());
    restore();
  }
}

function forwardKeys(stream: ByteStream, onDetach: (() => void) | undefined): { stop(): void } {
  const { stdin } = process;
  const filter: DetachFilter | undefined = onDetach === undefined ? undefined : detachFilter();
  let timer: NodeJS.Timeout | undefined;
  const onData = (data: Uint8Array): void => {
    clearTimeout(timer);
    const { pass, detach } = filter?.feed(data) ?? { pass: data, detach: false };
    if (pass.length > 0) send(pass);
    if (detach) onDetach?.();
    else if (filter?.holding === true) {
      timer = setTimeout(() => send(filter.flush()), detachWindowMs);
    }
  };
  // A paste larger than the machine takes at once stops the reading until it has.
  const send = (data: Uint8Array): void => {
    stdin.pause();
    void stream.write(data).then(() => stdin.resume());
  };
  const onEnd = (): void => stream.end();
  stdin.on('data', onData);
  stdin.once('end', onEnd);
  return {
    stop() {
      clearTimeout(timer);
      stdin.off('data', onData);
      stdin.off('end', onEnd);
      stdin.pause();
    },
  };
}
