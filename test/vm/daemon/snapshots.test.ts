import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { downloadedBytes } from '../../../helper-daemon/client/transfer.ts';
import type { PathChange } from '../../../protocol/operations/snapshotModel.ts';
import { expectSound } from '../support/storedState.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import { counted, drawTree, refusal, sh, startCounting } from '../support/workspaceSteps.ts';

let daemon: TestDaemon;
let client: CoppiceClient;

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = await daemon.connect();
});
afterAll(async () => {
  await daemon.dispose();
});

async function create(name: string): Promise<string> {
  const made = await client.call('workspace_create', { name, memory_mb: 256, vcpus: 1 });
  return made.workspace_id;
}

async function mark(machine: string, text: string): Promise<void> {
  await sh(client, machine, `echo ${text} > /workspace/mark; sync`);
}

const markOf = (machine: string): Promise<string> => sh(client, machine, 'cat /workspace/mark');

/** Names of the children of a node, and whether it is the position of the machine. */
async function node(machine: string, name: string) {
  return await client.call('snapshot_info', { workspace_id: machine, name });
}

describe('a snapshot', () => {
  const machine = 'taken';
  beforeAll(async () => {
    await create(machine);
  });
  afterAll(async () => {
    await client.call('workspace_destroy', { workspace_id: machine });
  });

  it('of a running machine does not disturb what runs in it', async () => {
    await startCounting(client, machine);
    await expect.poll(() => counted(client, machine)).toBeGreaterThan(1);
    const before = await client.call('workspace_info', { workspace_id: machine });
    const disk = await client.call('snapshot_create', { workspace_id: machine, name: 'disk' });
    const memory = await client.call('snapshot_create', {
      workspace_id: machine,
      name: 'memory',
      description: 'with programs',
      include_memory: true,
    });
    const after = await client.call('workspace_info', { workspace_id: machine });
    expect(disk).toMatchObject({ has_memory: false, consistency: 'filesystem', parent: null });
    expect(memory).toMatchObject({
      has_memory: true,
      consistency: 'memory',
      parent: disk.snapshot_id,
      description: 'with programs',
      current: true,
    });
    expect(disk.pause_ms).toBeGreaterThan(0);
    expect({ pid: after.pid, boot: after.guest?.boot_id, state: after.state }).toEqual({
      pid: before.pid,
      boot: before.guest?.boot_id,
      state: 'running',
    });
    const count = await counted(client, machine);
    await expect.poll(() => counted(client, machine)).toBeGreaterThan(count);
  });

  it('says what it takes, and what it stands on', async () => {
    await sh(client, machine, 'dd if=/dev/urandom of=/workspace/big bs=1M count=8; sync');
    await client.call('snapshot_create', { workspace_id: machine, name: 'big' });
    await client.call('snapshot_create', { workspace_id: machine, name: 'small' });
    const [big, small] = [await node(machine, 'big'), await node(machine, 'small')];
    expect(big.used_bytes).toBeGreaterThan(8 * 1024 ** 2);
    expect(small.used_bytes).toBeLessThan(big.used_bytes);
    expect(small.total_bytes).toBeGreaterThan(big.total_bytes);
    const { head_bytes } = await client.call('snapshot_list', { workspace_id: machine });
    expect(head_bytes).toBeLessThan(8 * 1024 ** 2);
  });

  it.each([
    ['a name that is taken', 'disk', 'name_taken'],
    ['"head"', 'head', 'invalid_input'],
    ['what looks like an id', '01234567-89ab-4def-8123-456789abcdef', 'invalid_input'],
    ['a slash', 'a/b', 'invalid_input'],
    ['nothing', '', 'invalid_input'],
    ['more than 128 characters', 'n'.repeat(129), 'invalid_input'],
  ])('is refused %s as its name', async (_what, name, code) => {
    const before = await drawTree(client, machine);
    const error = await refusal(
      client.call('snapshot_create', { workspace_id: machine, name, include_memory: true }),
    );
    expect(error.code).toBe(code);
    expect(await drawTree(client, machine)).toEqual(before);
    expect(await sh(client, machine, 'echo on')).toBe('on');
  });

  it('without a name gets a time stamp, and 128 characters are a name', async () => {
    const { name } = await client.call('snapshot_create', { workspace_id: machine });
    expect(name).toMatch(/^\d{8}-\d{6}\.\d{3}$/);
    const long = 'n'.repeat(128);
    await client.call('snapshot_create', { workspace_id: machine, name: long });
    expect(await drawTree(client, machine)).toContain(`${long}<${name}*`);
  });

  it('of a paused machine keeps memory and leaves it paused', async () => {
    await client.call('workspace_pause', { workspace_id: machine });
    for (const memory of [false, true]) {
      const taken = await client.call('snapshot_create', {
        workspace_id: machine,
        name: `paused-${String(memory)}`,
        include_memory: memory,
      });
      expect(taken).toMatchObject({ has_memory: memory, pause_ms: 0 });
    }
    const { state } = await client.call('workspace_info', { workspace_id: machine });
    expect(state).toBe('paused');
    await client.call('workspace_resume', { workspace_id: machine });
    expect(await sh(client, machine, 'echo on')).toBe('on');
  });

  it('of a suspended machine keeps the memory it was suspended with', async () => {
    const count = await counted(client, machine);
    await client.call('workspace_suspend', { workspace_id: machine });
    for (const memory of [false, true]) {
      const taken = await client.call('snapshot_create', {
        workspace_id: machine,
        name: `suspended-${String(memory)}`,
        include_memory: memory,
      });
      expect(taken.has_memory).toBe(memory);
    }
    await client.call('workspace_resume', { workspace_id: machine });
    const restored = await client.call('snapshot_restore', {
      workspace_id: machine,
      name: 'suspended-true',
    });
    expect(restored).toMatchObject({ state: 'running', resumed: true });
    expect(await counted(client, machine)).toBeGreaterThanOrEqual(count);
  });

  it('of a stopped machine keeps its disk; there is no memory to keep', async () => {
    await mark(machine, 'stopped');
    await client.call('workspace_stop', { workspace_id: machine });
    const error = await refusal(
      client.call('snapshot_create', { workspace_id: machine, name: 'x', include_memory: true }),
    );
    expect(error.code).toBe('wrong_state');
    await client.call('snapshot_create', { workspace_id: machine, name: 'stopped' });
    const after = await client.call('workspace_info', { workspace_id: machine });
    expect(after).toMatchObject({ state: 'stopped', snapshot: 'stopped' });
    await expectSound(daemon, client);
  });
});

