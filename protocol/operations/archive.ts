import * as z from 'zod';
import { workspaceName, workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';
import { snapshotRef } from './snapshotModel.ts';

export const workspaceExport = defineOperation({
  name: 'workspace_export',
  summary: 'Stream a machine or a snapshot with its ancestors as one archive',
  description:
    'A running machine is exported as it is at this moment, through a snapshot that is taken back afterwards. Memory is left out unless asked for: it only continues on the same versions.',
  input: z.object({
    workspace_id: workspaceRef,
    snapshot_name: snapshotRef.optional().describe('Only this snapshot and its ancestors'),
    include_memory: z.boolean().optional().describe('Also memory of snapshots that have it'),
    include_image: z
      .boolean()
      .optional()
      .describe('Default true; false makes a smaller archive for hosts that have the image'),
  }),
  output: z.object({ ticket: z.string(), file_name: z.string() }),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found', 'layer_missing', 'layer_corrupt', 'no_space', 'wrong_state'],
  stream: 'download',
  progress: true,
});

export const workspaceImport = defineOperation({
  name: 'workspace_import',
  summary: 'Make a stopped machine with its snapshots from an archive',
  description:
    'Nothing is made unless the whole archive is sound. The machine gets a new identity.',
  input: z.object({
    name: workspaceName.optional().describe('Name of the machine; that in the archive when absent'),
  }),
  output: z.object({ ticket: z.string() }),
  risk: 'write',
  retry: 'unsafe',
  errors: ['name_taken', 'archive_invalid', 'image_missing', 'no_space'],
  stream: 'upload',
});

/** What the import stream ends with. */
export const importResult = z.object({
  bytes: z.number(),
  workspace_id: z.uuid(),
  name: z.string(),
  snapshots: z.int(),
});
export type ImportResult = z.infer<typeof importResult>;
