import type { OutputOf } from '../../../protocol/operations.ts';
import { printable, printableLines } from '../text/printable.ts';
import type { Style } from '../text/style.ts';
import { renderPairs, renderTable } from '../text/table.ts';
import { formatRoundAge } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

type Status = OutputOf<'team_status'>;
type Received = OutputOf<'team_receive'>;

function count(amount: number, one: string): string {
  return `${String(amount)} ${one}${amount === 1 ? '' : 's'}`;
}

export function renderCreated(
  { name, members }: OutputOf<'team_create'>,
  { style }: RenderContext,
): string {
  const rows = members.map((member) => [
    style.bold(`${name}.${member.name}`),
    member.workspace_name,
    member.workspace_id,
  ]);
  const table = renderTable(
    [{ title: 'MEMBER' }, { title: 'MACHINE' }, { title: 'ID' }],
    rows,
    style,
  );
  return `Team ${style.bold(name)} is ready.\n${table}`;
}

export function renderDestroyed(
  { name, destroyed, left }: OutputOf<'team_destroy'>,
  { style }: RenderContext,
): string {
  const gone = `Team ${style.bold(name)} is gone, ${count(destroyed, 'machine')} with it.`;
  if (left.length === 0) return gone;
  return `${gone}\nSomebody else had taken over ${left.join(', ')}: left as it is.`;
}

export function renderList(
  { teams }: OutputOf<'team_list'>,
  { style, now }: RenderContext,
): string {
  if (teams.length === 0) return 'There are no teams.';
  return renderTable(
    [
      { title: 'TEAM' },
      { title: 'STATE' },
      { title: 'MEMBERS', align: 'right' },
      { title: 'MOST', align: 'right' },
      { title: 'PART OF' },
      { title: 'OWNER' },
      { title: 'AGE' },
    ],
    teams.map((team) => [
      style.bold(team.name),
      stateText(team.state, style),
      String(team.member_count),
      String(team.max_vms),
      team.parent_team ?? '',
      team.owner,
      formatRoundAge(team.created_at, now),
    ]),
    style,
  );
}

function stateText(state: string, style: Style): string {
  if (state === 'Ready') return style.good(state);
  return state === 'Failed' ? style.bad(state) : style.warn(state);
}

export function renderStatus(team: Status, { style, now }: RenderContext): string {
  const facts = renderPairs(
    [
      ['Team', style.bold(team.name)],
      ['State', stateText(team.state, style)],
      ['Part of', team.parent_team],
      ['Owner', team.owner],
      ['Most machines', String(team.max_vms)],
      ['Age', formatRoundAge(team.created_at, now)],
      ['Problem', team.problem === null ? null : style.bad(printable(team.problem))],
    ],
    style,
  );
  const members = renderTable(
    [
      { title: 'MEMBER' },
      { title: 'ROLE' },
      { title: 'STATUS' },
      { title: 'MACHINE' },
      { title: 'ADDRESS' },
      { title: 'WAITING' },
    ],
    team.members.map((member) => [
      style.bold(member.name),
      printable(member.role),
      stateText(member.agent_status, style),
      `${member.workspace_name} (${member.workspace_state})`,
      member.ip ?? style.dim('none'),
      waitingText(member),
    ]),
    style,
  );
  return `${facts}\n\n${members}`;
}

function waitingText(member: Status['members'][number]): string {
  const parts = [
    member.unread_messages === 0 ? '' : count(member.unread_messages, 'message'),
    member.pending_tasks === 0
      ? ''
      : `${count(member.pending_tasks, 'task')}, ${String(member.running_tasks)} running`,
    member.unread_results === 0 ? '' : count(member.unread_results, 'result'),
  ];
  return parts.filter((part) => part !== '').join('; ');
}

export function renderSent({ to, recipients, note }: OutputOf<'team_message'>): string {
  const whom = to === '*' ? recipients.join(', ') || 'nobody: it has no other members' : to;
  return note === undefined ? `Sent to ${whom}.` : `Sent to ${whom}. ${note}`;
}

export function renderReceived(received: Received, { style }: RenderContext): string {
  const { agent, messages, daemon_results, daemon_pending_tasks, remaining } = received;
  const parts = [
    ...messages.map((message) => messageText(message, style)),
    ...daemon_results.map((result) => resultText(result, style)),
    ...(daemon_pending_tasks === 0
      ? []
      : [`${count(daemon_pending_tasks, 'task')} of ${agent} not ended yet.`]),
    ...(remaining === 0 ? [] : [`${String(remaining)} more: receive again.`]),
  ];
  return parts.length === 0 ? `Nothing waits for ${agent}.` : parts.join('\n\n');
}

function messageText(message: Received['messages'][number], style: Style): string {
  const { from, message_type, timestamp, content } = message;
  const kind = message_type === 'text' ? '' : ` (${printable(message_type)})`;
  return `${style.bold(from)}${kind} ${style.dim(timestamp)}\n${printableLines(content)}`;
}

function resultText(result: Received['daemon_results'][number], style: Style): string {
  const end = result.timed_out ? 'timed out' : `exit code ${String(result.exit_code)}`;
  const mark = result.success ? style.good('done') : style.bad(end);
  const streams = [result.stdout, result.stderr].filter((text) => text !== '');
  const head = `Task ${style.bold(printable(result.task_id))} ${mark} after ${String(result.elapsed_secs)} s`;
  return [head, ...streams.map((text) => printableLines(text).trimEnd())].join('\n');
}