describe('a tree of snapshots', () => {
  const machine = 'tree';
  beforeAll(async () => {
    await create(machine);
    for (const name of ['one', 'two']) {
      await mark(machine, name);
      await client.call('snapshot_create', { workspace_id: machine, name });
    }
  });
  afterAll(async () => {
    await client.call('workspace_destroy', { workspace_id: machine });
  });

  it('branches where work goes on from an earlier snapshot; no other is lost', async () => {
    await client.call('snapshot_restore', { workspace_id: machine, name: 'one' });
    expect(await markOf(machine)).toBe('one');
    await mark(machine, 'side');
    await client.call('snapshot_create', { workspace_id: machine, name: 'side' });
    expect(await drawTree(client, machine)).toEqual(['one', 'two<one', 'side<one*']);
  });

  it.each(['two', 'side', 'one', 'two'])('is restored to %s, from wherever it is', async (name) => {
    const restored = await client.call('snapshot_restore', { workspace_id: machine, name });
    expect(restored).toMatchObject({ state: 'running', snapshot: name, resumed: false });
    expect(await markOf(machine)).toBe(name);
    const names = (await drawTree(client, machine)).map((line) => line.replace('*', ''));
    expect(names).toEqual(['one', 'two<one', 'side<one']);
  });

  it('keeps the present state under the name given with save_as', async () => {
    await mark(machine, 'unsaved');
    const taken = await refusal(
      client.call('snapshot_restore', { workspace_id: machine, name: 'one', save_as: 'two' }),
    );
    expect(taken.code).toBe('name_taken');
    expect(await markOf(machine)).toBe('unsaved');
    const restored = await client.call('snapshot_restore', {
      workspace_id: machine,
      name: 'one',
      save_as: 'saved',
      leave_stopped: true,
    });
    expect(restored).toMatchObject({ state: 'stopped', saved_as: 'saved', snapshot: 'one' });
    expect(await drawTree(client, machine)).toEqual(['one*', 'two<one', 'side<one', 'saved<two']);
    await client.call('snapshot_restore', { workspace_id: machine, name: 'saved' });
    expect(await markOf(machine)).toBe('unsaved');
  });

  it('is found by ids too, and by those of no other machine', async () => {
    const { snapshot_id } = await node(machine, 'side');
    expect(await node(machine, snapshot_id.toUpperCase())).toMatchObject({ name: 'side' });
    await create('other');
    const error = await refusal(node('other', snapshot_id));
    expect(error.code).toBe('not_found');
    await client.call('workspace_destroy', { workspace_id: 'other' });
  });

  it('lets snapshots be renamed and described', async () => {
    const renamed = await client.call('snapshot_rename', {
      workspace_id: machine,
      name: 'side',
      new_name: 'branch',
      description: 'another way',
    });
    expect(renamed).toMatchObject({ name: 'branch', description: 'another way' });
    const again = await client.call('snapshot_rename', {
      workspace_id: machine,
      name: 'branch',
      new_name: 'branch',
    });
    expect(again.description).toBe('another way');
    const rename = (name: string, new_name: string) =>
      refusal(client.call('snapshot_rename', { workspace_id: machine, name, new_name }));
    expect((await rename('branch', 'two')).code).toBe('name_taken');
    expect((await rename('branch', 'head')).code).toBe('invalid_input');
    expect((await rename('side', 'x')).code).toBe('not_found');
  });

  it('closes over a deleted node: its children, and the machine, move up', async () => {
    const remove = (name: string) =>
      client.call('snapshot_delete', { workspace_id: machine, name });
    // one* ← the root in the middle of everything; two: in the middle; saved: current; branch: a leaf.
    await remove('two');
    expect(await drawTree(client, machine)).toEqual(['one', 'branch<one', 'saved<one*']);
    await remove('saved');
    expect(await drawTree(client, machine)).toEqual(['one*', 'branch<one']);
    expect(await markOf(machine)).toBe('unsaved');
    await remove('one');
    expect(await drawTree(client, machine)).toEqual(['branch']);
    const info = await client.call('workspace_info', { workspace_id: machine });
    expect(info).toMatchObject({ snapshot: null, snapshots: 1 });
    expect((await refusal(remove('one'))).code).toBe('not_found');
    // What nobody names any more is folded: into layers at once, into the disk when it is not in use.
    const layers = async (): Promise<number> =>
      (await client.call('storage_status', {})).layers.count;
    await client.call('storage_gc', {});
    expect(await layers()).toBe(3);
    expect(await markOf(machine)).toBe('unsaved');
    await client.call('workspace_stop', { workspace_id: machine });
    const { merged } = await client.call('storage_gc', {});
    expect(merged).toBe(1);
    expect(await layers()).toBe(2);
    await client.call('workspace_start', { workspace_id: machine });
    expect(await markOf(machine)).toBe('unsaved');
    await client.call('snapshot_restore', { workspace_id: machine, name: 'branch' });
    expect(await markOf(machine)).toBe('side');
    await client.call('snapshot_delete', { workspace_id: machine, name: 'branch' });
    await client.call('storage_gc', {});
    await expectSound(daemon, client);
  });
});

