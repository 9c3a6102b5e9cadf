/** One SSH session: a command, a shell or SFTP in the machine, with or without a terminal. */
import type { PseudoTtyInfo, ServerChannel, Session } from 'ssh2';
import { asCoppiceError } from '../../../protocol/errors.ts';
import { limits } from '../../../protocol/limits.ts';
import { envNameProblem } from '../../../protocol/names.ts';
import type { InputOf } from '../../../protocol/operations.ts';
import type { ExitResult, TerminalSize } from '../../../protocol/operations/process.ts';
import type { ByteStream } from '../../client/byteStream.ts';
import { pumpOutput } from '../process/output.ts';
import { printableLines } from '../text/printable.ts';
import { channelInput } from './channelInput.ts';
import { channelOutput } from './channelOutput.ts';
import { onUnread } from './ssh2Details.ts';
import { signalName, signalNumber } from './signalNames.ts';
import type { SshTarget } from './target.ts';

/** All variables of a session together; a call is one message. */
const envBytes = 256 * 1024;

/** As ssh itself says that it, not the command, has failed. */
const failed = 255;

type How = Pick<InputOf<'process_open'>, 'login' | 'command' | 'subsystem'>;

/** Answers the requests of one session. */
export function serveSession(session: Session, user: string, target: SshTarget): void {
  const env: Record<string, string> = {};
  let terminal: TerminalSize | undefined;
  let running: ByteStream | undefined;
  let bytes = 0;
  const closed = new AbortController();
  session.once('close', () => closed.abort());
  let read = true;
  let broken = false;
  onUnread(session, () => {
    read = false;
  });
  const gone = AbortSignal.any([target.ended, closed.signal]);

  session.on('env', (accept, reject, { key, val }) => {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(val);
    const fits = bytes <= envBytes && Object.keys(env).length < limits.envEntries;
    if (!fits || envNameProblem(key) !== undefined || val.includes('\0')) {
      answer(reject);
      return;
    }
    env[key] = val;
    answer(accept);
  });
  session.on('pty', (accept, _reject, info: PseudoTtyInfo) => {
    terminal = sizeOf(info);
    if (info.term !== '' && !info.term.includes('\0')) env['TERM'] = info.term;
    answer(accept);
  });
  session.on('window-change', (accept, _reject, info) => {
    terminal = sizeOf(info);
    running?.control({ resize: terminal });
    answer(accept);
  });
  session.on('signal', (accept, reject, { name }) => {
    const signal = signalNumber(name);
    if (signal === undefined) return answer(reject);
    running?.control({ signal });
    answer(accept);
  });
  session.on('shell', (accept) => void serve(accept(), { login: true }));
  session.on('exec', (accept, _reject, { command }) => {
    void serve(accept(), { login: true, command });
  });
  session.on('subsystem', (accept, reject, { name }) => {
    if (name === 'sftp') void serve(accept(), { subsystem: name });
    else answer(reject);
  });

  // The channel must be accepted before anything is waited for: ssh2 forgets how once the client's input has ended.
  async function serve(channel: ServerChannel, how: How): Promise<void> {
    const output = channelOutput(channel, gone);
    try {
      const { ticket } = await target.client.call('process_open', {
        workspace_id: target.workspaceId,
        ...how,
        user,
        env,
        stdin: true,
        label: 'ssh',
        ...(terminal === undefined ? {} : { terminal }),
      });
      const stream = await target.client.openStream(ticket);
      gone.addEventListener('abort', () => stream.destroy(), { once: true });
      if (gone.aborted) stream.destroy();
      running = stream;
      void channelInput(channel, stream);
      const stdout = (data: Uint8Array): Promise<void> | void => {
        if (read) return output.stdout(data);
        if (!broken) breakPipe(stream);
        broken = true;
      };
      sendExit(channel, await pumpOutput(stream, { ...output, stdout }));
    } catch (error) {
      const { message, next } = asCoppiceError(error);
      const text = `coppice: ${printableLines([message, ...(next === undefined ? [] : [next])].join('\n'))}\n`;
      await output.stderr(
        Buffer.from(terminal === undefined ? text : text.replaceAll('\n', '\r\n')),
      );
      channel.exit(failed);
    }
    channel.end();
  }
}

/** Long enough for a program that cleans up. */
const brokenPipeMs = 2000;

/** The command writes, and nobody reads: as a pipe would tell it, and then by force. */
function breakPipe(stream: ByteStream): void {
  stream.control({ signal: signalNumber('PIPE') ?? 13 });
  setTimeout(() => stream.destroy(), brokenPipeMs).unref();
}

/** Requests that want no answer come without these. */
function answer(how: (() => unknown) | undefined): void {
  how?.();
}

/** A client without a terminal of its own may say 0. */
function sizeOf({ cols, rows }: { readonly cols: number; readonly rows: number }): TerminalSize {
  const within = (value: number, otherwise: number): number =>
    value > 0 ? Math.min(value, 10_000) : otherwise;
  return { columns: within(cols, 80), rows: within(rows, 24) };
}

function sendExit(channel: ServerChannel, exit: ExitResult): void {
  if (exit.signal === null) {
    channel.exit(exit.exit_code >= 0 ? exit.exit_code : failed);
    return;
  }
  const name = signalName(exit.signal);
  if (name === undefined) channel.exit(128 + exit.signal);
  else channel.exit(name, false, '');
}
