/** A daemon whose one machine is this host: commands and connections begin here, and SFTP is an echo. */
import { spawn } from 'node:child_process';
import net from 'node:net';
import os from 'node:os';
import { CoppiceError } from '../../../protocol/errors.ts';
import { frameType } from '../../../protocol/stream.ts';
import {
  startFakeDaemon,
  ticketNamed,
  type FakeDaemon,
  type FakeHandler,
  type FakeStream,
} from '../client/fakeDaemon.ts';

type Input = Readonly<Record<string, unknown>>;

export interface SshDaemon extends FakeDaemon {
  /** What was asked for, in order. */
  readonly opened: readonly Input[];
  readonly controls: readonly unknown[];
  readonly machines: { id: string; name: string; state: string }[];
  /** Streams whose client has not gone away. */
  streams(): number;
}

export async function startSshDaemon(
  more: Readonly<Record<string, FakeHandler>> = {},
): Promise<SshDaemon> {
  const opened: Input[] = [];
  const controls: unknown[] = [];
  const machines = [{ id: '01234567-89ab-4def-8123-456789abcdef', name: 'demo', state: 'running' }];
  let streams = 0;
  const find = ({ workspace_id }: Input): (typeof machines)[number] => {
    const found = machines.find(({ id, name }) => [id, name].includes(String(workspace_id)));
    if (found !== undefined) return found;
    throw new CoppiceError({ code: 'not_found', message: `No machine ${String(workspace_id)}.` });
  };
  const view = ({ id, name, state }: (typeof machines)[number]): Input => ({
    workspace_id: id,
    name,
    state,
  });
  const open =
    (kind: string): FakeHandler =>
    ({ input }) => {
      opened.push(input);
      return { ticket: ticketNamed(`${kind}${String(opened.length - 1)}`) };
    };
  const daemon = await startFakeDaemon({
    handlers: {
      workspace_info: ({ input }) => view(find(input)),
      workspace_list: () => machines.map(view),
      workspace_start({ input }) {
        const machine = find(input);
        machine.state = 'running';
        return view(machine);
      },
      process_open: open('p'),
      tunnel_open: open('t'),
      ...more,
    },
    streams: new Proxy(
      {},
      {
        get: (_, ticket: string) => (stream: FakeStream) => {
          const input = opened[Number(ticket.slice(1))] ?? {};
          streams += 1;
          stream.socket.once('close', () => (streams -= 1));
          if (ticket.startsWith('p')) runProcess(stream, input, controls);
          else runTunnel(stream, input);
        },
      },
    ),
  });
  return { ...daemon, opened, controls, machines, streams: () => streams };
}

function runProcess(stream: FakeStream, input: Input, controls: unknown[]): void {
  const shell = [
    '/bin/sh',
    ...(typeof input['command'] === 'string' ? ['-c', input['command']] : []),
  ];
  const [file = '', ...args] = input['subsystem'] === 'sftp' ? ['cat'] : shell;
  const child = spawn(file, args, {
    cwd: '/',
    env: { PATH: process.env['PATH'], ...(input['env'] as Record<string, string>) },
  });
  const pass = (output: NodeJS.ReadableStream, type: 1 | 2): void => {
    output.on('data', (data: Buffer) => {
      stream.send(type, data);
      if (stream.socket.writableLength < 1_000_000) return;
      output.pause();
      stream.socket.once('drain', () => output.resume());
    });
  };
  pass(child.stdout, frameType.data);
  pass(child.stderr, frameType.stderr);
  child.stdin.on('error', () => undefined);
  stream.send(frameType.started, { job_id: 1, pid: child.pid ?? 0 });
  child.once('close', (code, signal) => {
    stream.send(frameType.result, {
      exit_code: code ?? -1,
      signal: signal === null ? null : os.constants.signals[signal],
      timed_out: false,
      duration_ms: 1,
      stdout_bytes: 0,
      stderr_bytes: 0,
    });
  });
  stream.socket.once('close', () => child.kill('SIGKILL'));
  void (async () => {
    for await (const frame of stream.frames()) {
      if (frame.type === frameType.data && !child.stdin.write(frame.payload)) {
        await new Promise((resolve) => {
          child.stdin.once('drain', resolve);
          child.stdin.once('close', resolve);
        });
      } else if (frame.type === frameType.end) child.stdin.end();
      else if (frame.type === frameType.control) {
        const message = JSON.parse(Buffer.from(frame.payload).toString()) as { signal?: number };
        controls.push(message);
        if (message.signal !== undefined) child.kill(message.signal);
      }
    }
  })();
}

function runTunnel(stream: FakeStream, input: Input): void {
  const socket = net.connect({
    host: typeof input['host'] === 'string' ? input['host'] : '127.0.0.1',
    port: Number(input['port']),
    allowHalfOpen: true,
  });
  socket.once('connect', () => stream.send(frameType.started, {}));
  socket.on('data', (data) => stream.send(frameType.data, data));
  socket.once('end', () => stream.send(frameType.end, new Uint8Array(0)));
  socket.once('error', (error) => {
    stream.send(frameType.error, { code: 'guest_error', message: error.message });
  });
  socket.once('close', () => stream.send(frameType.result, {}));
  stream.socket.once('close', () => socket.destroy());
  void (async () => {
    for await (const frame of stream.frames()) {
      if (frame.type === frameType.data) socket.write(frame.payload);
      else if (frame.type === frameType.end) socket.end();
    }
  })();
}