describe('a snapshot with memory', () => {
  const machine = 'memory';
  beforeAll(async () => {
    await create(machine);
    await mark(machine, 'then');
  });
  afterAll(async () => {
    await client.call('workspace_destroy', { workspace_id: machine });
  });

  it('continues a program where it was, under new job ids, and lets the machine boot as well', async () => {
    const job = await startCounting(client, machine);
    await expect.poll(() => counted(client, machine)).toBeGreaterThan(1);
    await client.call('snapshot_create', {
      workspace_id: machine,
      name: 'm',
      include_memory: true,
    });
    const then = await counted(client, machine);
    const before = await client.call('workspace_info', { workspace_id: machine });
    const given = await client.call('process_start', {
      workspace_id: machine,
      command: 'sleep 99',
    });
    await mark(machine, 'now');
    await expect
      .poll(() => counted(client, machine), { timeout: 20_000 })
      .toBeGreaterThan(then + 20);
    const later = await counted(client, machine);

    const restored = await client.call('snapshot_restore', { workspace_id: machine, name: 'm' });
    expect(restored).toMatchObject({ state: 'running', resumed: true, snapshot: 'm' });
    const now = await counted(client, machine);
    expect(now).toBeLessThan(later);
    await expect.poll(() => counted(client, machine)).toBeGreaterThan(now);
    expect(await markOf(machine)).toBe('then');
    const after = await client.call('workspace_info', { workspace_id: machine });
    expect(after.guest?.boot_id).toBe(before.guest?.boot_id);
    expect(after.generation).toBeGreaterThan(before.generation);
    const jobs = await client.call('process_list', { workspace_id: machine });
    expect(jobs.map(({ running }) => running)).toEqual([true]);
    expect([job, given.job_id]).not.toContain(jobs[0]?.job_id);
    const fresh = await client.call('process_start', { workspace_id: machine, command: 'true' });
    expect(fresh.job_id).toBeGreaterThan(given.job_id);

    const booted = await client.call('snapshot_restore', {
      workspace_id: machine,
      name: 'm',
      boot: true,
    });
    expect(booted.resumed).toBe(false);
    const anew = await client.call('workspace_info', { workspace_id: machine });
    expect(anew.guest?.boot_id).not.toBe(before.guest?.boot_id);
    expect(
      await sh(client, machine, 'cat /workspace/mark; ls /run/count 2>/dev/null || echo none'),
    ).toBe('then\nnone');
  });

  it('restored with its machine left stopped is the disk alone', async () => {
    const stopped = await client.call('snapshot_restore', {
      workspace_id: machine,
      name: 'm',
      leave_stopped: true,
    });
    expect(stopped).toMatchObject({ state: 'stopped', resumed: false, snapshot: 'm' });
    expect(daemon.machines()).toEqual([]);
    await expectSound(daemon, client);
  });
});

