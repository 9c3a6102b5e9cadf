import { existsSync, readdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as soon } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { alter, expectSound, flipByte, memoryFile, rows } from '../support/storedState.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import { drawTree, refusal, sh } from '../support/workspaceSteps.ts';

const machine = 'w';
let daemon: TestDaemon;
let client: CoppiceClient;

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = await daemon.connect();
  await client.call('workspace_create', { name: machine, memory_mb: 256, vcpus: 1 });
  await mark('base');
  await client.call('snapshot_create', { workspace_id: machine, name: 'base' });
  await client.call('snapshot_create', {
    workspace_id: machine,
    name: 'live',
    include_memory: true,
  });
  await mark('work');
});
afterAll(async () => {
  await daemon.dispose();
});

async function mark(text: string): Promise<void> {
  await sh(client, machine, `echo ${text} > /workspace/mark; sync`);
}

async function newDaemon(between: () => void = () => undefined): Promise<void> {
  await daemon.kill();
  between();
  await daemon.start();
  client = await daemon.connect();
}

/** What is on the machine's disk, whatever state it was left in; it runs afterwards. */
async function settledMark(): Promise<string> {
  const { state } = await client.call('workspace_info', { workspace_id: machine });
  if (state === 'paused') await client.call('workspace_resume', { workspace_id: machine });
  if (state === 'stopped') await client.call('workspace_start', { workspace_id: machine });
  return await sh(client, machine, 'cat /workspace/mark');
}

const draw = (): Promise<string[]> => drawTree(client, machine);
const inJournal = (kind: string): boolean =>
  rows(daemon.paths, 'SELECT 1 FROM journal WHERE kind = ?', kind).length > 0;
const stateIs = (state: string): boolean =>
  rows(daemon.paths, 'SELECT 1 FROM workspace WHERE name = ? AND state = ?', machine, state)
    .length > 0;
const count = (directory: string, ending = ''): number => {
  const place = path.join(daemon.paths.state, directory);
  return existsSync(place) ? readdirSync(place).filter((name) => name.endsWith(ending)).length : 0;
};

/** A moment of an operation, recognised by what it has left in the store by then. */
type Moment = () => () => boolean;
const after =
  (milliseconds: number): Moment =>
  () => {
    const end = performance.now() + milliseconds;
    return () => performance.now() >= end;
  };
const onceInJournal =
  (kind: string): Moment =>
  () =>
  () =>
    inJournal(kind);
const moreFiles =
  (directory: string, ending?: string): Moment =>
  () => {
    const before = count(directory, ending);
    return () => count(directory, ending) > before;
  };
const onceState =
  (state: string): Moment =>
  () =>
  () =>
    stateIs(state);

const onceImplicit: Moment = () => () =>
  rows(daemon.paths, 'SELECT 1 FROM snapshot WHERE implicit = 1').length > 0;

/** Runs `act` and does `harm` at the moment; resolves when both are over. @returns whether it had answered */
async function interrupted(
  act: () => Promise<unknown>,
  moment: Moment,
  harm: () => Promise<void>,
): Promise<boolean> {
  const reached = moment();
  let over = false;
  let answered = false;
  const acting = act().then(
    () => {
      over = true;
      answered = true;
    },
    () => {
      over = true;
    },
  );
  while (!over && !reached()) await soon();
  await harm();
  await acting;
  return answered;
}

const killDaemon = async (): Promise<void> => {
  await daemon.kill();
};

async function restart(): Promise<void> {
  await daemon.start();
  client = await daemon.connect();
}

