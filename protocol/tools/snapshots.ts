/** The tool for the snapshots of a workspace. */
import * as z from 'zod';
import { snapshotCreate, snapshotDelete, snapshotRestore } from '../operations/snapshot.ts';
import { snapshotInfo } from '../operations/snapshotModel.ts';
import { defineTool, type ToolContext } from '../tool.ts';
import { contractTime, missingField } from './text.ts';

const { workspace_id, include_memory } = snapshotCreate.input.shape;
const facts = snapshotInfo.shape;

const input = z.object({
  action: z.enum(['create', 'restore', 'list', 'delete']),
  workspace_id,
  name: snapshotRestore.input.shape.name
    .optional()
    .describe('Of the snapshot; all actions but list need it'),
  include_memory: include_memory.describe(
    'For create: keep memory and running programs too, so that restores and forks continue them',
  ),
});
type Input = z.output<typeof input>;

const output = z.object({
  snapshot_id: facts.snapshot_id.optional(),
  name: z.string().optional(),
  workspace_id: snapshotDelete.output.shape.workspace_id.optional(),
  has_memory: facts.has_memory.optional(),
  created_at: z.string().optional(),
  snapshots: z
    .array(
      z.object({
        id: facts.snapshot_id,
        name: facts.name,
        has_memory: facts.has_memory,
        parent: facts.parent,
        created_at: z.string(),
        current: facts.current,
        used_bytes: facts.used_bytes,
        referenced_bytes: facts.total_bytes,
      }),
    )
    .optional()
    .describe('Parents before children, oldest first'),
});
type Output = z.input<typeof output>;

export const snapshotTool = defineTool({
  name: 'snapshot',
  title: 'Snapshots',
  description:
    'Save and bring back the state of a workspace: create a named snapshot (before anything risky), restore one (what was changed since is lost, every other snapshot stays), list them with their sizes, delete one.',
  input,
  output,
  text(reply, { action, workspace_id: workspace, name: snapshot = '' }) {
    switch (action) {
      case 'restore':
        return `Workspace ${workspace} restored to snapshot '${snapshot}'.`;
      case 'delete':
        return `Snapshot '${snapshot}' deleted from workspace ${workspace}.`;
      case 'list':
        return JSON.stringify(reply.snapshots);
      default:
        return JSON.stringify(reply);
    }
  },
  toolset: 'core',
  risk: 'destructive',
  retry: 'unsafe',
  failure: 'invalid_request',
  failureOf: ({ action }) => (action === 'create' ? 'internal_error' : 'invalid_request'),
  async run(given, { call }) {
    switch (given.action) {
      case 'create':
        return await create(given, call);
      case 'restore':
        return await restore(given, call);
      case 'list':
        return await list(given, call);
      case 'delete':
        return await call('snapshot_delete', {
          workspace_id: given.workspace_id,
          name: nameOf(given),
        });
    }
  },
});

type Call = ToolContext['call'];

async function create(given: Input, call: Call): Promise<Output> {
  const made = await call('snapshot_create', {
    workspace_id: given.workspace_id,
    name: nameOf(given),
    include_memory: given.include_memory,
  });
  return {
    snapshot_id: made.snapshot_id,
    name: made.name,
    workspace_id: made.workspace_id,
    has_memory: made.has_memory,
    created_at: contractTime(made.created_at),
  };
}

async function restore(given: Input, call: Call): Promise<Output> {
  const restored = await call('snapshot_restore', {
    workspace_id: given.workspace_id,
    name: nameOf(given),
  });
  return {
    workspace_id: restored.workspace_id,
    snapshot_id: restored.snapshot_id,
    name: restored.snapshot_name,
  };
}

async function list(given: Input, call: Call): Promise<Output> {
  const tree = await call('snapshot_list', {
    workspace_id: given.workspace_id,
  });
  return {
    workspace_id: tree.workspace_id,
    snapshots: tree.snapshots.map((snapshot) => ({
      id: snapshot.snapshot_id,
      name: snapshot.name,
      has_memory: snapshot.has_memory,
      parent: snapshot.parent,
      created_at: contractTime(snapshot.created_at),
      current: snapshot.current,
      used_bytes: snapshot.used_bytes,
      referenced_bytes: snapshot.total_bytes,
    })),
  };
}

function nameOf({ action, name: given }: Input): string {
  return given ?? missingField('snapshot', action, 'name');
}
