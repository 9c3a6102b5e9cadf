import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { Prepared, PrepareInput } from '../../../helper-daemon/orchestration/prepare/host.ts';
import { prepares, type Prepares } from '../../../helper-daemon/orchestration/prepare/prepare.ts';
import { recoverPrepares } from '../../../helper-daemon/orchestration/prepare/recover.ts';
import type { Caller } from '../../../helper-daemon/workspaces/callers.ts';
import { fakePrepareHost, prepareOf, succeeded, type FakeHost } from './fakePrepare.ts';

const agent: Caller = { uid: 1000, agent: 'builder' };
const other: Caller = { uid: 1000, agent: 'other' };

let world: FakeHost;
let preparing: Prepares;

beforeEach(() => {
  world = fakePrepareHost();
  preparing = prepares(world.host);
});
afterEach(async () => {
  await preparing.close();
  world.remove();
});

async function prepare(
  input: Partial<PrepareInput> = {},
  caller: Caller = agent,
): Promise<Prepared> {
  return await preparing.prepare(prepareOf(input), {
    caller,
    signal: new AbortController().signal,
    progress: () => undefined,
  });
}

const url = 'https://user:password@example.com/app.git';

describe('preparing', () => {
  it('clones with arguments, not through a shell, then runs the commands in order', async () => {
    await prepare({ git_url: url, setup_commands: ['one', 'two'] });
    expect(world.ran).toEqual([`git clone -- ${url} /workspace`, 'one', 'two']);
    expect(world.snapshots()).toEqual([{ name: 'golden', hasMemory: true }]);
  });

  it('shows no password in what it says of a failure, and stores none', async () => {
    world.on.run = () => ({ ...succeeded, exitCode: 128, stderr: `fatal: cannot read ${url}` });
    const error = await prepare({ git_url: url }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'git_error' });
    expect(String(error)).toContain('git clone failed (exit 128)');
    expect(String(error)).not.toContain('password');
    expect(world.workspaces()).toEqual([]);
  });

  it('never empties the repository directory of a fresh machine', async () => {
    world.on.run = () => ({
      ...succeeded,
      exitCode: 128,
      stderr: "fatal: destination path '/workspace' already exists and is not an empty directory.",
    });
    await expect(prepare({ git_url: url })).rejects.toMatchObject({ code: 'git_error' });
    expect(world.ran.some((command) => command.startsWith('rm'))).toBe(false);
  });

  it('takes the snapshot without memory where there can be none', async () => {
    world.on.takeSnapshot = (memory) => {
      if (memory) throw new CoppiceError({ code: 'no_space', message: 'no room for it' });
    };
    expect(await prepare()).toMatchObject({ has_memory: false, snapshot_name: 'golden' });
    expect(world.warnings).toHaveLength(1);
  });

  it('keeps the golden snapshot before where somebody needs it or took it by hand', async () => {
    const id = world.add('gold', '1000/builder');
    await world.host.takeSnapshot(
      id,
      { name: 'golden', description: '', memory: false },
      () => undefined,
    );
    const first = await prepare({ setup_commands: ['a'] });
    expect(first.previous_snapshot).toMatch(/^golden-\d{8}-\d{6}$/);
    world.on.isNeeded = () => true;
    const second = await prepare({ setup_commands: ['b'] });
    expect(second.previous_snapshot).not.toBeNull();
    expect(second.previous_snapshot).not.toBe(first.previous_snapshot);
    world.on.isNeeded = () => false;
    expect((await prepare({ setup_commands: ['c'] })).previous_snapshot).toBeNull();
    expect(
      world
        .snapshots()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['golden', first.previous_snapshot, second.previous_snapshot].sort());
  });

  it('prepares again when the golden snapshot has been deleted', async () => {
    const first = await prepare({ setup_commands: ['a'] });
    await world.host.deleteSnapshot(first.workspace_id, 'golden');
    const second = await prepare({ setup_commands: ['a'] });
    expect(second).toMatchObject({ workspace_id: first.workspace_id, reused_existing: false });
    expect(world.ran).toEqual(['a', 'a']);
  });
});

