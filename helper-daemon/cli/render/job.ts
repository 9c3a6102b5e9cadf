import type { OutputOf } from '../../../protocol/operations.ts';
import type { ExitResult, ProcessInfo } from '../../../protocol/operations/process.ts';
import { printable, printableLines } from '../text/printable.ts';
import type { Style } from '../text/style.ts';
import { renderPairs, renderTable } from '../text/table.ts';
import { count, formatAge, formatBytes, formatDuration } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

/** "exit 0", "signal 9", "timed out": how a command ended. */
function exitText(exit: ExitResult): string {
  if (exit.timed_out) return 'timed out';
  return exit.signal === null ? `exit ${String(exit.exit_code)}` : `signal ${String(exit.signal)}`;
}

function stateText(job: ProcessInfo, style: Style): string {
  if (job.exit === null) return job.running ? style.good('running') : style.warn('ended');
  return job.exit.exit_code === 0 ? style.dim('exit 0') : style.bad(exitText(job.exit));
}

function kindText(job: ProcessInfo): string {
  if (job.terminal) return 'terminal';
  return job.kept ? 'job' : 'command';
}

export function renderStarted(
  { job_id }: OutputOf<'process_start'>,
  { style, input }: RenderContext,
): string {
  const machine = String(input['workspace_id']);
  const id = String(job_id);
  return [
    `Job ${style.bold(id)} has started.`,
    style.dim(`coppice jobs show ${machine} ${id} · coppice jobs attach ${machine} ${id}`),
  ].join('\n');
}

export function renderList(
  jobs: OutputOf<'process_list'>,
  { style, now, width }: RenderContext,
): string {
  if (jobs.length === 0) return 'Nothing was started in this machine that is still known.';
  return renderTable(
    [
      { title: 'JOB', align: 'right' },
      { title: 'STATE' },
      { title: 'KIND' },
      { title: 'STARTED' },
      { title: 'OUTPUT', align: 'right' },
      { title: 'CLIENTS', align: 'right' },
      { title: 'COMMAND' },
    ],
    jobs.map((job) => [
      style.bold(String(job.job_id)),
      stateText(job, style),
      kindText(job),
      `${formatAge(job.started_at, now)} ago`,
      formatBytes(job.stdout_bytes + job.stderr_bytes),
      String(job.attached_clients),
      (job.label === '' ? '' : `[${printable(job.label)}] `) + printable(job.command),
    ]),
    style,
    width,
  );
}

export function renderJob(job: OutputOf<'process_get'>, { style, now }: RenderContext): string {
  const ended =
    job.exit === null
      ? null
      : `${exitText(job.exit)} after ${formatDuration(job.exit.duration_ms)}`;
  const facts = renderPairs(
    [
      ['Job', style.bold(String(job.job_id))],
      ['Command', printable(job.command)],
      ['Label', printable(job.label)],
      ['State', stateText(job, style)],
      ['Ended', ended],
      ['Started', `${formatAge(job.started_at, now)} ago, pid ${String(job.pid)}`],
      ['Attached', job.attached_clients === 0 ? null : count(job.attached_clients, 'client')],
    ],
    style,
  );
  return [
    facts,
    ...outputPart('stdout', job.stdout, job.stdout_bytes, style),
    ...outputPart('stderr', job.stderr, job.stderr_bytes, style),
  ].join('\n');
}

function outputPart(name: string, content: string, bytes: number, style: Style): string[] {
  if (content === '') return [];
  return [
    style.dim(`== ${name}, ${formatBytes(bytes)} in all ==`),
    printableLines(content).trimEnd(),
  ];
}

const signalNames: Readonly<Record<number, string>> = { 1: 'HUP', 2: 'INT', 9: 'KILL', 15: 'TERM' };

export function renderSignalled({ job_id, signal }: OutputOf<'process_signal'>): string {
  const name = signalNames[signal];
  return `Signal ${String(signal)}${name === undefined ? '' : ` (${name})`} went to job ${String(job_id)}.`;
}

export function renderEnvSet({ count: set }: OutputOf<'set_env'>): string {
  return `${count(set, 'variable')} set for what is started from now on.`;
}

export function renderRemoved({ job_id }: OutputOf<'process_remove'>): string {
  return `Job ${String(job_id)} is forgotten.`;
}
