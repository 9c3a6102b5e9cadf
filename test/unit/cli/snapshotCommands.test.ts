import { afterEach, describe, expect, it } from 'vitest';
import { textForTerminal } from '../../../helper-daemon/cli/process/terminalGuard.ts';
import { CoppiceError, type ErrorCode } from '../../../protocol/errors.ts';
import { frameType } from '../../../protocol/stream.ts';
import {
  startFakeDaemon,
  ticketNamed,
  type FakeDaemon,
  type FakeHandler,
} from '../client/fakeDaemon.ts';
import { startCli } from './runCli.ts';
import { fork, idOf, machine, snapshot, tree } from './sampleOutputs.ts';

let daemon: FakeDaemon | undefined;
afterEach(async () => {
  await daemon?.close();
  daemon = undefined;
});

async function cli(
  handlers: Readonly<Record<string, FakeHandler>>,
  ...args: readonly string[]
): Promise<{ code: number | null; out: string; err: string }> {
  await daemon?.close();
  daemon = await startFakeDaemon({
    handlers,
    streams: {
      f({ send }) {
        send(frameType.data, Buffer.from('127.0.0.1 localhost\n'));
        send(frameType.result, { bytes: 20 });
      },
    },
  });
  const { code, stdout, stderr } = await startCli(daemon.socketPath, ...args).done;
  return { code, out: stdout.toString(), err: stderr };
}

function failing(code: ErrorCode, message: string): FakeHandler {
  return () => {
    throw new CoppiceError({ code, message });
  };
}

const list = tree([snapshot('s1', null), snapshot('s2', 's1')], 's2');

describe('coppice snapshot show', () => {
  const download: FakeHandler = () => ({
    ticket: ticketNamed('f'),
    size: 20,
    mode: 0o644,
    modified: 0,
  });

  it('describes a snapshot', async () => {
    const { code, out } = await cli(
      {
        snapshot_info: () => snapshot('s2', 's1', { forks: ['a', 'b'] }),
        snapshot_list: () => list,
      },
      ...['snapshot', 'show', 'demo', 's2'],
    );
    expect(code).toBe(0);
    expect(out).toMatch(/^Name +s2\n/);
    expect(out).toMatch(/\nParent +s1\nForks +a, b\n$/);
  });

  it('prints a file byte for byte, or as one JSON value', async () => {
    const show = ['snapshot', 'show', 'demo', 's1', '/etc/hosts'];
    const handlers = { snapshot_file_download: download };
    expect(await cli(handlers, ...show)).toEqual({
      code: 0,
      out: '127.0.0.1 localhost\n',
      err: '',
    });
    expect(JSON.parse((await cli(handlers, ...show, '--json')).out)).toEqual({
      content: '127.0.0.1 localhost\n',
      size: 20,
      truncated: false,
    });
  });

  it('lists a directory as ls does', async () => {
    const entry = {
      name: 'hosts',
      kind: 'file',
      size: 20,
      permissions: 'rw-r--r--',
      modified: null,
      uid: 0,
      gid: 0,
      link_target: null,
      target_kind: null,
    };
    const { code, out } = await cli(
      {
        snapshot_file_download: failing('file_error', '/etc is a directory.'),
        snapshot_file_list: () => [entry],
      },
      ...['snapshot', 'show', 'demo', 's1', '/etc'],
    );
    expect([code, out]).toEqual([0, '-rw-r--r--  0:0  20 B  -  hosts\n']);
  });

  it('says what is wrong with the path, not that it is no directory', async () => {
    const show = ['snapshot', 'show', 'demo', 's1', '/dev/x'];
    const special = await cli(
      {
        snapshot_file_download: failing('file_error', '/dev/x is a device.'),
        snapshot_file_list: failing('file_error', '/dev/x is not a directory.'),
      },
      ...show,
    );
    expect([special.code, special.err]).toEqual([125, 'error: /dev/x is a device.\n']);
    const missing = await cli(
      { snapshot_file_download: failing('file_not_found', 'There is no /dev/x.') },
      ...show,
    );
    expect([missing.code, missing.err]).toEqual([125, 'error: There is no /dev/x.\n']);
  });

  it('keeps what is no text from a terminal unless told otherwise', async () => {
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a\0b');
      yield Buffer.from('c');
    }
    const passed = async (show: boolean): Promise<string> => {
      let text = '';
      for await (const chunk of textForTerminal(chunks(), show)) text += String(chunk);
      return text;
    };
    expect(await passed(true)).toBe('a\0bc');
    await expect(passed(false)).rejects.toMatchObject({ code: 'file_error' });
  });
});

