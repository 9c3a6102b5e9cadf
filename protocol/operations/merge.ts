import * as z from 'zod';
import { guestPath, workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';

export const mergeStrategies = ['sequential', 'branch-per-source', 'cherry-pick'] as const;

const fileChange = z.object({
  path: z.string(),
  change: z.enum(['added', 'modified', 'deleted', 'renamed', 'copied', 'type_changed']),
  from: z.string().optional().describe('Earlier path of what was renamed or copied'),
});
export type MergeFileChange = z.infer<typeof fileChange>;

const sourceResult = z.object({
  source_id: z.string().describe('As the caller wrote it'),
  success: z.boolean(),
  error: z.string().nullable(),
  commits_applied: z.int().describe('Commits of the source that the target has now'),
  conflicted: z.array(z.string()).describe('Files in conflict'),
  uncommitted: z
    .array(z.string())
    .optional()
    .describe('Files with changes that no commit of the source has and that were left behind'),
  branch: z.string().optional().describe('Branch of the target that keeps what did not merge'),
  files: z.array(fileChange).optional().describe('With preview: what it changes'),
  files_truncated: z.literal(true).optional(),
});
export type MergeSourceResult = z.infer<typeof sourceResult>;

export const workspaceMerge = defineOperation({
  name: 'workspace_merge',
  summary: 'Bring the commits of machines into the repository of another',
  description:
    'Each source gives the commits it has beyond the target, which are worked out aside: the target changes in one step at the end, after a snapshot of it, or not at all. sequential: all commits of a source or none, on top of one another. branch-per-source: one merge commit for each source; what conflicts is kept as branch merge/<source>. cherry-pick: commit by commit up to the first conflict. Uncommitted changes of the target must be committed or stashed first.',
  input: z.object({
    source_workspaces: z
      .array(workspaceRef)
      .min(1, 'name at least one source')
      .max(100)
      .describe('Machines to take commits from, in this order'),
    target_workspace: workspaceRef.describe('Machine whose current branch gets them'),
    strategy: z.enum(mergeStrategies),
    path: guestPath
      .default('/workspace')
      .describe('Directory of the repository, the same in all of them; default /workspace'),
    commit_message: z
      .string()
      .min(1)
      .max(16_384)
      .refine((text) => !text.includes('\0'), 'must not contain NUL')
      .optional()
      .describe('For the merge commits of branch-per-source'),
    include_uncommitted: z
      .boolean()
      .default(false)
      .describe('Also bring what the sources have not committed, as one more commit each'),
    on_conflict: z
      .enum(['abort', 'leave'])
      .default('abort')
      .describe(
        'abort: the target gets nothing of what conflicts. leave: stop at the first conflict with it in the working tree of the target, to be resolved there',
      ),
    rollback_snapshot: z
      .boolean()
      .default(true)
      .describe('Take a snapshot of the target before it changes; default true'),
    preview: z.boolean().default(false).describe('Only say what would happen'),
  }),
  output: z.object({
    success: z.boolean().describe('Whether every source was merged'),
    strategy: z.enum(mergeStrategies),
    preview: z.boolean(),
    total_commits_applied: z.int(),
    merged_sources: z.array(z.string()),
    conflicts: z
      .array(z.object({ source_id: z.string(), error: z.string(), files: z.array(z.string()) }))
      .describe('Sources that were not merged, and why'),
    results: z.array(sourceResult).describe('For each source'),
    rollback_snapshot: z.string().nullable().describe('Snapshot of the target before the merge'),
    target_head_before: z.string(),
    target_head_after: z.string(),
  }),
  risk: 'write',
  retry: 'unsafe',
  errors: [
    'not_found',
    'wrong_state',
    'guest_unreachable',
    'git_error',
    'merge_conflict',
    'busy',
    'no_space',
    'limit_exceeded',
    'outcome_unknown',
  ],
  access: { owns: ['target_workspace', 'source_workspaces'] },
  progress: true,
  cli: {
    command: 'merge',
    positionals: ['target_workspace', 'source_workspaces'],
    flags: {
      strategy: '-s, --strategy',
      commit_message: '-m, --message',
    },
    onOff: ['rollback_snapshot'],
  },
});
