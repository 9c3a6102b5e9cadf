/** The shapes that workspace operations and events share. */
import * as z from 'zod';
import { limits } from '../limits.ts';
import { forkedFrom } from './snapshotModel.ts';

const workspaceStates = [
  'creating',
  'running',
  'paused',
  'starting',
  'stopping',
  'stopped',
  'suspended',
  'destroying',
] as const;

export const workspaceState = z.enum(workspaceStates);

export const vcpus = z.int().min(limits.vcpus.min).max(limits.vcpus.max);
export const memoryMb = z.int().min(limits.memoryMb.min).max(limits.memoryMb.max);
export const diskGb = z.int().min(limits.diskGb.min).max(limits.diskGb.max);

/** 0 turns it off. */
export const lifetimeSecs = z.int().min(0).max(limits.lifetimeSecs.max);

const resources = z.object({
  vcpus,
  memory_mb: memoryMb.describe('Memory in MiB'),
  disk_gb: diskGb.describe('Disk in GiB'),
});

export const workspaceSummary = z.object({
  workspace_id: z.uuid(),
  name: z.string(),
  state: workspaceState,
  ip: z
    .string()
    .nullable()
    .describe('Address; reachable from the host in system mode, null elsewhere'),
  base_image: z.string(),
  resources,
  created_at: z.iso.datetime({ offset: true }),
  owner: z
    .string()
    .nullable()
    .describe('Account it belongs to, and agent after a slash; null: nobody'),
  ephemeral: z.boolean().describe('Destroyed when the client that made it goes away'),
  snapshot: z.string().nullable().describe('Snapshot the present state grew from'),
  forked_from: forkedFrom.nullable().describe('What it is a copy of'),
  expires_at: z.iso
    .datetime({ offset: true })
    .nullable()
    .describe('It is destroyed at this time; null: never'),
  problem: z
    .string()
    .nullable()
    .describe('Why the machine is not running although it should be, or null'),
});

export type WorkspaceSummary = z.infer<typeof workspaceSummary>;
export type WorkspaceState = z.infer<typeof workspaceState>;

/** Whether the caller may use it as its own; not in events, which are the same for everybody. */
export const owned = z.boolean().describe('Whether it is yours to use');
