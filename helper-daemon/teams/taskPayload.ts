/** From the content of a `task_assignment` to what is to be run. */
import { describeIssues } from '../../protocol/issues.ts';
import { taskAssignment, type TaskAssignment } from '../../protocol/operations/team.ts';
import type { TaskResult } from '../store/teamMailStore.ts';

/** Seconds. */
export const defaultTaskTimeout = 300;

/** What a sender gets whose assignment nobody can run. */
export function parseAssignment(content: string): TaskAssignment | TaskResult {
  let value: unknown;
  try {
    value = withoutNulls(JSON.parse(content));
  } catch (error) {
    return invalid(error instanceof Error ? error.message : String(error));
  }
  const parsed = taskAssignment.safeParse(value);
  return parsed.success ? parsed.data : invalid(describeIssues(parsed.error));
}

export function isAssignment(parsed: TaskAssignment | TaskResult): parsed is TaskAssignment {
  return 'task_id' in parsed;
}

function invalid(why: string): TaskResult {
  return {
    taskId: 'unknown',
    exitCode: -2,
    stdout: '',
    stderr: `This is no task assignment (JSON with task_id and command, perhaps workdir, env and timeout_secs): ${why}`,
    elapsedSecs: 0,
    timedOut: false,
  };
}

/** Clients write null for "not given". */
function withoutNulls(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== null));
}