describe('a daemon killed with -9', () => {
  const freezing: [string, Moment][] = [
    ['at once', after(0)],
    ['when it has written it down', onceInJournal('freeze')],
    ['when the next disk is there', moreFiles('disks')],
    ['while it waits for the guest', after(40)],
    ['later', after(90)],
    ['later still', after(180)],
  ];
  const takingMemory: [string, Moment][] = [
    ...freezing,
    ['while it writes memory', moreFiles('memory', '.partial')],
    ['when memory is written', moreFiles('memory', '.memory')],
  ];

  async function expectSnapshotOrNone(
    name: string,
    answered: boolean,
    before: string[],
  ): Promise<void> {
    const now = await draw();
    if (answered || now.length > before.length) {
      expect(now.map((line) => line.replace(/[<*].*/, ''))).toContain(name);
      expect(await settledMark()).toBe('work');
      await expectSound(daemon, client);
      await client.call('snapshot_delete', { workspace_id: machine, name });
    }
    expect(await draw()).toEqual(before);
    expect(await settledMark()).toBe('work');
    await expectSound(daemon, client);
  }

  it.each(freezing)(
    'in a snapshot of the disk, %s, leaves all of it or nothing',
    async (_at, moment) => {
      const before = await draw();
      const act = () => client.call('snapshot_create', { workspace_id: machine, name: 'new' });
      const answered = await interrupted(act, moment, killDaemon);
      await restart();
      await expectSnapshotOrNone('new', answered, before);
    },
  );

  it.each(takingMemory)(
    'in a snapshot with memory, %s, leaves all of it or nothing',
    async (_at, moment) => {
      const before = await draw();
      const act = () =>
        client.call('snapshot_create', {
          workspace_id: machine,
          name: 'new',
          include_memory: true,
        });
      const answered = await interrupted(act, moment, killDaemon);
      await restart();
      await expectSnapshotOrNone('new', answered, before);
    },
  );

  it.each<[string, 'base' | 'live', Moment]>([
    ['when it has written it down', 'base', onceInJournal('restore')],
    ['while the machine is stopping', 'base', onceState('stopping')],
    ['when the disk has been changed', 'base', onceState('stopped')],
    ['while it starts', 'base', onceState('starting')],
    ['while it boots', 'base', after(400)],
    ['while it starts from memory', 'live', onceState('starting')],
    ['while it continues from memory', 'live', after(150)],
  ])('in a restore, %s, leaves the machine on one of the two', async (_at, name, moment) => {
    const before = await draw();
    const act = () => client.call('snapshot_restore', { workspace_id: machine, name });
    const answered = await interrupted(act, moment, killDaemon);
    await restart();
    const now = await draw();
    const restored = now.includes(name === 'base' ? 'base*' : 'live<base*');
    if (answered) expect(restored).toBe(true);
    expect(now.map((line) => line.replace('*', ''))).toEqual(
      before.map((line) => line.replace('*', '')),
    );
    // Both snapshots hold the same; what was written since is there only without the restore.
    const text = await settledMark();
    expect(restored ? ['base', 'work'] : ['work']).toContain(text);
    if (text === 'base') expect(restored).toBe(true);
    await expectSound(daemon, client);
    await client.call('snapshot_restore', { workspace_id: machine, name: 'live' });
    expect(await settledMark()).toBe('base');
    await mark('work');
  });

  it.each<[string, string | undefined, Moment]>([
    ['when the present state is being frozen', undefined, onceInJournal('freeze')],
    ['when it is frozen', undefined, onceImplicit],
    ['when the first copy is begun', undefined, onceInJournal('create')],
    ['while the copies start', undefined, after(150)],
    ['later', undefined, after(350)],
    ['while copies of a snapshot start', 'live', onceInJournal('create')],
  ])('in a fork, %s, leaves whole copies and nothing else', async (_at, snapshot_name, moment) => {
    const before = await draw();
    const act = () =>
      client.call('workspace_fork', {
        workspace_id: machine,
        count: 2,
        name_prefix: 'copy',
        ...(snapshot_name === undefined ? {} : { snapshot_name }),
      });
    await interrupted(act, moment, killDaemon);
    await restart();
    expect(await settledMark()).toBe('work');
    for (const { name } of await client.call('workspace_list', {})) {
      if (name === machine) continue;
      expect(await sh(client, name, 'cat /workspace/mark; uname -n')).toBe(
        `${snapshot_name === undefined ? 'work' : 'base'}\n${name}`,
      );
      await client.call('workspace_destroy', { workspace_id: name });
    }
    expect(await draw()).toEqual(before);
    await expectSound(daemon, client);
  });

  it.each([0, 1, 2, 4])(
    'in a delete, after %i ms, deletes all of it or nothing',
    async (milliseconds) => {
      for (const name of ['x', 'y']) {
        await client.call('snapshot_create', {
          workspace_id: machine,
          name,
          include_memory: name === 'x',
        });
      }
      const act = () => client.call('snapshot_delete', { workspace_id: machine, name: 'x' });
      const answered = await interrupted(act, after(milliseconds), killDaemon);
      await restart();
      const now = await draw();
      if (answered) expect(now).not.toContain('x<live');
      expect(now.slice(-1)[0]).toBe(now.includes('x<live') ? 'y<x*' : 'y<live*');
      expect(await settledMark()).toBe('work');
      await expectSound(daemon, client);
      for (const name of ['x', 'y']) {
        await client
          .call('snapshot_delete', { workspace_id: machine, name })
          .catch(() => undefined);
      }
    },
  );

  it.each<[string, Moment]>([
    ['when it has written it down', onceInJournal('suspend')],
    ['while it writes memory', moreFiles('memory', '.partial')],
    ['when memory is written', moreFiles('memory', '.memory')],
    ['when it counts as suspended', onceState('suspended')],
  ])('in a suspend, %s, leaves a machine that runs or one that wakes', async (_at, moment) => {
    await sh(client, machine, 'echo run > /run/state');
    const act = () => client.call('workspace_suspend', { workspace_id: machine });
    await interrupted(act, moment, killDaemon);
    await restart();
    expect(await sh(client, machine, 'cat /run/state /workspace/mark')).toBe('run\nwork');
    await expectSound(daemon, client);
  });

  it.each<[string, Moment, boolean]>([
    ['when it has written it down', onceInJournal('resume'), true],
    ['when the machine is starting', onceState('starting'), true],
    ['later', after(200), true],
  ])('in a resume, %s, loses nothing that was written', async (_at, moment) => {
    await sh(client, machine, 'echo run > /run/state');
    await client.call('workspace_suspend', { workspace_id: machine });
    const act = () => client.call('workspace_resume', { workspace_id: machine });
    await interrupted(act, moment, killDaemon);
    await restart();
    expect(await settledMark()).toBe('work');
    expect(await sh(client, machine, 'cat /run/state')).toBe('run');
    await expectSound(daemon, client);
  });
});

