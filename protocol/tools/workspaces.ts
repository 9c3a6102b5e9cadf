/** Tools that make, list, stop and remove workspaces. */
import * as z from 'zod';
import {
  workspaceCreate,
  workspaceDestroy,
  workspaceInfo,
  workspaceList,
  workspaceLogs,
  workspaceStart,
  workspaceStop,
} from '../operations/workspace.ts';
import { workspaceState } from '../operations/workspaceModel.ts';
import { snapshotInfo } from '../operations/snapshotModel.ts';
import { defineTool } from '../tool.ts';
import { contractTime } from './text.ts';

const { name, base_image, vcpus, memory_mb, disk_gb, allow_internet } = workspaceCreate.input.shape;
const { workspace_id } = workspaceInfo.input.shape;
const created = workspaceCreate.output.shape;
const info = workspaceInfo.output.shape;
const summary = workspaceList.output.element.shape;

export const workspaceCreateTool = defineTool({
  name: 'workspace_create',
  title: 'Create a workspace',
  description:
    'Create an isolated Linux machine and boot it. It has no internet unless allow_internet is true. Destroy it when you are done.',
  input: z.object({ name, base_image, vcpus, memory_mb, disk_gb, allow_internet }),
  output: z.object({
    workspace_id: created.workspace_id,
    name: created.name,
    state: created.state,
    ip: created.ip,
    boot_time_ms: z.int().describe('Time of the whole call in milliseconds'),
    from_pool: created.from_pool,
    resources: created.resources,
    allow_internet: z.boolean(),
  }),
  toolset: 'core',
  risk: 'write',
  retry: 'unsafe',
  failure: 'internal_error',
  async run(input, { call }) {
    const made = await call('workspace_create', input);
    return {
      ...made,
      boot_time_ms: Math.round(made.boot_time_ms),
      allow_internet: input.allow_internet ?? false,
    };
  },
});

export const workspaceDestroyTool = defineTool({
  name: 'workspace_destroy',
  title: 'Destroy a workspace',
  description: 'Stop a workspace and delete its disk and snapshots. This cannot be undone.',
  input: z.object({ workspace_id }),
  output: workspaceDestroy.output,
  text: (_output, input) => `Workspace ${input.workspace_id} destroyed.`,
  toolset: 'core',
  risk: 'destructive',
  retry: 'safe',
  failure: 'internal_error',
  run: (input, { call }) => call('workspace_destroy', input),
});

const listed = z.object({
  workspace_id: summary.workspace_id,
  name: summary.name,
  state: summary.state,
  ip: summary.ip,
  owned: summary.owned,
  resources: summary.resources,
});

export const workspaceListTool = defineTool({
  name: 'workspace_list',
  title: 'List workspaces',
  description:
    'List all workspaces, also those of others; owned says which are yours. workspace_adopt takes over what nobody uses.',
  input: z.object({
    state_filter: z
      .string()
      .max(64)
      .optional()
      .describe('Only workspaces in this state: running, stopped, paused, suspended, …'),
  }),
  output: z.object({ workspaces: z.array(listed) }),
  text: ({ workspaces }) => JSON.stringify(workspaces),
  toolset: 'full',
  risk: 'read',
  retry: 'safe',
  failure: 'internal_error',
  async run({ state_filter }, { call }) {
    const state = workspaceState.optional().safeParse(state_filter);
    if (!state.success) return { workspaces: [] };
    return { workspaces: await call('workspace_list', { state_filter: state.data }) };
  },
});

const network = info.network.shape;

export const workspaceInfoTool = defineTool({
  name: 'workspace_info',
  title: 'Show a workspace',
  description:
    'Show state, resources, network policy, port forwards, snapshots, lineage and disk use of a workspace.',
  input: z.object({ workspace_id }),
  output: z.object({
    workspace_id: info.workspace_id,
    name: info.name,
    state: info.state,
    base_image: info.base_image,
    ip: info.ip,
    owned: info.owned,
    resources: info.resources,
    network: z.object({
      allow_internet: network.allow_internet,
      allow: network.allow,
      allow_inter_vm: network.allow_inter_vm,
      allowed_ports: network.allowed_ports,
      port_forwards: z.array(
        z.object({
          host_port: network.port_forwards.element.shape.host_port,
          guest_port: network.port_forwards.element.shape.guest_port,
        }),
      ),
    }),
    snapshots: z
      .array(
        z.object({
          id: snapshotInfo.shape.snapshot_id,
          name: snapshotInfo.shape.name,
          has_memory: snapshotInfo.shape.has_memory,
          parent: snapshotInfo.shape.parent,
          created_at: z.string(),
        }),
      )
      .describe('Parents before children'),
    forked_from: info.forked_from,
    team_id: z.string().nullable(),
    created_at: z.string(),
    problem: info.problem,
    disk_used_bytes: info.disk_used_bytes,
    disk_volsize_bytes: info.disk_volsize_bytes,
  }),
  toolset: 'full',
  risk: 'read',
  retry: 'safe',
  failure: 'invalid_request',
  async run(input, { call }) {
    const [facts, tree] = await Promise.all([
      call('workspace_info', input),
      call('snapshot_list', input),
    ]);
    return {
      ...facts,
      snapshots: tree.snapshots.map(({ snapshot_id, created_at, ...snapshot }) => ({
        ...snapshot,
        id: snapshot_id,
        created_at: contractTime(created_at),
      })),
      team_id: facts.network.team,
      created_at: contractTime(facts.created_at),
    };
  },
});

const changed = z.object({
  workspace_id: summary.workspace_id,
  name: summary.name,
  state: summary.state,
});

export const workspaceStopTool = defineTool({
  name: 'workspace_stop',
  title: 'Stop a workspace',
  description:
    'Shut a workspace down. Its disk stays; its memory, background jobs and set_env variables do not.',
  input: z.object({ workspace_id }),
  output: changed,
  text: (_output, input) => `Workspace ${input.workspace_id} stopped.`,
  toolset: 'full',
  risk: 'write',
  retry: workspaceStop.retry,
  failure: 'invalid_request',
  run: (input, { call }) => call('workspace_stop', { ...input, strict: true }),
});

export const workspaceStartTool = defineTool({
  name: 'workspace_start',
  title: 'Start a workspace',
  description: 'Boot a stopped workspace, or let a suspended one go on.',
  input: z.object({ workspace_id }),
  output: changed,
  text: (_output, input) => `Workspace ${input.workspace_id} started.`,
  toolset: 'full',
  risk: 'write',
  retry: workspaceStart.retry,
  failure: 'invalid_request',
  run: (input, { call }) => call('workspace_start', { ...input, strict: true }),
});

const logTypes = workspaceLogs.input.shape.log_type;

export const workspaceLogsTool = defineTool({
  name: 'workspace_logs',
  title: 'Show the console of a workspace',
  description:
    'Show the last lines a machine wrote on its console and what the virtual machine program complained about. For why a workspace does not boot or answer.',
  input: z.object({
    workspace_id,
    log_type: z
      .string()
      .max(64)
      .optional()
      .describe('console, stderr or all (default; anything else is all)'),
    max_lines: workspaceLogs.input.shape.max_lines,
  }),
  output: workspaceLogs.output,
  toolset: 'full',
  risk: 'read',
  retry: 'safe',
  failure: 'invalid_request',
  run: ({ log_type, ...input }, { call }) =>
    call('workspace_logs', { ...input, log_type: logTypes.catch('all').parse(log_type) }),
});
