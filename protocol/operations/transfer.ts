/** Files between a machine and the one directory of the host that is open to this. */
import * as z from 'zod';
import { limits } from '../limits.ts';
import { guestPath, workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';

export const fileTransfer = defineOperation({
  name: 'file_transfer',
  summary: 'Copy a file between a machine and the transfer directory of this host',
  description:
    'Files of any size. The copy appears whole or not at all, with the permissions of the original. Links are not followed on the host.',
  input: z.object({
    workspace_id: workspaceRef,
    direction: z.enum(['upload', 'download']).describe('upload: into the machine'),
    host_path: z
      .string()
      .min(1)
      .refine((path) => !path.includes('\0'), 'must not contain NUL')
      .refine((path) => Buffer.byteLength(path) <= limits.pathBytes, 'is longer than 4096 bytes')
      .describe('File below the transfer directory; relative paths start there'),
    guest_path: guestPath.describe('Absolute path in the machine'),
  }),
  output: z.object({
    direction: z.enum(['upload', 'download']),
    host_path: z.string().describe('Absolute'),
    guest_path: z.string(),
    bytes: z.number(),
  }),
  risk: 'write',
  retry: 'safe',
  errors: [
    'not_found',
    'wrong_state',
    'guest_unreachable',
    'file_not_found',
    'file_error',
    'permission_denied',
    'no_space',
    'outcome_unknown',
  ],
  progress: true,
});