describe('a monitor killed with -9', () => {
  const killMonitor = (): Promise<void> => {
    for (const pid of daemon.machines()) process.kill(pid, 'SIGKILL');
    return Promise.resolve();
  };
  afterEach(async () => {
    // The daemon needs a moment to see that the machine has gone.
    await expect.poll(() => settledMark().catch(() => undefined), { timeout: 30_000 }).toBe('work');
    await expectSound(daemon, client);
  });

  it.each([20, 60, 120])(
    'in a snapshot with memory, after %i ms, leaves all of it or nothing',
    async (milliseconds) => {
      const before = await draw();
      const act = () =>
        client.call('snapshot_create', {
          workspace_id: machine,
          name: 'new',
          include_memory: true,
        });
      await interrupted(act, after(milliseconds), killMonitor);
      await client
        .call('snapshot_delete', { workspace_id: machine, name: 'new' })
        .catch(() => undefined);
      expect(await draw()).toEqual(before);
    },
  );

  it.each([20, 60])(
    'in a fork, after %i ms, fails what has died and nothing else',
    async (milliseconds) => {
      const before = await draw();
      const act = () => client.call('workspace_fork', { workspace_id: machine, new_name: 'copy' });
      await interrupted(act, after(milliseconds), killMonitor);
      await client.call('workspace_destroy', { workspace_id: 'copy' }).catch(() => undefined);
      expect(await draw()).toEqual(before);
    },
  );

  it.each([10, 100])(
    'in a suspend, after %i ms, leaves a stopped or suspended machine',
    async (milliseconds) => {
      const act = () => client.call('workspace_suspend', { workspace_id: machine });
      await interrupted(act, after(milliseconds), killMonitor);
    },
  );

  it('in a resume leaves a machine that boots from its disk', async () => {
    await client.call('workspace_suspend', { workspace_id: machine });
    const act = () => client.call('workspace_resume', { workspace_id: machine });
    await interrupted(act, onceState('starting'), killMonitor);
  });

  it('in a restore leaves the disk restored', async () => {
    const act = () => client.call('snapshot_restore', { workspace_id: machine, name: 'live' });
    await interrupted(act, onceState('starting'), killMonitor);
    expect(await draw()).toContain('live<base*');
    expect(await settledMark()).toBe('base');
    await mark('work');
  });
});

