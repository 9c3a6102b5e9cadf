/** The shapes of a workspace's tree of snapshots. */
import * as z from 'zod';
import { limits } from '../limits.ts';
import { isUuid } from '../names.ts';

export const snapshotName = z
  .string()
  .min(1)
  .max(limits.nameLength)
  .regex(/^[A-Za-z0-9._-]+$/, 'use only letters, digits, ".", "_" and "-"')
  .refine((name) => !isUuid(name), 'a name must not look like a snapshot id')
  .refine((name) => name !== 'head', '"head" means the present state of the machine');

export const snapshotRef = z
  .string()
  .min(1)
  .max(limits.nameLength)
  .regex(/^[A-Za-z0-9._-]+$/, 'not a snapshot name or id')
  .describe('Snapshot name or id');

export const snapshotDescription = z.string().max(limits.descriptionLength);

export const snapshotInfo = z.object({
  snapshot_id: z.uuid(),
  name: z.string(),
  workspace_id: z.uuid(),
  description: z.string(),
  parent: z.uuid().nullable().describe('Snapshot it was taken on top of; null for a root'),
  current: z.boolean().describe('The present state grew from this one'),
  has_memory: z.boolean().describe('Restores and forks continue running programs'),
  implicit: z.boolean().describe('Made by a fork; goes away with the last machine that needs it'),
  created_at: z.iso.datetime({ offset: true }),
  used_bytes: z.number().describe('Space only this snapshot takes: its changes, and its memory'),
  total_bytes: z.number().describe('Space of everything it stands on, the image included'),
  dependents: z
    .array(z.object({ workspace_id: z.uuid(), name: z.string() }))
    .describe('Machines forked from it'),
});
export type SnapshotInfo = z.infer<typeof snapshotInfo>;

export const forkedFrom = z.object({
  source_workspace_id: z.uuid(),
  source_workspace_name: z.string(),
  snapshot_id: z.uuid(),
  snapshot_name: z.string(),
  live: z.boolean().describe('Continued running programs instead of booting'),
  forked_at: z.iso.datetime({ offset: true }),
});
export type ForkedFrom = z.infer<typeof forkedFrom>;

const changeKind = z.enum(['added', 'removed', 'modified', 'type_changed', 'metadata']);
const pathKind = z.enum(['file', 'dir', 'symlink', 'other']);
export const pathChange = z.object({
  path: z.string(),
  change: changeKind.describe('metadata: owner, mode or time alone'),
  kind: pathKind.describe('What it is now; what it was where it was removed'),
  size_before: z.number().nullable(),
  size_after: z.number().nullable(),
});
export type PathChange = z.infer<typeof pathChange>;
