/** Rows of what waits for the members of teams: messages, tasks, results of tasks. */
import type { TaskAssignment } from '../../protocol/operations/team.ts';
import type { Database } from './database.ts';

export interface MessageRecord {
  readonly messageId: string;
  readonly sender: string;
  readonly recipient: string;
  readonly content: string;
  readonly type: string;
  readonly createdAt: string;
}

/**
 * `queued`: not begun. `starting`: the machine may have been asked to run it. `running`: it runs as a job.
 * `ended`: the result waits to be received.
 */
export type TaskState = 'queued' | 'starting' | 'running' | 'ended';

export interface TaskResult {
  readonly taskId: string;
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly elapsedSecs: number;
  readonly timedOut: boolean;
}

export interface TaskRecord {
  readonly id: number;
  readonly teamId: string;
  readonly member: string;
  readonly messageId: string;
  readonly state: Exclude<TaskState, 'ended'>;
  readonly assignment: TaskAssignment;
  /** Of its machine; null until it runs. */
  readonly jobId: number | null;
}

/** What waits for one member. */
export interface MailCounts {
  readonly messages: number;
  /** Queued or running. */
  readonly pending: number;
  readonly running: number;
  readonly results: number;
}

export interface TeamMailStore {
  addMessage(teamId: string, message: MessageRecord): void;
  /** Oldest first. */
  messages(teamId: string, recipient: string, limit: number): MessageRecord[];
  removeMessage(teamId: string, recipient: string, messageId: string): void;
  addTask(
    task: Pick<TaskRecord, 'teamId' | 'member' | 'messageId' | 'assignment'>,
    createdAt: string,
  ): void;
  /** One that has ended before it began. */
  addResult(
    task: Pick<TaskRecord, 'teamId' | 'member' | 'messageId'>,
    result: TaskResult,
    createdAt: string,
  ): void;
  /** Of one member: those that have begun and not ended, then the oldest in the queue; no more than `limit`. */
  unfinished(teamId: string, member: string, limit: number): TaskRecord[];
  /** Members that have tasks which have not ended. */
  busyMembers(): { readonly teamId: string; readonly member: string }[];
  setTask(id: number, state: TaskRecord['state'], jobId: number | null): void;
  endTask(id: number, result: TaskResult): void;
  /** With the message each came from, oldest first. */
  results(
    teamId: string,
    member: string,
    limit: number,
  ): { readonly messageId: string; readonly result: TaskResult }[];
  removeResult(teamId: string, member: string, messageId: string): void;
  counts(teamId: string, member: string): MailCounts;
}

type Row = Record<string, unknown>;

export function teamMailStore(db: Database): TeamMailStore {
  const addMessage = db.prepare(
    'INSERT INTO team_message (team_id, recipient, message_id, sender, content, type, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const messages = db.prepare(
    'SELECT * FROM team_message WHERE team_id = ? AND recipient = ? ORDER BY id LIMIT ?',
  );
  const removeMessage = db.prepare(
    'DELETE FROM team_message WHERE team_id = ? AND recipient = ? AND message_id = ?',
  );
  const addTask = db.prepare(
    'INSERT INTO team_task (team_id, member, message_id, state, assignment, result, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const unfinished = db.prepare(
    "SELECT * FROM team_task WHERE team_id = ? AND member = ? AND state <> 'ended' ORDER BY state = 'queued', id LIMIT ?",
  );
  const busyMembers = db.prepare(
    "SELECT DISTINCT team_id, member FROM team_task WHERE state <> 'ended'",
  );
  const setTask = db.prepare('UPDATE team_task SET state = ?, job_id = ? WHERE id = ?');
  const endTask = db.prepare(
    "UPDATE team_task SET state = 'ended', assignment = NULL, result = ? WHERE id = ?",
  );
  const results = db.prepare(
    "SELECT message_id, result FROM team_task WHERE team_id = ? AND member = ? AND state = 'ended' ORDER BY id LIMIT ?",
  );
  const removeResult = db.prepare(
    "DELETE FROM team_task WHERE team_id = ? AND member = ? AND message_id = ? AND state = 'ended'",
  );
  const countMessages = db.prepare(
    'SELECT count(*) AS n FROM team_message WHERE team_id = ? AND recipient = ?',
  );
  const countTasks = db.prepare(
    'SELECT state, count(*) AS n FROM team_task WHERE team_id = ? AND member = ? GROUP BY state',
  );

  return {
    addMessage(teamId, { recipient, messageId, sender, content, type, createdAt }) {
      addMessage.run(teamId, recipient, messageId, sender, content, type, createdAt);
    },
    messages: (teamId, recipient, limit) => messages.all(teamId, recipient, limit).map(toMessage),
    removeMessage(teamId, recipient, messageId) {
      removeMessage.run(teamId, recipient, messageId);
    },
    addTask({ teamId, member, messageId, assignment }, createdAt) {
      const text = JSON.stringify(assignment);
      addTask.run(teamId, member, messageId, 'queued', text, null, createdAt);
    },
    addResult({ teamId, member, messageId }, result, createdAt) {
      const text = JSON.stringify(result);
      addTask.run(teamId, member, messageId, 'ended', null, text, createdAt);
    },
    unfinished: (teamId, member, limit) => unfinished.all(teamId, member, limit).map(toTask),
    busyMembers: () =>
      busyMembers
        .all()
        .map((row) => ({ teamId: String(row['team_id']), member: String(row['member']) })),
    setTask(id, state, jobId) {
      setTask.run(state, jobId, id);
    },
    endTask(id, result) {
      endTask.run(JSON.stringify(result), id);
    },
    results: (teamId, member, limit) =>
      results.all(teamId, member, limit).map((row) => ({
        messageId: String(row['message_id']),
        result: JSON.parse(String(row['result'])) as TaskResult,
      })),
    removeResult(teamId, member, messageId) {
      removeResult.run(teamId, member, messageId);
    },
    counts(teamId, member) {
      const tasks: Partial<Record<TaskState, number>> = {};
      for (const row of countTasks.all(teamId, member)) {
        tasks[row['state'] as TaskState] = Number(row['n']);
      }
      const running = (tasks.starting ?? 0) + (tasks.running ?? 0);
      return {
        messages: Number(countMessages.get(teamId, member)?.['n'] ?? 0),
        pending: (tasks.queued ?? 0) + running,
        running,
        results: tasks.ended ?? 0,
      };
    },
  };
}

function toMessage(row: Row): MessageRecord {
  return {
    messageId: String(row['message_id']),
    sender: String(row['sender']),
    recipient: String(row['recipient']),
    content: String(row['content']),
    type: String(row['type']),
    createdAt: String(row['created_at']),
  };
}

function toTask(row: Row): TaskRecord {
  return {
    id: Number(row['id']),
    teamId: String(row['team_id']),
    member: String(row['member']),
    messageId: String(row['message_id']),
    state: row['state'] as TaskRecord['state'],
    assignment: JSON.parse(String(row['assignment'])) as TaskAssignment,
    jobId: row['job_id'] === null ? null : Number(row['job_id']),
  };
}