describe('differences', () => {
  const machine = 'diff';
  const shown = (changes: readonly PathChange[]): string[] =>
    changes.map(({ change, kind, path }) => `${change} ${kind} ${path}`);
  const diff = async (more: {
    to?: string;
    path?: string;
    metadata?: boolean;
    max_results?: number;
  }) => await client.call('snapshot_diff', { workspace_id: machine, from: 'first', ...more });

  beforeAll(async () => {
    await create(machine);
    await sh(
      client,
      machine,
      `mkdir -p /data/sub && cd /data && echo 1234 > rewritten && echo gone > gone && echo f > turned &&
       echo m > mode && ln -s a link && echo same > same && touch -r / sub/touched && echo x > sub/deep`,
    );
    await client.call('snapshot_create', { workspace_id: machine, name: 'first' });
    await sh(
      client,
      machine,
      `cd /data && echo 4321 > new && touch -r rewritten new && cat new > rewritten && touch -r new rewritten &&
       rm gone turned && mkdir turned && chmod 600 mode && ln -sfn b link && echo more >> sub/deep &&
       touch sub/touched && mv same moved && mv moved same`,
    );
    await client.call('snapshot_create', { workspace_id: machine, name: 'second' });
  });
  afterAll(async () => {
    await client.call('workspace_destroy', { workspace_id: machine });
  });

  const changed = [
    'modified symlink /data/link',
    'added file /data/new',
    'modified file /data/rewritten',
    'modified file /data/sub/deep',
    'type_changed dir /data/turned',
  ];

  it('between two snapshots are what was added, removed, rewritten at the same size, and turned', async () => {
    const { changes, from, to, truncated } = await diff({ to: 'second', path: '/data' });
    expect({ from, to, truncated }).toEqual({ from: 'first', to: 'second', truncated: false });
    expect(shown(changes)).toEqual(['removed file /data/gone', ...changed]);
    expect(changes.find(({ path }) => path === '/data/rewritten')).toMatchObject({
      size_before: 5,
      size_after: 5,
    });
    expect(changes.find(({ path }) => path === '/data/gone')).toMatchObject({ size_after: null });
  });

  it('of metadata alone are told when asked for', async () => {
    const { changes } = await diff({ to: 'second', path: '/data', metadata: true });
    expect(shown(changes)).toEqual([
      'removed file /data/gone',
      'modified symlink /data/link',
      'metadata file /data/mode',
      'added file /data/new',
      'modified file /data/rewritten',
      'modified file /data/sub/deep',
      'metadata file /data/sub/touched',
      'type_changed dir /data/turned',
    ]);
  });

  it('are limited to a directory, and to a number', async () => {
    expect(shown((await diff({ to: 'second', path: '/data/sub' })).changes)).toEqual([
      'modified file /data/sub/deep',
    ]);
    const few = await diff({ to: 'second', path: '/data', max_results: 2 });
    expect(few.truncated).toBe(true);
    expect(few.changes).toHaveLength(2);
    expect(shown((await diff({ to: 'second' })).changes)).toEqual(expect.arrayContaining(changed));
  });

  it('to a machine that runs, and to one that is stopped, are those to its present state', async () => {
    await sh(client, machine, 'echo back > /data/gone; echo late > /data/late; sync');
    const before = await client.call('workspace_info', { workspace_id: machine });
    const now = ['modified file /data/gone', 'added file /data/late', ...changed].sort();
    const running = await diff({ path: '/data' });
    expect(running.to).toBe('head');
    expect(shown(running.changes).sort()).toEqual(now);
    const after = await client.call('workspace_info', { workspace_id: machine });
    expect(after.guest?.boot_id).toBe(before.guest?.boot_id);
    await client.call('workspace_stop', { workspace_id: machine });
    expect(shown((await diff({ path: '/data', to: 'head' })).changes).sort()).toEqual(now);
    expect(await drawTree(client, machine)).toEqual(['first', 'second<first*']);
  });

  it('of a snapshot with itself, and of a directory it has not, are none and an error', async () => {
    expect((await diff({ to: 'first' })).changes).toEqual([]);
    expect((await refusal(diff({ to: 'second', path: '/none' }))).code).toBe('file_not_found');
    expect((await refusal(diff({ to: 'third' }))).code).toBe('not_found');
  });

  it('can be looked into: directories and files are as they were then', async () => {
    const entries = await client.call('snapshot_file_list', {
      workspace_id: machine,
      name: 'first',
      path: '/data',
    });
    expect(entries.map(({ name }) => name).sort()).toEqual([
      'gone',
      'link',
      'mode',
      'rewritten',
      'same',
      'sub',
      'turned',
    ]);
    const read = async (name: string): Promise<string> => {
      const { ticket } = await client.call('snapshot_file_download', {
        workspace_id: machine,
        name,
        path: '/data/rewritten',
      });
      const chunks: Uint8Array[] = [];
      for await (const chunk of downloadedBytes(await client.openStream(ticket))) {
        chunks.push(chunk);
      }
      return Buffer.concat(chunks).toString();
    };
    expect(await read('first')).toBe('1234\n');
    expect(await read('second')).toBe('4321\n');
    const missing = client.call('snapshot_file_download', {
      workspace_id: machine,
      name: 'first',
      path: '/data/new',
    });
    expect((await refusal(missing)).code).toBe('file_not_found');
  });
});
