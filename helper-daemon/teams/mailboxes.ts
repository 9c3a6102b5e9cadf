/**
 * Mailboxes: what is sent is on disk, in order, before the sender hears of it, and stays until the recipient
 * has it. A full mailbox refuses; nothing is dropped.
 */
import { randomUUID } from 'node:crypto';
import { CoppiceError } from '../../protocol/errors.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import { teamLimits } from '../../protocol/operations/team.ts';
import type { MessageRecord, TaskResult } from '../store/teamMailStore.ts';
import type { MemberRecord, TeamRecord } from '../store/teamStore.ts';
import type { Caller } from '../workspaces/callers.ts';
import { requireMember, requireOwnTeam, requireReady } from './access.ts';
import { isAssignment, parseAssignment } from './taskPayload.ts';
import type { TaskQueue } from './taskQueue.ts';
import type { TeamServices } from './teamServices.ts';

const taskType = 'task_assignment';
const defaultLimit = 10;
/** Results in one reply: they are small. */
const resultLimit = 100;
/** Of all messages in one reply, as JSON: it must fit into a frame, twice where it travels as text too. */
const replyBytes = 2 * 1024 * 1024;

/** @throws CoppiceError `not_found`, `not_owned`, `wrong_state`; `limit_exceeded` for what does not fit */
export function sendMessage(
  services: TeamServices,
  queue: TaskQueue,
  input: ParsedInputOf<'team_message'>,
  caller: Caller,
): OutputOf<'team_message'> {
  const { store, mail } = services;
  const team = requireOwnTeam(store, input.name, caller);
  requireReady(team);
  const sender = requireMember(store, team, input.agent);
  const recipients =
    input.to === '*'
      ? store.members(team.id).filter(({ name }) => name !== sender.name)
      : [requireMember(store, team, input.to)];
  requireSize(input.content);
  const messageId = randomUUID();
  const createdAt = services.now().toISOString();
  const isTask = input.message_type === taskType;
  services.transaction(() => {
    requireRoom(services, team, recipients, isTask);
    for (const { name } of recipients) {
      if (!isTask) {
        mail.addMessage(team.id, {
          messageId,
          sender: sender.name,
          recipient: name,
          content: input.content,
          type: input.message_type ?? 'text',
          createdAt,
        });
        continue;
      }
      const task = { teamId: team.id, member: name, messageId };
      const parsed = parseAssignment(input.content);
      if (isAssignment(parsed)) mail.addTask({ ...task, assignment: parsed }, createdAt);
      else mail.addResult(task, parsed, createdAt);
    }
  });
  if (isTask) for (const { name } of recipients) queue.wake(team.id, name);
  const note = isTask ? noteOn(services, recipients) : undefined;
  return {
    message_id: messageId,
    status: 'delivered',
    from: sender.name,
    to: input.to,
    recipients: recipients.map(({ name }) => name),
    ...(note === undefined ? {} : { note }),
  };
}

/** @throws CoppiceError `not_found`, `not_owned` */
export function receiveMessages(
  services: TeamServices,
  input: ParsedInputOf<'team_receive'>,
  caller: Caller,
): OutputOf<'team_receive'> {
  const { store, mail } = services;
  const team = requireOwnTeam(store, input.name, caller);
  const { name } = requireMember(store, team, input.agent);
  return services.transaction(() => {
    for (const id of input.ack ?? []) {
      mail.removeMessage(team.id, name, id);
      mail.removeResult(team.id, name, id);
    }
    const messages = fitting(mail.messages(team.id, name, input.limit ?? defaultLimit));
    const results = mail.results(team.id, name, resultLimit);
    const waiting = mail.counts(team.id, name);
    if (input.peek !== true) {
      for (const { messageId } of messages) mail.removeMessage(team.id, name, messageId);
      for (const { messageId } of results) mail.removeResult(team.id, name, messageId);
    }
    return {
      agent: name,
      messages: messages.map(messageView),
      count: messages.length,
      remaining: waiting.messages - messages.length + waiting.results - results.length,
      daemon_results: results.map(({ messageId, result }) => resultView(messageId, result)),
      daemon_pending_tasks: waiting.pending,
    };
  });
}

function requireSize(content: string): void {
  const bytes = Buffer.byteLength(content);
  if (bytes <= teamLimits.messageBytes) return;
  throw new CoppiceError({
    code: 'limit_exceeded',
    message: `The message has ${String(bytes)} bytes; ${String(teamLimits.messageBytes)} (256 KiB) are the most.`,
    next: 'Write it to a file in a machine or to the vault, and send its path.',
    details: { limit: teamLimits.messageBytes, requested: bytes },
  });
}

/** All recipients have room, or nobody gets it: the sender could not tell who has it already. */
function requireRoom(
  { mail }: TeamServices,
  team: TeamRecord,
  recipients: readonly MemberRecord[],
  isTask: boolean,
): void {
  const full = recipients.filter(({ name }) => {
    const { messages, pending, results } = mail.counts(team.id, name);
    return (isTask ? pending + results : messages) >= teamLimits.unread;
  });
  if (full.length === 0) return;
  const names = full.map(({ name }) => name);
  throw new CoppiceError({
    code: 'limit_exceeded',
    message: `The mailbox of ${names.join(', ')} in team ${team.name} is full: ${String(teamLimits.unread)} ${isTask ? 'tasks that have not ended or whose results were not received' : 'messages that were not received'}. Nothing was delivered.`,
    next: 'Let them receive what waits there, then send it again.',
    details: { limit: teamLimits.unread, agents: names },
  });
}

/** What a sender should know who waits for results. */
function noteOn({ jobs }: TeamServices, recipients: readonly MemberRecord[]): string | undefined {
  const waiting = recipients.flatMap(({ name, workspaceId, workspaceName }) => {
    const state = workspaceId === null ? 'gone' : jobs.state(workspaceId);
    if (state === 'gone') return [`${name} cannot run it: its machine is gone.`];
    if (state !== 'stopped' && state !== 'away') return [];
    return [`${name} does not run: the task waits until ${workspaceName} is started.`];
  });
  return waiting.length === 0 ? undefined : waiting.join(' ');
}

/** The first that fit into a reply together; always one. */
function fitting(messages: readonly MessageRecord[]): MessageRecord[] {
  let bytes = 0;
  return messages.filter(({ content }, index) => {
    bytes += Buffer.byteLength(JSON.stringify(content));
    return index === 0 || bytes <= replyBytes;
  });
}

function messageView(message: MessageRecord): OutputOf<'team_receive'>['messages'][number] {
  return {
    message_id: message.messageId,
    from: message.sender,
    to: message.recipient,
    content: message.content,
    message_type: message.type,
    timestamp: message.createdAt,
  };
}

function resultView(
  messageId: string,
  result: TaskResult,
): OutputOf<'team_receive'>['daemon_results'][number] {
  return {
    task_id: result.taskId,
    success: result.exitCode === 0,
    exit_code: result.exitCode,
    stdout: result.stdout,
    stderr: result.stderr,
    elapsed_secs: result.elapsedSecs,
    source_message_id: messageId,
    timed_out: result.timedOut,
  };
}
