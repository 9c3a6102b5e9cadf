import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { leftovers, startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterEach(async () => {
  await daemon.clean();
});
afterAll(async () => {
  await daemon.dispose();
});

describe('a daemon killed with -9', () => {
  it('finds its machines running and reachable, with their jobs', async () => {
    const before = await daemon.connect();
    const created = await before.call('workspace_create', { name: 'survivor' });
    const job = await before.call('process_start', {
      workspace_id: 'survivor',
      command: 'echo begun; sleep 600',
    });
    const running = before.call('exec', { workspace_id: 'survivor', command: 'sleep 30' });
    running.catch(() => undefined);
    await delay(200);
    const [pid] = daemon.machines();

    await daemon.kill();
    await expect(running).rejects.toMatchObject({ code: 'outcome_unknown' });
    await daemon.start();

    const after = await daemon.connect();
    expect(await after.call('workspace_list', {})).toMatchObject([
      { workspace_id: created.workspace_id, state: 'running', problem: null },
    ]);
    expect(daemon.machines()).toEqual([pid]);
    const echoed = await after.call('exec', { workspace_id: 'survivor', command: 'echo alive' });
    expect(echoed.stdout).toBe('alive\n');
    const kept = await after.call('process_get', { workspace_id: 'survivor', job_id: job.job_id });
    expect(kept).toMatchObject({ running: true, stdout: 'begun\n' });
    const others = await after.call('process_list', { workspace_id: 'survivor' });
    expect(others.filter((process) => process.command === 'sleep 30' && process.running)).toEqual(
      [],
    );
    await after.call('workspace_destroy', { workspace_id: 'survivor' });
  });

  it.each([0, 30, 120, 400, 600, 1200])(
    'leaves nothing, or a whole machine, of a create it was killed in after %i ms',
    async (milliseconds) => {
      const client = await daemon.connect();
      let answered = false;
      client.call('workspace_create', { name: 'made' }).then(
        () => (answered = true),
        () => undefined,
      );
      await delay(milliseconds);
      const hadToBeThere = answered;
      await daemon.kill();
      await daemon.start();
      const after = await daemon.connect();
      const found = await after.call('workspace_list', {});
      // It may have been finished just before; then it must be a machine that works.
      if (hadToBeThere || found.length > 0) {
        expect(found).toMatchObject([{ name: 'made', state: 'running', problem: null }]);
        const ran = await after.call('exec', { workspace_id: 'made', command: 'echo whole' });
        expect(ran.stdout).toBe('whole\n');
      } else {
        expect(daemon.machines()).toEqual([]);
        expect(leftovers(daemon.paths)).toEqual([]);
      }
      after.close();
    },
  );

  it.each([0, 5, 40, 300])(
    'finishes a stop and a destroy it was killed in after %i ms',
    async (milliseconds) => {
      const client = await daemon.connect();
      await client.call('workspace_create', { name: 'ending' });
      client.call('workspace_stop', { workspace_id: 'ending' }).catch(() => undefined);
      await delay(milliseconds);
      await daemon.kill();
      await daemon.start();
      const again = await daemon.connect();
      const [record] = await again.call('workspace_list', {});
      expect(['running', 'stopped']).toContain(record?.state);
      expect(daemon.machines()).toHaveLength(record?.state === 'running' ? 1 : 0);
      again.call('workspace_destroy', { workspace_id: 'ending' }).catch(() => undefined);
      await delay(milliseconds);
      await daemon.kill();
      await daemon.start();
      const last = await daemon.connect();
      for (const { workspace_id } of await last.call('workspace_list', {})) {
        await last.call('workspace_destroy', { workspace_id });
      }
      expect(daemon.machines()).toEqual([]);
      expect(leftovers(daemon.paths)).toEqual([]);
      last.close();
    },
  );

  it('removes a machine whose owner asked for an ephemeral one', async () => {
    const client = await daemon.connect();
    await client.call('workspace_create', { name: 'leased', ephemeral: true });
    await daemon.kill();
    await daemon.start();
    const after = await daemon.connect();
    expect(await after.call('workspace_list', {})).toEqual([]);
    expect(daemon.machines()).toEqual([]);
  });
});
