import type { OutputOf } from '../../../protocol/operations.ts';
import type { DoctorCheck } from '../../../protocol/operations/daemon.ts';
import type { Style } from '../text/style.ts';
import { renderPairs } from '../text/table.ts';
import { count, formatBytes, formatDuration } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

export function renderStatus(status: OutputOf<'daemon_status'>, { style }: RenderContext): string {
  const { host, allocated, workspaces } = status;
  const memory = formatBytes(allocated.memory_mb * 1024 * 1024);
  return renderPairs(
    [
      [
        'Daemon',
        `${style.good('running')}, version ${status.version}, pid ${String(status.pid)}, ${status.mode} mode`,
      ],
      ['Up for', formatDuration(status.uptime_ms)],
      ['Machines', `${String(workspaces.running)} running of ${String(workspaces.total)}`],
      [
        'Allocated',
        `${count(allocated.vcpus, 'CPU')}, ${memory} memory, ${String(allocated.disk_gb)} GiB disk`,
      ],
      [
        'Host',
        `${count(host.cpus, 'CPU')}, ${formatBytes(host.memory_available_bytes)} of ${formatBytes(host.memory_total_bytes)} memory free, ${formatBytes(host.disk_available_bytes)} disk free`,
      ],
      ['Accelerator', status.accelerator ?? 'not yet probed'],
      ['Memory', formatBytes(status.rss_bytes)],
      ['Clients', String(status.clients)],
      ['Socket', status.socket],
      ['State', status.state_dir],
      ['Log', status.log_file],
    ],
    style,
  );
}

const marks = {
  ok: (style: Style) => style.good('✓'),
  warning: (style: Style) => style.warn('!'),
  failed: (style: Style) => style.bad('✗'),
} as const;

export function renderDoctor(
  { checks }: OutputOf<'daemon_doctor'>,
  { style }: RenderContext,
): string {
  return [...checks.map((check) => checkText(check, style)), '', verdict(checks, style)].join('\n');
}

function checkText(check: DoctorCheck, style: Style): string {
  const lines = [`${marks[check.status](style)} ${check.title}: ${check.detail}`];
  if (check.fix !== null && check.status !== 'ok') {
    lines.push(`  ${style.accent('fix:')} ${check.fix}`);
  }
  return lines.join('\n');
}

function verdict(checks: readonly DoctorCheck[], style: Style): string {
  const failed = checks.filter(({ status }) => status === 'failed').length;
  const warnings = checks.filter(({ status }) => status === 'warning').length;
  const aside = warnings === 0 ? '' : ` (${count(warnings, 'warning')})`;
  if (failed === 0) return style.good(`Everything machines need is there${aside}.`);
  return style.bad(`${count(failed, 'thing')} must be fixed before machines work${aside}.`);
}

export function renderStopped({ stopped_machines }: OutputOf<'daemon_stop'>): string {
  return stopped_machines === 0
    ? 'The daemon has stopped. Running machines stay up; the next command finds them again.'
    : `The daemon and ${count(stopped_machines, 'machine')} have stopped.`;
}
