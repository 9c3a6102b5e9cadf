import { expect, it } from 'vitest';
import { runStore } from '../../../helper-daemon/store/runStore.ts';
import { workspaceStore } from '../../../helper-daemon/store/workspaceStore.ts';
import { temporaryDatabase, workspaceRow } from './temporaryDatabase.ts';

const test = temporaryDatabase();

it('keeps what is known of a run until the workspace goes', () => {
  const workspaces = workspaceStore(test.db);
  const runs = runStore(test.db);
  workspaces.insert(workspaceRow('1'));
  const run = {
    workspaceId: '1',
    runId: 'r',
    channelKey: 'k',
    transport: { kind: 'vsock', cid: 7 },
    accelerator: 'tcg',
    guest: { 'guest kernel': '6.1' },
    startedAt: 'now',
  } as const;
  runs.insert(run);
  expect(runs.of('1')).toEqual(run);
  const process = { pid: 5, startTime: '99', executable: '/usr/bin/qemu' };
  runs.setProcess('r', process);
  test.reopen();
  expect(runStore(test.db).of('1')).toEqual({ ...run, process });
  workspaceStore(test.db).remove('1');
  expect(runStore(test.db).all()).toEqual([]);
});
