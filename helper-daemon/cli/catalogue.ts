/** Every command there is: what one operation is projected to, and what is composed from several. */
import { operations, type OperationName } from '../../protocol/operations.ts';
import type { Operation } from '../../protocol/operation.ts';
import { completionSpec, completeSpec } from './commands/completion.ts';
import { cpSpec } from './commands/cp.ts';
import {
  daemonLogsSpec,
  daemonRunSpec,
  daemonStartSpec,
  daemonStatusSpec,
  withoutStarting,
} from './commands/daemon.ts';
import { withLocalChecks } from './commands/doctor.ts';
import { execSpec } from './commands/exec.ts';
import { jobsAttachSpec } from './commands/jobsAttach.ts';
import { withFollow } from './commands/logs.ts';
import { readSpec } from './commands/read.ts';
import { runSpec } from './commands/run.ts';
import { shellSpec } from './commands/shell.ts';
import { writeSpec } from './commands/write.ts';
import type { CommandSpec } from './commandSpec.ts';
import { projectOperation } from './projection/projectOperation.ts';

/** Commands whose projection is not all there is to them. */
const adapted: Readonly<Partial<Record<OperationName, (spec: CommandSpec) => CommandSpec>>> = {
  workspace_logs: withFollow,
  daemon_doctor: withLocalChecks,
  daemon_stop: withoutStarting,
};

/** The order of `coppice --help`. */
const order = [
  'create',
  'list',
  'info',
  'start',
  'stop',
  'destroy',
  'run',
  'exec',
  'shell',
  'jobs',
  'cp',
  'read',
  'write',
  'edit',
  'ls',
  'stat',
  'mkdir',
  'mv',
  'delete',
  'search',
  'logs',
  'stats',
  'image',
  'status',
  'doctor',
  'daemon',
  'completion',
];

/**
 * @param wanted the words of the command line: commands they do not name are there for help and
 * completion only and cost nothing
 */
export function allCommands(wanted: readonly string[]): readonly CommandSpec[] {
  const composed = [
    runSpec(describe),
    execSpec(describe),
    shellSpec(describe),
    jobsAttachSpec(describe),
    cpSpec,
    readSpec(describe),
    writeSpec(describe),
    daemonStartSpec,
    daemonStatusSpec,
    daemonLogsSpec,
    daemonRunSpec,
    completionSpec,
    completeSpec,
  ];
  const projected = Object.values(operations).flatMap((operation: Operation) => {
    const { cli } = operation;
    if (cli === undefined) return [];
    const spellings = [cli.command, ...(cli.aliases ?? [])];
    if (!spellings.some((words) => names(words, wanted))) return [outline(operation, cli.command)];
    const spec = projectOperation(operation, cli);
    return [adapted[operation.name as OperationName]?.(spec) ?? spec];
  });
  const rank = ({ words }: CommandSpec): number => {
    const index = order.indexOf(words.split(' ')[0] ?? '');
    return index === -1 ? order.length : index;
  };
  return [...projected, ...composed].sort((a, b) => rank(a) - rank(b));
}

function names(command: string, wanted: readonly string[]): boolean {
  return command.split(' ').every((word, index) => wanted[index] === word);
}

function outline({ summary }: Operation, words: string): CommandSpec {
  return { words, summary, positionals: [], flags: [], run: () => Promise.resolve(0) };
}

function describe(operation: string, field: string): string {
  const { shape } = (operations[operation as OperationName] as Operation).input;
  const schema = shape[field] as { readonly description?: string } | undefined;
  return schema?.description ?? '';
}