describe('coppice snapshot', () => {
  it('restore tells what it gave up, from how things were before', async () => {
    let restored = false;
    const handlers: Readonly<Record<string, FakeHandler>> = {
      snapshot_list: () => (restored ? tree(list.snapshots, 's1') : list),
      snapshot_restore() {
        restored = true;
        return {
          ...machine('demo', { snapshot: 's1' }),
          snapshot_id: idOf('s1'),
          snapshot_name: 's1',
          resumed: true,
          saved_as: null,
        };
      },
    };
    const { out } = await cli(handlers, 'snapshot', 'restore', 'demo', 's1');
    expect(out).toBe(
      'Restored demo to s1 (continues from memory). Changes since s2 were given up; use --save-as to keep them.\n',
    );
  });

  it('diff takes a path in the place of the second snapshot', async () => {
    let input: unknown;
    const handlers: Readonly<Record<string, FakeHandler>> = {
      snapshot_diff(call) {
        input = call.input;
        return { from: 's1', to: 'head', changes: [], truncated: false };
      },
    };
    const diff = ['snapshot', 'diff', 'demo', 's1'];
    await cli(handlers, ...diff, '/etc');
    expect(input).toEqual({ workspace_id: 'demo', from: 's1', path: '/etc' });
    await cli(handlers, ...diff, 's2', '/etc');
    expect(input).toEqual({ workspace_id: 'demo', from: 's1', to: 's2', path: '/etc' });
    expect((await cli(handlers, ...diff)).out).toBe('There is no difference between s1 and now.\n');
  });
});

describe('a command that changes settings', () => {
  it.each([[['set', 'demo']], [['pool', 'set']], [['snapshot', 'rename', 'demo', 's1']]])(
    '%j wants to know which',
    async (words) => {
      const { code, err } = await cli({}, ...words);
      expect([code, err]).toEqual([2, expect.stringContaining('error: Say what to change.\n')]);
    },
  );
});

describe('exit codes', () => {
  it('of a fork tell all from some from none, and stderr says what is missing', async () => {
    const forked = async (made: readonly string[], failed: readonly string[]) =>
      await cli({ workspace_fork: () => fork(made, failed) }, 'fork', 'web', '-n', '2');
    expect(await forked(['web-1', 'web-2'], [])).toMatchObject({ code: 0, err: '' });
    const some = await forked(['web-1'], ['web-2']);
    expect([some.code, some.err]).toEqual([75, expect.stringMatching(/^web-2: There are only/)]);
    expect(some.out).toContain('web-1');
    expect(await forked([], ['web-1', 'web-2'])).toMatchObject({ code: 1, out: '' });
  });

  it('of storage verify is 1 when something is wrong', async () => {
    const verified = async (ok: boolean) =>
      await cli(
        {
          storage_verify: () => ({
            ok,
            checked: { workspaces: 1, snapshots: 2, layers: 3, memories: 0 },
            problems: ok ? [] : [{ subject: 'demo/s1', problem: 'is gone', next: 'Delete it.' }],
          }),
        },
        ...['storage', 'verify'],
      );
    expect(await verified(true)).toEqual({
      code: 0,
      out: 'Everything is there and whole: 1 machine, 2 snapshots, 3 layers, 0 memory files.\n',
      err: '',
    });
    const broken = await verified(false);
    expect(broken.code).toBe(1);
    expect(broken.out).toContain('demo/s1: is gone\n  next: Delete it.\n1 problem in');
  });
});

describe('completion', () => {
  const handlers: Readonly<Record<string, FakeHandler>> = {
    workspace_list: () => [machine('demo')],
    snapshot_list: ({ input }) => (input['workspace_id'] === 'demo' ? list : tree([], null)),
  };
  const complete = async (...words: readonly string[]): Promise<readonly string[]> =>
    (await cli(handlers, '__complete', '--', ...words)).out.trim().split('\n');

  it('offers the snapshots of the machine that was named', async () => {
    expect(await complete('snapshot', 'restore', 'd')).toEqual(['demo']);
    expect(await complete('snapshot', 'restore', 'demo', '')).toEqual(['s1', 's2']);
    expect(await complete('snapshot', 'rm', 'demo', '')).toEqual(['s1', 's2']);
    expect(await complete('snapshot', 'show', 'demo', 's1')).toEqual(['s1']);
    expect(await complete('snapshot', 'diff', 'demo', 's1', '')).toEqual(['s1', 's2', 'head']);
    expect(await complete('export', 'demo', 's')).toEqual(['s1', 's2']);
    expect(await complete('fork', 'demo', '-n', '8', '--snapshot', '')).toEqual(['s1', 's2']);
  });

  it('offers nothing for a name that is made', async () => {
    expect(await complete('snapshot', 'create', 'demo', 's')).toEqual(['']);
    expect(await complete('snapshot', 'rename', 'demo', 's1', '')).toEqual(['']);
  });
});

describe('help', () => {
  it('has every command below a heading', async () => {
    const { out } = await cli({}, '--help');
    const headings = out.split('\n').filter((line) => /^\S.*:$/.test(line));
    expect(headings).toEqual([
      'Options:',
      'Machines:',
      'Work in a machine:',
      'Files:',
      'Snapshots and copies:',
      'Agents:',
      'Network:',
      'Images and storage:',
      'Coppice itself:',
    ]);
    expect((await cli({}, 'fork', '--help')).out).toContain('75 when only some were');
  });
});
