/** Every command there is: what one operation is projected to, and what is composed from several. */
import { operations, type OperationName } from '../../protocol/operations.ts';
import type { Operation } from '../../protocol/operation.ts';
import { withAuditFollow } from './commands/audit.ts';
import { checkSpec } from './commands/check.ts';
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
import { exportSpec } from './commands/exportArchive.ts';
import { importSpec } from './commands/importArchive.ts';
import { initOutline, initSpec } from './commands/initHost.ts';
import { jobsAttachSpec } from './commands/jobsAttach.ts';
import { withFollow } from './commands/logs.ts';
import { mcpSpec } from './commands/mcp.ts';
import { readSpec } from './commands/read.ts';
import { runSpec } from './commands/run.ts';
import { serveSpec } from './commands/serve.ts';
import { shellSpec } from './commands/shell.ts';
import { sshSpec } from './commands/ssh.ts';
import { sshConfigSpec } from './commands/sshConfig.ts';
import { sshProxySpec } from './commands/sshProxy.ts';
import { snapshotShowSpec } from './commands/snapshotShow.ts';
import { swarmRunSpec } from './commands/swarmRun.ts';
import { withMachines } from './commands/status.ts';
import { toolSpec } from './commands/tool.ts';
import { withTextFromStdin } from './commands/vaultWrite.ts';
import { writeSpec } from './commands/write.ts';
import { needsOneOf, withPathAlone } from './commands/strictInput.ts';
import type { CommandSpec } from './commandSpec.ts';
import { projectOperation } from './projection/projectOperation.ts';

/** Commands whose projection is not all there is to them. */
const adapted: Readonly<Partial<Record<OperationName, (spec: CommandSpec) => CommandSpec>>> = {
  workspace_logs: withFollow,
  audit_list: withAuditFollow,
  daemon_status: withMachines,
  daemon_doctor: withLocalChecks,
  daemon_stop: withoutStarting,
  workspace_configure: needsOneOf('ttl_secs', 'idle_suspend_secs'),
  snapshot_rename: needsOneOf('new_name', 'description'),
  snapshot_diff: withPathAlone,
  vault_write: withTextFromStdin,
  network_policy: needsOneOf(
    'internet',
    'allow_internet',
    'allow',
    'allow_inter_vm',
    'allowed_ports',
    'bandwidth_mbit',
    'team',
  ),
  pool_set: needsOneOf('size', 'memory_budget_mb', 'templates'),
};

/** The headings of `coppice --help`, and what stands below them in which order. */
const headings: Readonly<Record<string, readonly string[]>> = {
  Machines: [
    'create',
    'list',
    'info',
    'start',
    'stop',
    'pause',
    'resume',
    'suspend',
    'set',
    'destroy',
  ],
  'Work in a machine': [
    'run',
    'exec',
    'exec-all',
    'shell',
    'ssh',
    'ssh-config',
    'jobs',
    'env',
    'git',
    'logs',
    'stats',
  ],
  Files: ['cp', 'read', 'write', 'edit', 'ls', 'stat', 'mkdir', 'mv', 'copy', 'delete', 'search'],
  'Snapshots and copies': [
    'snapshot create',
    'snapshot list',
    'snapshot show',
    'snapshot diff',
    'snapshot restore',
    'snapshot rename',
    'snapshot delete',
    'fork',
    'merge',
    'prepare',
    'swarm',
    'export',
    'import',
  ],
  Agents: ['mcp', 'tool', 'team', 'vault', 'adopt', 'whoami'],
  Network: ['port', 'network'],
  'Images and storage': ['image', 'pool', 'storage'],
  'Coppice itself': [
    'init',
    'serve',
    'status',
    'check',
    'doctor',
    'audit',
    'metrics',
    'daemon',
    'completion',
  ],
};

const places = Object.entries(headings).flatMap(([group, names]) =>
  names.map((name) => ({ group, name })),
);

/** Where a command stands: by all its words, else by the first. */
function placeOf({ words }: CommandSpec): { readonly rank: number; readonly group?: string } {
  const exact = places.findIndex(({ name }) => name === words);
  const rank = exact >= 0 ? exact : places.findIndex(({ name }) => name === words.split(' ')[0]);
  const group = places[rank]?.group;
  return { rank: rank < 0 ? places.length : rank, ...(group === undefined ? {} : { group }) };
}

/**
 * @param wanted the words of the command line: commands they do not name are there for help and
 * completion only and cost nothing
 */
export function allCommands(wanted: readonly string[]): readonly CommandSpec[] {
  const composed = [
    runSpec(describe),
    execSpec(describe),
    shellSpec(describe),
    sshSpec(describe),
    sshConfigSpec,
    sshProxySpec,
    jobsAttachSpec(describe),
    cpSpec,
    snapshotShowSpec(describe),
    exportSpec(describe),
    importSpec(describe),
    readSpec(describe),
    writeSpec(describe),
    swarmRunSpec(describe),
    toolSpec,
    mcpSpec,
    daemonStartSpec,
    daemonStatusSpec,
    daemonLogsSpec,
    daemonRunSpec,
    serveSpec,
    checkSpec,
    ...(names('init', wanted) ? [initSpec()] : [initOutline]),
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
  return [...projected, ...composed]
    .map((spec) => ({ spec, ...placeOf(spec) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ spec, group }) => (group === undefined ? spec : { ...spec, group }));
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
