import * as z from 'zod';
import { limits } from '../limits.ts';
import { guestPath, workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';

/**
 * Repositories that may be named: over the network only. `file:` and `ext:` would be paths and programs of the
 * machine that happens to run git.
 */
export const gitUrl = z
  .string()
  .max(2048)
  .regex(/^[^\s;|&$`'"\\\u0000-\u001f\u007f]+$/, 'contains a character that no git URL needs')
  .refine(
    (url) =>
      /^(https?|git|ssh):\/\/[^-/]/i.test(url) ||
      /^[\w.~][\w.~-]*@(?:\[[\da-f:.]+\]|[\w.][\w.-]*):(?!:)./i.test(url),
    'give an https://, http://, git:// or ssh:// URL, or user@host:path',
  );

/** A branch or tag as git allows it; no option, no refspec, no pattern. */
export const gitBranch = z
  .string()
  .min(1)
  .max(255)
  .refine(
    (name) =>
      !/[\s~^:?*[\\\u0000-\u001f\u007f]|\.\.|@\{|\/\/|\/\.|\.lock(\/|$)|[./]$/.test(name) &&
      !/^[-+./@]/.test(name),
    'not a branch name',
  );

const remoteName = z
  .string()
  .max(255)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._/-]*$/, 'not the name of a remote')
  .refine((name) => !name.includes('..'), 'not the name of a remote');

const defaultPath = '/workspace';
const path = guestPath
  .default(defaultPath)
  .describe(`Directory of the repository in the machine; default ${defaultPath}`);
const inRepository = z.object({ workspace_id: workspaceRef, path });

const gitIdentity = z
  .string()
  .trim()
  .min(1)
  .max(255)
  .regex(/^[^<>\n\r\0]+$/, 'must not contain "<", ">" or line breaks');

const timeoutSecs = z.number().positive().max(limits.timeoutSecs.max);

const guestErrors = [
  'not_found',
  'wrong_state',
  'guest_unreachable',
  'not_started',
  'file_not_found',
  'git_error',
  'timeout',
] as const;
const changeErrors = [...guestErrors, 'outcome_unknown'] as const;

export const gitClone = defineOperation({
  name: 'git_clone',
  summary: 'Clone a repository into a machine',
  description:
    'The directory must be missing or empty; a clone that fails leaves it as it was. Credentials in the URL are used and never shown again.',
  input: z.object({
    workspace_id: workspaceRef,
    url: gitUrl.describe('https://, http://, git://, ssh:// or user@host:path'),
    path: guestPath
      .default(defaultPath)
      .describe(`Directory to clone into; default ${defaultPath}`),
    branch: gitBranch.optional().describe('Branch or tag to check out'),
    depth: z.int().min(1).max(0x7fff_ffff).optional().describe('Only so many latest commits'),
    timeout_secs: timeoutSecs.optional().describe('Default 300'),
  }),
  output: z.object({
    success: z.literal(true),
    path: z.string(),
    commit_sha: z.string().describe('What is checked out; empty for a repository without commits'),
    url: z.string().describe('Without credentials'),
    branch: z.string().nullable(),
    depth: z.int().nullable(),
  }),
  risk: 'write',
  retry: 'unsafe',
  errors: changeErrors,
  cli: {
    command: 'git clone',
    positionals: ['workspace_id', 'url', 'path'],
    flags: { branch: '-b, --branch', timeout_secs: '--timeout' },
  },
});

const paths = z.array(z.string());

export const gitStatusFields = z.object({
  branch: z.string().describe('"(detached)" without one'),
  ahead: z.int(),
  behind: z.int(),
  staged: paths,
  modified: paths,
  untracked: paths,
  conflicted: paths,
  dirty: z.boolean().describe('Whether any of the lists is not empty'),
  truncated: z.boolean().describe('There is more than the lists show'),
});

export const gitNotARepository = z.object({
  error: z.literal('not_a_git_repository'),
  message: z.string(),
});

export const gitStatus = defineOperation({
  name: 'git_status',
  summary: 'Show branch and changed files of a repository',
  description:
    'Paths are relative to the top of the repository; one that is not UTF-8 is quoted as git does. A directory outside any repository is a normal result.',
  input: inRepository,
  output: z.union([gitStatusFields, gitNotARepository]),
  risk: 'read',
  retry: 'safe',
  errors: guestErrors,
  cli: { command: 'git status', positionals: ['workspace_id', 'path'] },
});

export const gitCommitFields = z.object({
  commit_sha: z.string(),
  short_sha: z.string(),
  branch: z.string().describe('"(detached)" without one'),
  summary: z.string().describe('Short id and subject'),
});

export const gitNothingToCommit = z.object({
  status: z.literal('nothing_to_commit'),
  message: z.string(),
});

export const gitCommit = defineOperation({
  name: 'git_commit',
  summary: 'Commit changes of a repository',
  input: inRepository.extend({
    message: z
      .string()
      .min(1)
      .max(512 * 1024)
      .refine((text) => !text.includes('\0'), 'must not contain NUL')
      .refine((text) => text.trim() !== '', 'must not be empty'),
    add_all: z
      .boolean()
      .default(true)
      .describe('Stage every change of the repository first; default true'),
    author_name: gitIdentity
      .optional()
      .describe('Author and committer; default what git is configured with'),
    author_email: gitIdentity.optional(),
  }),
  output: z.union([gitCommitFields, gitNothingToCommit]),
  risk: 'write',
  retry: 'unsafe',
  errors: changeErrors,
  cli: {
    command: 'git commit',
    positionals: ['workspace_id', 'path'],
    flags: { message: '-m, --message', add_all: '--add-all' },
    onOff: ['add_all'],
  },
});

export const gitPush = defineOperation({
  name: 'git_push',
  summary: 'Push a branch of a repository',
  input: inRepository.extend({
    remote: z.union([remoteName, gitUrl]).default('origin').describe('Default origin'),
    branch: gitBranch.optional().describe('Default: the current one'),
    force: z.boolean().default(false).describe('Replace what the remote has'),
    set_upstream: z.boolean().default(false).describe('Follow the remote branch from now on'),
    timeout_secs: timeoutSecs.default(120).describe('Default 120'),
  }),
  output: z.object({
    remote: z.string(),
    branch: z.string(),
    success: z.literal(true),
    output: z.string(),
  }),
  risk: 'destructive',
  retry: 'safe',
  errors: changeErrors,
  cli: {
    command: 'git push',
    positionals: ['workspace_id', 'path'],
    flags: { set_upstream: '-u, --set-upstream', force: '-f, --force', timeout_secs: '--timeout' },
  },
});

export const gitDiff = defineOperation({
  name: 'git_diff',
  summary: 'Show what has changed in a repository',
  description: 'Of tracked files; new ones show after they were staged, with staged.',
  input: inRepository.extend({
    staged: z.boolean().default(false).describe('What is staged instead of what is not'),
    stat: z.boolean().default(false).describe('Only the counts for each file'),
    file_path: z
      .string()
      .min(1)
      .max(limits.pathBytes)
      .refine((text) => !text.includes('\0'), 'must not contain NUL')
      .optional()
      .describe('Only this file or directory, relative to path'),
    max_bytes: z
      .int()
      .min(1)
      .max(limits.textFileBytes)
      .default(65_536)
      .describe('Cut the text after so many bytes; default 65536'),
  }),
  output: z.object({
    diff: z.string(),
    truncated: z.boolean(),
    stat: z.string().optional().describe('Counts for each file'),
  }),
  risk: 'read',
  retry: 'safe',
  errors: guestErrors,
  cli: {
    command: 'git diff',
    positionals: ['workspace_id', 'path'],
    flags: { file_path: '--file' },
  },
});
