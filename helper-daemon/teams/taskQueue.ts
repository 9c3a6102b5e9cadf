/**
 * Runs the tasks of members in their machines, a few at a time. The rows say how far each has come and the
 * machines keep their jobs without us, so a daemon that starts goes on where the one before it was.
 */
import { teamLimits } from '../../protocol/operations/team.ts';
import type { TaskRecord } from '../store/teamMailStore.ts';
import { canBegin, runTask } from './taskRun.ts';
import type { TeamServices } from './teamServices.ts';

export interface TaskQueue {
  /** There may be something to do for this member: a task, or its machine runs again. */
  wake(teamId: string, member: string): void;
  /** Goes on with whatever has not ended. */
  resume(): void;
  /** Lets go of the tasks of a team; their rows stay. Resolves when nothing is done for it any more. */
  stop(teamId: string): Promise<void>;
  close(): Promise<void>;
}

interface Active {
  readonly teamId: string;
  readonly member: string;
  readonly stopped: AbortController;
  done: Promise<void>;
}

export function taskQueue(services: TeamServices): TaskQueue {
  const { store, mail, jobs, log } = services;
  /** By id of the task. */
  const active = new Map<number, Active>();
  let closed = false;

  function wake(teamId: string, member: string): void {
    if (closed || store.byId(teamId)?.state !== 'ready') return;
    const row = store.member(teamId, member);
    if (row === undefined) return;
    const { workspaceId } = row;
    const begins = workspaceId === null || canBegin(jobs.state(workspaceId));
    // Those that have begun come first: as long as they are as many, nothing else does.
    for (const task of mail.unfinished(teamId, member, teamLimits.tasksAtOnce)) {
      if (active.has(task.id) || (task.state === 'queued' && !begins)) continue;
      begin(task, workspaceId);
    }
  }

  function begin(task: TaskRecord, workspaceId: string | null): void {
    const { id, teamId, member } = task;
    const one: Active = {
      teamId,
      member,
      stopped: new AbortController(),
      done: Promise.resolve(),
    };
    active.set(id, one);
    one.done = runTask(services, task, workspaceId, one.stopped.signal).then(
      () => {
        active.delete(id);
        if (!one.stopped.signal.aborted) wake(teamId, member);
      },
      (error: unknown) => {
        active.delete(id);
        // Its row says how far it has come: the next wake, or the next daemon, goes on with it.
        log.error({ task: id, err: error }, 'task let go of');
      },
    );
  }

  async function letGo(some: readonly Active[]): Promise<void> {
    for (const { stopped } of some) stopped.abort();
    await Promise.all(some.map(({ done }) => done));
  }

  return {
    wake,
    resume() {
      for (const { teamId, member } of mail.busyMembers()) wake(teamId, member);
    },
    stop: (teamId) => letGo([...active.values()].filter((one) => one.teamId === teamId)),
    async close() {
      closed = true;
      await letGo([...active.values()]);
    },
  };
}
