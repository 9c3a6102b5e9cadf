import type { OutputOf } from '../../../protocol/operations.ts';
import type {
  WorkspaceState,
  WorkspaceSummary,
} from '../../../protocol/operations/workspaceModel.ts';
import type { ForkedFrom } from '../../../protocol/operations/snapshotModel.ts';
import { printable, printableLines } from '../text/printable.ts';
import type { Style } from '../text/style.ts';
import { renderPairs, renderTable } from '../text/table.ts';
import { count, formatAge, formatBytes, formatDuration, formatTime } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';
import { forwardsText, internetText } from './network.ts';

/** The state of a machine in its colour. */
export function stateText(state: WorkspaceState, style: Style): string {
  if (state === 'running') return style.good(state);
  if (state === 'paused') return style.accent(state);
  return state === 'stopped' || state === 'suspended' ? style.dim(state) : style.warn(state);
}

function sizeText({ resources }: WorkspaceSummary): string {
  const { vcpus, memory_mb, disk_gb } = resources;
  const cpus = `${String(vcpus)} CPU${vcpus === 1 ? '' : 's'}`;
  return `${cpus}, ${formatBytes(memory_mb * 1024 * 1024)} memory, ${String(disk_gb)} GiB disk`;
}

export function renderCreated(
  output: OutputOf<'workspace_create'>,
  { style }: RenderContext,
): string {
  const took = formatDuration(output.boot_time_ms);
  const facts = [output.base_image, sizeText(output)];
  if (output.from_pool) facts.push('was kept ready');
  else if (output.from_template) facts.push('from a template');
  return [
    `${style.bold(output.name)} is ${stateText(output.state, style)} after ${took} (${facts.join(', ')}).`,
    style.dim(`coppice shell ${output.name}`),
  ].join('\n');
}

export function renderList(
  machines: OutputOf<'workspace_list'>,
  { style, now, input }: RenderContext,
): string {
  if (machines.length === 0) {
    const wanted = input['state_filter'];
    return typeof wanted === 'string'
      ? `No machine is ${wanted}.`
      : `There are no machines yet. ${style.dim('coppice create demo')} makes one.`;
  }
  const withIp = machines.some(({ ip }) => ip !== null);
  const withProblem = machines.some(({ problem }) => problem !== null);
  return renderTable(
    [
      { title: 'NAME' },
      { title: 'STATE' },
      ...(withIp ? [{ title: 'IP' }] : []),
      { title: 'IMAGE' },
      { title: 'CPUS', align: 'right' as const },
      { title: 'MEMORY', align: 'right' as const },
      { title: 'DISK', align: 'right' as const },
      { title: 'AGE' },
      { title: 'ID' },
      ...(withProblem ? [{ title: 'PROBLEM' }] : []),
    ],
    machines.map((machine) => [
      style.bold(machine.name),
      stateText(machine.state, style),
      ...(withIp ? [machine.ip ?? '-'] : []),
      machine.base_image,
      String(machine.resources.vcpus),
      formatBytes(machine.resources.memory_mb * 1024 * 1024),
      `${String(machine.resources.disk_gb)} GiB`,
      formatAge(machine.created_at, now) + (machine.ephemeral ? ' (ephemeral)' : ''),
      style.dim(machine.workspace_id.slice(0, 8)),
      ...(withProblem ? [style.bad(printable(machine.problem ?? ''))] : []),
    ]),
    style,
  );
}

export function renderInfo(
  info: OutputOf<'workspace_info'>,
  { style, now }: RenderContext,
): string {
  const disk = `${formatBytes(info.disk_used_bytes)} of ${formatBytes(info.disk_volsize_bytes)} on the host`;
  return renderPairs(
    [
      ['Name', style.bold(info.name)],
      ['Id', info.workspace_id],
      ['State', stateText(info.state, style)],
      ['Problem', info.problem === null ? null : style.bad(printableLines(info.problem))],
      ['Size', sizeText(info)],
      ['Disk', `${disk}, ${info.storage}`],
      ['Image', `${info.base_image} ${style.dim(info.image_digest.slice(0, 19))}`],
      [
        'Created',
        `${formatTime(new Date(info.created_at))} (${formatAge(info.created_at, now)} ago)`,
      ],
      ['Snapshot', positionText(info)],
      ['Fork of', info.forked_from === null ? null : originText(info.forked_from, now)],
      [
        'Expires',
        info.expires_at === null
          ? null
          : `${formatTime(new Date(info.expires_at))} (${remainingText(info.expires_at, now)})`,
      ],
      [
        'Idle suspend',
        info.idle_suspend_secs === 0
          ? null
          : `after ${formatDuration(info.idle_suspend_secs * 1000)} without use`,
      ],
      ['Ephemeral', info.ephemeral ? 'yes: destroyed when its client goes away' : null],
      ['Uptime', info.uptime_ms === null ? null : formatDuration(info.uptime_ms)],
      ['Hostname', info.hostname],
      ['IP', info.ip],
      ['Network', `${info.network.address}, MAC ${info.network.mac}`],
      ['Internet', internetText(info.network)],
      ['Forwards', forwardsText(info.network.port_forwards)],
      [
        'System',
        info.guest === null
          ? null
          : printable(`${info.guest.os || 'unknown'}, Linux ${info.guest.kernel}`),
      ],
      ['Init', info.init === 'system' ? "the image's own" : 'agent'],
      ['Agent', info.guest === null ? null : printable(info.guest.agent_version)],
      ['Machine id', info.guest === null ? null : printable(info.guest.machine_id)],
      [
        'Runs on',
        info.pid === null
          ? null
          : `${info.accelerator ?? '?'}, ${info.transport ?? '?'}, QEMU pid ${String(info.pid)}`,
      ],
      ['Generation', String(info.generation)],
    ],
    style,
  );
}

