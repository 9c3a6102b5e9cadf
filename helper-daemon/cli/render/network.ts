import type { OutputOf } from '../../../protocol/operations.ts';
import type {
  ListeningPort,
  NetworkPolicyView,
  PortForward,
} from '../../../protocol/operations/networkModel.ts';
import { printable } from '../text/printable.ts';
import type { Style } from '../text/style.ts';
import { renderPairs, renderTable } from '../text/table.ts';
import { formatBytes, formatRoundAge } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

export function internetText({ internet, allow }: NetworkPolicyView): string {
  switch (internet) {
    case 'off':
      return 'off';
    case 'full':
      return ['every public address', ...allow].join(', ');
    case 'list':
      return allow.length === 0 ? 'list, which is empty' : `only ${allow.join(', ')}`;
  }
}

/** Null where there are none. */
export function forwardsText(forwards: readonly PortForward[]): string | null {
  return forwards.length === 0 ? null : forwards.map(forwardText).join(', ');
}

function forwardText({ bind, host_port, guest_port }: PortForward): string {
  return `${bind}:${String(host_port)} → ${String(guest_port)}`;
}

function policyPairs(policy: NetworkPolicyView): (readonly [string, string | null])[] {
  return [
    ['Internet', internetText(policy)],
    ['Other machines', policy.allow_inter_vm ? 'those that allow it too' : 'none'],
    ['Team', policy.team],
    ['Open to others', policy.allowed_ports.length === 0 ? null : policy.allowed_ports.join(', ')],
    ['Bandwidth', policy.bandwidth_mbit === 0 ? null : `${String(policy.bandwidth_mbit)} Mbit/s`],
  ];
}

export function renderPolicyChanged(
  { workspace_id, network_policy }: OutputOf<'network_policy'>,
  { style }: RenderContext,
): string {
  const facts = renderPairs(policyPairs(network_policy), style);
  return `${style.bold(workspace_id)} may reach from now on:\n${facts}`;
}

export function renderInfo(info: OutputOf<'network_info'>, context: RenderContext): string {
  const { style } = context;
  const traffic = (bytes: number, packets: number): string =>
    `${formatBytes(bytes)}, ${String(packets)} packets`;
  return renderPairs(
    [
      ['Name', style.bold(info.name)],
      ['Address', `${info.address}, MAC ${info.mac}`],
      ['Gateway', `${info.gateway} (router and name server)`],
      ['Mode', info.mode === 'bridge' ? 'bridge on this host' : 'user: no device on this host'],
      ...policyPairs(info.network_policy),
      ['Sent', traffic(info.sent_bytes, info.sent_packets)],
      ['Received', traffic(info.received_bytes, info.received_packets)],
      ['Denied', `${String(info.denied_packets)} packets`],
      ['Forwards', forwardsText(info.port_forwards)],
      ['Listening', info.listening.length === 0 ? null : info.listening.map(listenText).join(', ')],
    ],
    style,
  );
}

function listenText({ port, process }: ListeningPort): string {
  return process === '' ? String(port) : `${String(port)} (${printable(process)})`;
}

export function renderLog(entries: OutputOf<'network_log'>, { style, now }: RenderContext): string {
  if (entries.length === 0) return 'Nothing was denied in the last hour.';
  return renderTable(
    [
      { title: 'LAST' },
      { title: 'TRIED' },
      { title: 'PROTOCOL' },
      { title: 'TIMES', align: 'right' },
      { title: 'WHY NOT' },
    ],
    entries.map((entry) => [
      `${formatRoundAge(entry.last_at, now)} ago`,
      printable(entry.destination) + (entry.port === null ? '' : `:${String(entry.port)}`),
      entry.protocol,
      String(entry.count),
      entry.reason,
    ]),
    style,
  );
}

export function renderForwardAdded(
  forward: OutputOf<'port_forward_add'>,
  { style }: RenderContext,
): string {
  const host = forward.bind === '0.0.0.0' ? 'localhost' : forward.bind;
  const where = style.bold(`${host}:${String(forward.host_port)}`);
  const everywhere = forward.bind === '0.0.0.0' ? ', on every address of this host' : '';
  return `${where} leads to port ${String(forward.guest_port)} of ${forward.workspace_id}${everywhere}.`;
}

export function renderForwardRemoved({
  workspace_id,
  guest_port,
  removed,
}: OutputOf<'port_forward_remove'>): string {
  return removed === 0
    ? `Nothing led to port ${String(guest_port)} of ${workspace_id}.`
    : `Nothing leads to port ${String(guest_port)} of ${workspace_id} any more.`;
}

export function renderPorts(rows: OutputOf<'port_forward_list'>, { style }: RenderContext): string {
  if (rows.length === 0) return 'No port is forwarded, and nothing listens.';
  return renderTable(
    [
      { title: 'MACHINE' },
      { title: 'PORT', align: 'right' },
      { title: 'REACHED AT' },
      { title: 'LISTENING' },
    ],
    rows.map(({ name, guest_port, forward, listening }) => [
      style.bold(name),
      String(guest_port),
      reachedAt(forward, style),
      listening === null
        ? style.dim('nothing')
        : printable(
            listening.process === ''
              ? listening.address
              : `${listening.process} on ${listening.address}`,
          ),
    ]),
    style,
  );
}

function reachedAt(forward: PortForward | null, style: Style): string {
  if (forward === null) return style.dim('not forwarded');
  const where = `${forward.bind}:${String(forward.host_port)}`;
  return forward.problem === null ? where : `${where} ${style.bad(forward.problem)}`;
}