describe('the name of a prepared machine', () => {
  it('gets a suffix while somebody else is at work under it, and is found again under it', async () => {
    world.add('gold', '1000/other');
    const first = await prepare({ setup_commands: ['a'] });
    expect(first.name).toBe('gold-2');
    expect(await prepare({ setup_commands: ['a'] })).toMatchObject({
      name: 'gold-2',
      reused_existing: true,
    });
  });

  it('is that of a machine whose owner has left it', async () => {
    const id = world.add('gold', '1000/other');
    world.on.adopt = () => undefined;
    expect(await prepare()).toMatchObject({ workspace_id: id, name: 'gold' });
    expect(world.workspaces()[0]?.owner).toBe('1000/builder');
  });

  it('is refused when every suffix is taken', async () => {
    for (const suffix of ['', '-2', '-3', '-4', '-5', '-6']) {
      world.add(`gold${suffix}`, '1000/other');
    }
    await expect(prepare()).rejects.toMatchObject({ code: 'name_taken' });
  });

  it('goes to one of two callers who want it at the same time', async () => {
    const both = await Promise.all([prepare({}, agent), prepare({}, other)]);
    expect(both.map(({ name }) => name).sort()).toEqual(['gold', 'gold-2']);
  });
});

describe('a preparation under way', () => {
  it('goes on when its caller gives up, and is joined by the same call', async () => {
    const gate = Promise.withResolvers<typeof succeeded>();
    world.on.run = () => gate.promise;
    const leaving = new AbortController();
    const input = { setup_commands: ['long'] };
    const first = preparing.prepare(prepareOf(input), {
      caller: agent,
      signal: leaving.signal,
      progress: () => undefined,
    });
    await expect.poll(() => world.ran.length).toBe(1);
    leaving.abort();
    await expect(first).rejects.toMatchObject({ code: 'cancelled' });
    await expect(prepare({ setup_commands: ['else'] })).rejects.toMatchObject({ code: 'busy' });
    const again = prepare(input);
    gate.resolve(succeeded);
    expect(await again).toMatchObject({ reused_existing: false });
    expect(world.ran).toEqual(['long']);
  });

  it('is taken back by the next daemon: a fresh machine goes, an old one keeps what it had', async () => {
    const first = await prepare({ setup_commands: ['a'] });
    world.on.run = (command) =>
      new Promise((_resolve, reject) => {
        if (command === 'stuck') setTimeout(() => reject(new Error('the daemon ends')), 100);
      });
    const again = prepare({ setup_commands: ['stuck'] });
    const fresh = prepare({ name: 'new', setup_commands: ['stuck'] });
    again.catch(() => undefined);
    fresh.catch(() => undefined);
    await expect.poll(() => world.ran.length).toBe(3);
    await preparing.close();
    await expect(fresh).rejects.toMatchObject({ code: 'daemon_unavailable' });
    expect(world.rows.underWay()).toHaveLength(2);
    expect(world.workspaces()).toHaveLength(2);

    await recoverPrepares(world.host);
    expect(world.rows.underWay()).toEqual([]);
    expect(world.workspaces().map(({ name }) => name)).toEqual(['gold']);
    preparing = prepares(world.host);
    world.on.run = () => succeeded;
    expect(await prepare({ setup_commands: ['a'] })).toMatchObject({
      snapshot_id: first.snapshot_id,
      reused_existing: true,
    });
  });

  it('is taken back although the machine was not written down yet, and spares one of that name', async () => {
    const row = {
      owner: '1000/builder',
      name: 'gold',
      workspaceId: null,
      state: 'preparing',
      fresh: true,
      digest: null,
      snapshotId: null,
      pendingSnapshot: 'golden-pending',
      problem: null,
    } as const;
    const before = new Date(Date.now() - 1000).toISOString();
    const after = new Date(Date.now() + 60_000).toISOString();
    world.add('made', '1000/builder');
    world.add('older', '1000/builder');
    world.add('foreign', '1000/other');
    world.rows.insert({ ...row, workspaceName: 'made', startedAt: before });
    world.rows.insert({ ...row, workspaceName: 'older', startedAt: after });
    world.rows.insert({ ...row, workspaceName: 'foreign', startedAt: before });
    await recoverPrepares(world.host);
    expect(world.workspaces().map(({ name }) => name)).toEqual(['older', 'foreign']);
    expect(world.rows.underWay()).toEqual([]);
  });
});