function positionText(info: OutputOf<'workspace_info'>): string {
  if (info.snapshots === 0) return 'none yet';
  const position = info.snapshot === null ? 'at none' : `at ${info.snapshot}`;
  return `${position}, ${count(info.snapshots, 'snapshot')} in all`;
}

function originText(origin: ForkedFrom, now: number): string {
  const how = origin.live ? ', with memory' : '';
  return `${origin.source_workspace_name} at ${origin.snapshot_name}${how}, ${formatAge(origin.forked_at, now)} ago`;
}

function remainingText(until: string, now: number): string {
  const left = Date.parse(until) - now;
  return left <= 0 ? 'now' : `in ${formatDuration(Math.max(1000, left))}`;
}

export function renderPaused(machine: WorkspaceSummary, context: RenderContext): string {
  return [renderState(machine, context), context.style.dim(`coppice resume ${machine.name}`)].join(
    '\n',
  );
}

export function renderSuspended(
  machine: OutputOf<'workspace_suspend'>,
  { style }: RenderContext,
): string {
  return [
    `${style.bold(machine.name)} is ${stateText(machine.state, style)}; its memory takes ${formatBytes(machine.memory_bytes)} on the disk.`,
    style.dim(`coppice resume ${machine.name}`),
  ].join('\n');
}

export function renderConfigured(
  machine: OutputOf<'workspace_configure'>,
  { style, now, input }: RenderContext,
): string {
  const name = style.bold(machine.name);
  const lines = [
    machine.expires_at === null
      ? `${name} is kept until somebody destroys it.`
      : `${name} is destroyed at ${formatTime(new Date(machine.expires_at))} (${remainingText(machine.expires_at, now)}).`,
  ];
  const idle = input['idle_suspend_secs'];
  if (idle === 0) lines.push('It is not suspended when nobody uses it.');
  else if (typeof idle === 'number') {
    lines.push(`It is suspended after ${formatDuration(idle * 1000)} without use.`);
  }
  return lines.join('\n');
}

export function renderState(machine: WorkspaceSummary, { style }: RenderContext): string {
  return `${style.bold(machine.name)} is ${stateText(machine.state, style)}.`;
}

export function renderDestroyed(
  { name }: OutputOf<'workspace_destroy'>,
  { style }: RenderContext,
): string {
  return `${style.bold(name)} is gone.`;
}

export function renderLogs(logs: OutputOf<'workspace_logs'>, { style }: RenderContext): string {
  const parts: string[] = [];
  const both = logs.console !== undefined && logs.stderr !== undefined && logs.stderr !== '';
  if (logs.console !== undefined) {
    if (both) parts.push(style.dim('== console =='));
    parts.push(printableLines(logs.console).trimEnd());
  }
  if (logs.stderr !== undefined && logs.stderr !== '') {
    if (both) parts.push(style.dim('== QEMU =='));
    parts.push(printableLines(logs.stderr).trimEnd());
  }
  return parts.join('\n');
}

export function renderStats(stats: OutputOf<'workspace_stats'>, { style }: RenderContext): string {
  const used = (total: number, available: number): string =>
    `${formatBytes(total - available)} of ${formatBytes(total)} used`;
  const busy = stats.cpu_total_ms === 0 ? 0 : (100 * stats.cpu_busy_ms) / stats.cpu_total_ms;
  return renderPairs(
    [
      ['Machine', style.bold(stats.name)],
      ['Uptime', formatDuration(stats.uptime_ms)],
      ['CPU', `load ${stats.load1.toFixed(2)}, busy ${busy.toFixed(1)} % since boot`],
      ['Processes', String(stats.processes)],
      ['Memory', used(stats.memory_total_bytes, stats.memory_available_bytes)],
      ['Disk', used(stats.disk_total_bytes, stats.disk_available_bytes)],
      ['Agent', formatBytes(stats.agent_rss_bytes)],
      [
        'Host memory',
        `${formatBytes(stats.host_rss_bytes)}, ${formatBytes(stats.host_private_bytes)} its own, ${formatBytes(stats.host_proportional_bytes)} with its share of the rest`,
      ],
      ['Host CPU time', formatDuration(stats.host_cpu_ms)],
      ['Host disk', formatBytes(stats.host_disk_bytes)],
    ],
    style,
  );
}
