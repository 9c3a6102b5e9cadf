/** Tools that work with the repositories in workspaces. */
import * as z from 'zod';
import * as git from '../operations/git.ts';
import { workspaceMerge } from '../operations/merge.ts';
import { defineTool } from '../tool.ts';

export const gitCloneTool = defineTool({
  name: 'git_clone',
  title: 'Clone a repository',
  description:
    'Clone a git repository into a workspace. It needs internet access (see network_policy) unless the host is one the workspace may reach.',
  input: git.gitClone.input,
  output: git.gitClone.output,
  toolset: 'full',
  risk: 'write',
  retry: 'unsafe',
  openWorld: true,
  failure: 'invalid_request',
  run: (input, { call }) => call('git_clone', input),
});

export const gitStatusTool = defineTool({
  name: 'git_status',
  title: 'Repository status',
  description:
    'Show branch, ahead and behind, and the staged, modified, untracked and conflicted files of a repository as lists. Use dirty to see whether there is anything to commit.',
  input: git.gitStatus.input,
  output: z.object({
    ...git.gitStatusFields.partial().shape,
    ...git.gitNotARepository.partial().shape,
  }),
  toolset: 'full',
  risk: 'read',
  retry: 'safe',
  failure: 'invalid_request',
  run: (input, { call }) => call('git_status', input),
});

export const gitCommitTool = defineTool({
  name: 'git_commit',
  title: 'Commit changes',
  description:
    'Commit the changes of a repository; stages everything first unless add_all is false. Works where git has no identity configured.',
  input: git.gitCommit.input,
  output: z.object({
    ...git.gitCommitFields.partial().shape,
    ...git.gitNothingToCommit.partial().shape,
  }),
  toolset: 'full',
  risk: 'write',
  retry: 'unsafe',
  failure: 'invalid_request',
  run: (input, { call }) => call('git_commit', input),
});

export const gitPushTool = defineTool({
  name: 'git_push',
  title: 'Push a branch',
  description:
    'Push a branch of a repository to a remote. For a new branch set set_upstream; for private remotes give credentials with set_env (GIT_ASKPASS).',
  input: git.gitPush.input,
  output: git.gitPush.output,
  toolset: 'full',
  risk: 'destructive',
  retry: 'safe',
  openWorld: true,
  failure: 'invalid_request',
  run: (input, { call }) => call('git_push', input),
});

export const gitDiffTool = defineTool({
  name: 'git_diff',
  title: 'Show changes',
  description:
    'Show the changes of tracked files in a repository, staged or not, as a diff or only as counts (stat).',
  input: git.gitDiff.input,
  output: git.gitDiff.output,
  toolset: 'full',
  risk: 'read',
  retry: 'safe',
  failure: 'invalid_request',
  run: (input, { call }) => call('git_diff', input),
});

export const workspaceMergeTool = defineTool({
  name: 'workspace_merge',
  title: 'Merge workspaces',
  description:
    'Bring the commits of one or several workspaces (usually forks) into the repository of another. Sources that conflict are listed with their files and the rest is merged; the target is never left half merged, and rollback_snapshot names its state before. preview shows what would happen; on_conflict "leave" stops with the conflict in the target, to be resolved there with exec.',
  input: workspaceMerge.input,
  output: workspaceMerge.output,
  toolset: 'full',
  risk: 'write',
  retry: 'unsafe',
  failure: 'invalid_request',
  run: (input, { call }) => call('workspace_merge', input),
});
