import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import { frameType } from '../../../protocol/stream.ts';
import {
  startFakeDaemon,
  ticketNamed,
  type FakeDaemon,
  type FakeStream,
} from '../client/fakeDaemon.ts';
import { startCli } from './runCli.ts';

let daemon: FakeDaemon | undefined;
afterEach(async () => {
  await daemon?.close();
  daemon = undefined;
});

const exit = (more: object = {}): object => ({
  exit_code: 0,
  signal: null,
  timed_out: false,
  duration_ms: 1,
  stdout_bytes: 0,
  stderr_bytes: 0,
  ...more,
});

/** A daemon whose process_open runs `serve`; what it was asked for is kept. */
async function withProcess(
  serve: (stream: FakeStream) => unknown,
): Promise<{ opened: () => Readonly<Record<string, unknown>>; socket: string }> {
  let input: Readonly<Record<string, unknown>> = {};
  daemon = await startFakeDaemon({
    handlers: {
      process_open(call) {
        input = call.input;
        return { ticket: ticketNamed('p') };
      },
    },
    streams: { p: serve },
  });
  return { opened: () => input, socket: daemon.socketPath };
}

describe('coppice exec', () => {
  it('keeps both streams apart and byte-exact, and exits as the command did', async () => {
    const noise = randomBytes(3_000_000);
    const { socket, opened } = await withProcess(({ send }) => {
      for (let offset = 0; offset < noise.length; offset += 500_000) {
        send(frameType.data, noise.subarray(offset, offset + 500_000));
      }
      send(frameType.stderr, Buffer.from('warning\n'));
      send(frameType.result, exit({ exit_code: 7 }));
    });
    const { code, stdout, stderr } = await startCli(
      socket,
      'exec',
      'demo',
      '-e',
      'A=1',
      '-w',
      '/tmp',
      '--',
      'make',
      'all',
    ).done;
    expect(code).toBe(7);
    expect(stdout.equals(noise)).toBe(true);
    expect(stderr).toBe('warning\n');
    expect(opened()).toEqual({
      workspace_id: 'demo',
      argv: ['make', 'all'],
      env: { A: '1' },
      workdir: '/tmp',
      stdin: true,
    });
  });

  it('forwards standard input to its end', async () => {
    let received = 0;
    const { socket } = await withProcess(async ({ frames, send }) => {
      for await (const frame of frames()) {
        if (frame.type === frameType.data) received += frame.payload.length;
        if (frame.type === frameType.end) send(frameType.result, exit());
      }
    });
    const { child, done } = startCli(socket, 'exec', 'demo', 'cat');
    child.stdin.end(randomBytes(2_000_000));
    expect((await done).code).toBe(0);
    expect(received).toBe(2_000_000);
  });

  it.each([
    [{ exit_code: -1, signal: 9 }, 137],
    [{ exit_code: -1, signal: 9, timed_out: true }, 124],
  ])('turns %j into %d', async (how, expected) => {
    const { socket } = await withProcess(({ send }) => send(frameType.result, exit(how)));
    const { child, done } = startCli(socket, 'exec', 'demo', 'true');
    child.stdin.end();
    expect((await done).code).toBe(expected);
  });

  it('sends Ctrl-C to the command, and gives up at the second', async () => {
    const signals: unknown[] = [];
    const { socket } = await withProcess(async ({ frames, send }) => {
      send(frameType.started, { job_id: 1, pid: 2 });
      send(frameType.data, Buffer.from('ready\n'));
      for await (const frame of frames()) {
        if (frame.type === frameType.control) {
          signals.push(JSON.parse(Buffer.from(frame.payload).toString()));
        }
      }
    });
    const { child, done } = startCli(socket, 'exec', 'demo', 'sleep', '99');
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGINT');
    await expect.poll(() => signals).toEqual([{ signal: 2 }]);
    child.kill('SIGINT');
    expect((await done).code).toBe(130);
  });

  it('prints one JSON value with --json', async () => {
    const { socket } = await withProcess(({ send }) => {
      send(frameType.data, Buffer.from('out'));
      send(frameType.stderr, Buffer.from('err'));
      send(frameType.result, exit({ exit_code: 3, stdout_bytes: 3, stderr_bytes: 3 }));
    });
    const { child, done } = startCli(socket, 'exec', '--json', 'demo', 'true');
    child.stdin.end();
    const { code, stdout } = await done;
    expect(code).toBe(3);
    expect(JSON.parse(stdout.toString())).toEqual({
      ...exit({ exit_code: 3, stdout_bytes: 3, stderr_bytes: 3 }),
      stdout: 'out',
      stderr: 'err',
    });
  });

  it('tells its own failure apart from the command’s when the daemon vanishes', async () => {
    const { socket } = await withProcess(({ socket: connection }) => connection.destroy());
    const { child, done } = startCli(socket, 'exec', 'demo', 'true');
    child.stdin.end();
    const { code, stderr } = await done;
    expect(code).toBe(125);
    expect(stderr).toMatch(/^error: The stream ended before its result arrived\.\nnext: {2}/);
  });

  it('ends quietly when nobody reads its output any more', async () => {
    const { socket } = await withProcess(async ({ socket: connection, send }) => {
      const chunk = Buffer.alloc(500_000);
      while (!connection.destroyed) {
        send(frameType.data, chunk);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    });
    const { child, done } = startCli(socket, 'exec', 'demo', 'yes');
    child.stdout.once('data', () => child.stdout.destroy());
    const { code, stderr } = await done;
    expect(code).toBe(141);
    expect(stderr).toBe('');
  });

  it('names the flag when the daemon refuses its value', async () => {
    daemon = await startFakeDaemon({
      handlers: {
        process_open() {
          throw new CoppiceError({
            code: 'invalid_input',
            message: 'Bad input.',
            details: { issues: [{ path: ['workdir'], message: 'must be a directory' }] },
          });
        },
      },
    });
    const { child, done } = startCli(daemon.socketPath, 'exec', 'demo', '-w', '/tmp', '--', 'pwd');
    child.stdin.end();
    const { code, stderr } = await done;
    expect(code).toBe(2);
    expect(stderr).toBe(
      'error: --workdir must be a directory (got "/tmp").\nnext:  See coppice exec --help.\n',
    );
  });
});

describe('a failure', () => {
  const handlers = {
    workspace_info() {
      throw new CoppiceError({
        code: 'not_found',
        message: 'There is no\u001b[2J demo.',
        next: 'Look.',
        details: { name: 'demo' },
      });
    },
  };

  it('says what happened and what to do, and cannot drive the terminal', async () => {
    daemon = await startFakeDaemon({ handlers });
    const { code, stdout, stderr } = await startCli(daemon.socketPath, 'info', 'demo').done;
    expect([code, stdout.toString(), stderr]).toEqual([
      125,
      '',
      'error: There is no\\x1b[2J demo.\nnext:  Look.\n',
    ]);
  });

  it('is one JSON value on stdout with --json', async () => {
    daemon = await startFakeDaemon({ handlers });
    const { code, stdout, stderr } = await startCli(daemon.socketPath, 'info', 'demo', '--json')
      .done;
    expect([code, stderr]).toEqual([125, '']);
    expect(JSON.parse(stdout.toString())).toEqual({
      error: {
        code: 'not_found',
        message: 'There is no\u001b[2J demo.',
        next: 'Look.',
        details: { name: 'demo' },
      },
    });
  });

  it('of the command line is JSON too, with exit code 2', async () => {
    const { code, stdout } = await startCli('/nonexistent', 'create', '--memory-mb', 'x', '--json')
      .done;
    expect(code).toBe(2);
    expect(JSON.parse(stdout.toString())).toMatchObject({ error: { code: 'invalid_input' } });
  });

  it('says that no daemon listens at a socket that was chosen', async () => {
    const { code, stderr } = await startCli('/nonexistent', 'list').done;
    expect(code).toBe(125);
    expect(stderr).toContain('No connection to the Coppice daemon at /nonexistent');
  });
});

describe('output', () => {
  const machine = {
    workspace_id: '01234567-89ab-4def-8123-456789abcdef',
    name: 'demo',
    state: 'running',
    ip: null,
    base_image: 'debian-dev',
    resources: { vcpus: 2, memory_mb: 512, disk_gb: 10 },
    created_at: new Date().toISOString(),
    ephemeral: false,
    problem: null,
  };

  it('is a table for people and the plain reply for programs', async () => {
    daemon = await startFakeDaemon({ handlers: { workspace_list: () => [machine] } });
    const human = await startCli(daemon.socketPath, 'ps').done;
    expect(human.stdout.toString()).toMatch(
      /^NAME +STATE +IMAGE +CPUS +MEMORY +DISK +AGE +ID\ndemo +running +debian-dev +2 +512 MiB +10 GiB +\d+ \w+ +01234567\n$/,
    );
    const json = await startCli(daemon.socketPath, 'list', '--json').done;
    expect(JSON.parse(json.stdout.toString())).toEqual([machine]);
  });

  it('completes machine names, flags and commands', async () => {
    daemon = await startFakeDaemon({
      handlers: { workspace_list: () => [machine, { ...machine, name: 'dev' }] },
    });
    const complete = async (...words: string[]): Promise<string[]> =>
      (await startCli(daemon?.socketPath ?? '', '__complete', '--', ...words).done).stdout
        .toString()
        .trim()
        .split('\n');
    expect(await complete('st')).toEqual(['start', 'stop', 'stats', 'stat', 'storage', 'status']);
    expect(await complete('exec', 'd')).toEqual(['demo', 'dev']);
    expect(await complete('cp', 'de')).toEqual(['demo:/', 'dev:/']);
    expect(await complete('jobs', 'at')).toEqual(['attach']);
    expect(await complete('create', '--mem')).toEqual(['--memory-mb']);
    expect(await complete('list', '--state', 'run')).toEqual(['running']);
  });
});
