import * as z from 'zod';
import { limits } from '../limits.ts';
import { fileMode, guestPath, workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';

const onPath = z.object({
  workspace_id: workspaceRef,
  path: guestPath.describe('Absolute path in the machine'),
});
const done = z.object({ path: z.string() });
const fileErrors = [
  'not_found',
  'wrong_state',
  'guest_unreachable',
  'file_not_found',
  'file_exists',
  'file_error',
  'no_space',
  'permission_denied',
] as const;

export const fileEntry = z.object({
  name: z.string(),
  kind: z.enum(['file', 'dir', 'symlink', 'other']),
  size: z.number(),
  permissions: z.string().describe('rwxr-xr-x'),
  modified: z.number().nullable().describe('Seconds since the epoch'),
  uid: z.int(),
  gid: z.int(),
  link_target: z.string().nullable(),
  target_kind: z
    .enum(['file', 'dir', 'symlink', 'other'])
    .nullable()
    .describe('For a symlink: what it leads to; null when it dangles'),
});
export type FileEntry = z.infer<typeof fileEntry>;

export const fileStat = defineOperation({
  name: 'file_stat',
  summary: 'Describe one file or directory',
  input: onPath.extend({
    follow: z.boolean().optional().describe('Follow a symlink at the end of the path'),
  }),
  output: fileEntry,
  risk: 'read',
  retry: 'safe',
  errors: fileErrors,
  cli: { command: 'stat', positionals: ['workspace_id', 'path'] },
});

export const fileList = defineOperation({
  name: 'file_list',
  summary: 'List a directory in a machine',
  input: onPath,
  output: z.array(fileEntry),
  risk: 'read',
  retry: 'safe',
  errors: fileErrors,
  cli: { command: 'ls', positionals: ['workspace_id', 'path'] },
});

export const fileRead = defineOperation({
  name: 'file_read',
  summary: 'Return a text file, or a part of it',
  input: onPath.extend({
    offset: z.int().min(0).optional().describe('First byte'),
    limit: z.int().min(1).max(limits.textFileBytes).optional().describe('Bytes at most'),
  }),
  output: z.object({
    content: z.string(),
    size: z.number().describe('Bytes of the whole file'),
    truncated: z.boolean().describe('There is more after this part'),
  }),
  risk: 'read',
  retry: 'safe',
  errors: fileErrors,
});

export const fileWrite = defineOperation({
  name: 'file_write',
  summary: 'Write a text file; parent directories are created',
  input: onPath.extend({
    content: z.string().refine((text) => Buffer.byteLength(text) <= limits.textFileBytes, {
      message: 'is over 4 MiB; upload it as a stream instead (coppice cp)',
    }),
    mode: fileMode.optional().describe('Octal permission bits'),
  }),
  output: done.extend({ bytes: z.number() }),
  risk: 'write',
  retry: 'safe',
  errors: fileErrors,
});

export const fileEdit = defineOperation({
  name: 'file_edit',
  summary: 'Replace exact text in a file',
  input: onPath.extend({
    old_string: z.string().min(1).describe('Text to find'),
    new_string: z.string().describe('Text to put in its place'),
    replace_all: z.boolean().optional().describe('Every occurrence instead of the first'),
  }),
  output: done.extend({ replacements: z.int() }),
  risk: 'write',
  retry: 'unsafe',
  errors: fileErrors,
  cli: {
    command: 'edit',
    positionals: ['workspace_id', 'path', 'old_string', 'new_string'],
    flags: { replace_all: '--all' },
  },
});

export const fileMakeDirectory = defineOperation({
  name: 'file_make_directory',
  summary: 'Create a directory',
  input: onPath.extend({
    parents: z.boolean().optional().describe('Create missing parents; fine when it exists'),
    mode: fileMode.optional().describe('Octal permission bits'),
  }),
  output: done,
  risk: 'write',
  retry: 'safe',
  errors: fileErrors,
  cli: {
    command: 'mkdir',
    positionals: ['workspace_id', 'path'],
    flags: { parents: '-p, --parents' },
  },
});

export const fileRemove = defineOperation({
  name: 'file_remove',
  summary: 'Delete a file or directory',
  input: onPath.extend({
    recursive: z.boolean().optional().describe('Delete a directory with its content'),
    force: z.boolean().optional().describe('Succeed when it does not exist'),
  }),
  output: done,
  risk: 'destructive',
  retry: 'safe',
  errors: fileErrors,
  cli: {
    command: 'delete',
    positionals: ['workspace_id', 'path'],
    flags: { recursive: '-r, --recursive', force: '-f, --force' },
  },
});

const fromTo = z.object({
  workspace_id: workspaceRef,
  from: guestPath.describe('Absolute path in the machine'),
  to: guestPath.describe('Absolute path in the machine'),
  overwrite: z.boolean().optional().describe('Replace what is there'),
});

export const fileRename = defineOperation({
  name: 'file_rename',
  summary: 'Move a file or directory within a machine',
  input: fromTo,
  output: done,
  risk: 'write',
  retry: 'unsafe',
  errors: fileErrors,
  cli: { command: 'mv', positionals: ['workspace_id', 'from', 'to'] },
});

export const fileCopy = defineOperation({
  name: 'file_copy',
  summary: 'Copy a file or directory within a machine',
  input: fromTo.extend({ recursive: z.boolean().optional().describe('Copy directories') }),
  output: done.extend({ bytes: z.number() }),
  risk: 'write',
  retry: 'safe',
  errors: fileErrors,
});

export const fileSearch = defineOperation({
  name: 'file_search',
  summary: 'Search file contents or names in a machine',
  input: onPath.extend({
    pattern: z.string().max(1024).describe('Regular expression; empty lists names'),
    literal: z.boolean().optional().describe('Take the pattern as plain text'),
    ignore_case: z.boolean().optional(),
    include: z.array(z.string().max(256)).max(64).optional().describe('Globs of files to search'),
    exclude: z.array(z.string().max(256)).max(64).optional().describe('Globs of files to skip'),
    all_files: z.boolean().optional().describe('Hidden and git-ignored files too'),
    max_results: z.int().min(1).max(100_000).optional().describe('Default 1000'),
  }),
  output: z.object({
    matches: z.array(
      z.object({
        path: z.string(),
        line: z.int().describe('1-based; 0 for a match of the name'),
        start: z.int(),
        end: z.int(),
        text: z.string(),
      }),
    ),
    truncated: z.boolean(),
  }),
  risk: 'read',
  retry: 'safe',
  errors: fileErrors,
  cli: {
    command: 'search',
    positionals: ['workspace_id', 'path', 'pattern'],
    flags: { ignore_case: '-i, --ignore-case', literal: '-F, --literal' },
  },
});

export const fileDownload = defineOperation({
  name: 'file_download',
  summary: 'Stream a file out of a machine',
  input: onPath.extend({
    offset: z.int().min(0).optional(),
    limit: z.int().min(1).optional(),
  }),
  output: z.object({ ticket: z.string(), size: z.number(), mode: z.int(), modified: z.number() }),
  risk: 'read',
  retry: 'safe',
  errors: fileErrors,
  stream: 'download',
});

export const fileUpload = defineOperation({
  name: 'file_upload',
  summary: 'Stream a file into a machine',
  description: 'The file appears whole or not at all.',
  input: onPath.extend({
    size: z.int().min(0).optional().describe('Bytes to come, where known'),
    mode: fileMode.optional(),
    exclusive: z.boolean().optional().describe('Fail when the file exists'),
    append: z.boolean().optional(),
  }),
  output: z.object({ ticket: z.string() }),
  risk: 'write',
  retry: 'safe',
  errors: fileErrors,
  stream: 'upload',
});

export const fileArchive = defineOperation({
  name: 'file_archive',
  summary: 'Stream a directory out of a machine as a tar',
  input: onPath.extend({ exclude: z.array(z.string().max(256)).max(64).optional() }),
  output: z.object({ ticket: z.string() }),
  risk: 'read',
  retry: 'safe',
  errors: fileErrors,
  stream: 'download',
});

export const fileExtract = defineOperation({
  name: 'file_extract',
  summary: 'Stream a tar into a directory of a machine',
  input: onPath.extend({ keep_owner: z.boolean().optional() }),
  output: z.object({ ticket: z.string() }),
  risk: 'write',
  retry: 'safe',
  errors: fileErrors,
  stream: 'upload',
});

/** What an upload ends with. */
export const uploadResult = z.object({ bytes: z.number(), entries: z.number().optional() });
export type UploadResult = z.infer<typeof uploadResult>;