describe('what was altered behind the back of the daemon', () => {
  const restore = (more: { boot?: boolean } = {}) =>
    client.call('snapshot_restore', { workspace_id: machine, name: 'live', ...more });
  const memoryOfLive = (): string =>
    String(
      rows(daemon.paths, "SELECT memory_id FROM snapshot WHERE name = 'live'")[0]?.['memory_id'],
    );

  it.each<[string, string, (file: string) => void, (file: string) => void]>([
    ['memory', 'memory_corrupt', flipByte, flipByte],
    [
      'memory that is gone',
      'memory_missing',
      (file) => renameSync(file, `${file}.away`),
      (file) => renameSync(`${file}.away`, file),
    ],
  ])('%s is refused as %s, the machine untouched; it can boot', async (_what, code, harm, heal) => {
    const file = memoryFile(daemon.paths, memoryOfLive());
    await newDaemon(() => harm(file));
    for (const refused of [
      restore(),
      client.call('workspace_fork', { workspace_id: machine, snapshot_name: 'live' }),
    ]) {
      expect(await refusal(refused)).toMatchObject({ code, next: expect.stringMatching(/boot/) });
    }
    expect(await sh(client, machine, 'cat /workspace/mark')).toBe('work');
    const { ok, problems } = await client.call('storage_verify', {});
    expect(ok).toBe(false);
    expect(problems).toMatchObject([{ subject: 'memory of w@live' }]);
    expect(await restore({ boot: true })).toMatchObject({ state: 'running', resumed: false });
    expect(await settledMark()).toBe('base');
    await mark('work');
    heal(file);
    await expectSound(daemon, client);
  });

  it.each(['QEMU', 'guest kernel', 'guest agent'])(
    'memory of another %s is refused as snapshot_incompatible; the machine can boot',
    async (what) => {
      const binding = String(rows(daemon.paths, 'SELECT binding FROM memory')[0]?.['binding']);
      const known = JSON.parse(binding) as Record<string, string>;
      expect(known).toHaveProperty([what]);
      const other = JSON.stringify({ ...known, [what]: 'version 0.1' });
      await newDaemon(() => void alter(daemon.paths, 'UPDATE memory SET binding = ?', other));
      const error = await refusal(restore());
      expect(error).toMatchObject({
        code: 'snapshot_incompatible',
        message: expect.stringContaining(`${what} was version 0.1`),
        next: expect.stringMatching(/--boot/),
      });
      expect(await sh(client, machine, 'cat /workspace/mark')).toBe('work');
      const forked = client.call('workspace_fork', {
        workspace_id: machine,
        snapshot_name: 'live',
      });
      expect((await refusal(forked)).code).toBe('snapshot_incompatible');
      expect(await restore({ boot: true })).toMatchObject({ state: 'running', resumed: false });
      await newDaemon(() => void alter(daemon.paths, 'UPDATE memory SET binding = ?', binding));
      await mark('work');
    },
  );

  it('a machine that was booted before an update is not suspended: it could not go on', async () => {
    const guest = String(rows(daemon.paths, 'SELECT guest FROM machine_run')[0]?.['guest']);
    const older = JSON.stringify({ ...JSON.parse(guest), 'guest agent': 'version 0.1' });
    await newDaemon(() => void alter(daemon.paths, 'UPDATE machine_run SET guest = ?', older));
    const suspended = client.call('workspace_suspend', { workspace_id: machine });
    expect((await refusal(suspended)).code).toBe('snapshot_incompatible');
    expect(await sh(client, machine, 'cat /workspace/mark')).toBe('work');
    await newDaemon(() => void alter(daemon.paths, 'UPDATE machine_run SET guest = ?', guest));
  });

  it.each<[string, string, (file: string) => void, (file: string) => void]>([
    ['a layer', 'layer_corrupt', flipByte, flipByte],
    [
      'a layer that is gone',
      'layer_missing',
      (file) => renameSync(file, `${file}.away`),
      (file) => renameSync(`${file}.away`, file),
    ],
  ])('%s is refused as %s, and named by verify', async (_what, code, harm, heal) => {
    // Digests are known afterwards: with one, a file that is put back is good again.
    await client.call('storage_gc', {});
    const [row] = rows(
      daemon.paths,
      "SELECT locator FROM layer, snapshot WHERE snapshot.layer_id = layer.id AND snapshot.name = 'base'",
    );
    const file = path.join(daemon.paths.state, String(row?.['locator']));
    harm(file);
    expect(await refusal(restore({ boot: true }))).toMatchObject({
      code,
      next: expect.any(String),
    });
    const fork = client.call('workspace_fork', { workspace_id: machine, snapshot_name: 'base' });
    expect((await refusal(fork)).code).toBe(code);
    const { problems } = await client.call('storage_verify', {});
    expect(problems.map(({ subject }) => subject)).toContainEqual(
      expect.stringContaining('w@base'),
    );
    // It runs on what it has open.
    expect(await sh(client, machine, 'cat /workspace/mark')).toBe('work');
    heal(file);
    await client.call('storage_gc', {});
    expect(await restore({ boot: true })).toMatchObject({ state: 'running' });
    expect(await settledMark()).toBe('base');
    await mark('work');
    await expectSound(daemon, client);
  });
});
