import * as z from 'zod';
import { workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';
import { workspaceState } from './workspaceModel.ts';

const adopted = z.object({
  workspace_id: z.uuid(),
  name: z.string(),
  state: workspaceState,
  ip: z.string().nullable(),
});

export const workspaceAdopt = defineOperation({
  name: 'workspace_adopt',
  summary: 'Take over machines that belong to nobody, or to an agent that is idle',
  description:
    'Without a workspace: all that belong to nobody, and with force all whose agents have been idle for 60 s. Nobody is cut off: an agent that is at work keeps what it owns.',
  input: z.object({
    workspace_id: workspaceRef.optional(),
    force: z
      .boolean()
      .optional()
      .describe('Also from another agent of the same account that has been idle for 60 s'),
  }),
  output: z.object({
    adopted: z.array(
      adopted.extend({ forced: z.boolean().describe('It belonged to another agent before') }),
    ),
    errors: z.array(z.object({ workspace_id: z.uuid(), error: z.string() })),
  }),
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'not_owned', 'quota_exceeded'],
  access: { owns: [] },
  cli: { command: 'adopt', positionals: ['workspace_id'] },
});

const quotaUse = z.object({
  current: z.int(),
  limit: z.int().nullable().describe('null: none'),
});

export const sessionInfo = defineOperation({
  name: 'session_info',
  summary: 'Show as whom you are known, what you own and what you may have',
  input: z.object({}),
  output: z.object({
    owner: z.string().describe('Account, and agent after a slash'),
    uid: z.int(),
    agent: z.string().nullable().describe('null: the person'),
    workspaces: z.array(z.string()).describe('Names of what it owns'),
    quota: z.object({
      workspaces: quotaUse,
      vcpus: quotaUse,
      memory_mb: quotaUse,
      disk_gb: quotaUse,
    }),
  }),
  risk: 'read',
  retry: 'safe',
  errors: [],
  cli: { command: 'whoami' },
});
