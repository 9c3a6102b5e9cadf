/** The vault: notes on the host that agents share, in Markdown. It needs no machine. */
import * as z from 'zod';
import { limits } from '../limits.ts';
import { defineOperation } from '../operation.ts';

/** Bounds of the vault, in bytes where nothing else is said. */
export const vaultLimits = {
  /** Of one note, also after something was added to it. */
  noteBytes: 10 * 1024 * 1024,
  /** Of a search, and of a pattern to replace. */
  queryBytes: 1024,
  batchPaths: 10,
  /** Of everything one reply repeats from notes. */
  replyBytes: 4 * 1024 * 1024,
  results: { default: 20 },
  entries: 20_000,
  recent: { default: 10, max: 1000 },
} as const;

const vaultPath = z
  .string()
  .min(1)
  .refine((path) => !path.includes('\0'), 'must not contain NUL')
  .refine((path) => Buffer.byteLength(path) <= limits.pathBytes, 'is longer than 4096 bytes');

const notePath = vaultPath.describe('Path of a note in the vault, for example notes/today.md');
const onNote = z.object({ path: notePath });
const frontMatter = z
  .record(z.string(), z.unknown())
  .nullable()
  .describe('The YAML between the --- lines; null where there is none or it cannot be read');
const problem = z.string().nullable().describe('Why the front matter cannot be read');
const changed = z.boolean().describe('False when it was like that already');

const readErrors = ['vault_error', 'wrong_state', 'file_not_found', 'permission_denied'] as const;
const writeErrors = [...readErrors, 'limit_exceeded', 'no_space', 'busy'] as const;

const tooLong = `is longer than ${String(vaultLimits.queryBytes)} bytes`;

export const vaultRead = defineOperation({
  name: 'vault_read',
  summary: 'Read a note of the vault',
  input: onNote,
  output: z.object({ path: z.string(), content: z.string(), frontmatter: frontMatter, problem }),
  risk: 'read',
  retry: 'safe',
  errors: readErrors,
  cli: { command: 'vault read', positionals: ['path'] },
});

export const vaultWrite = defineOperation({
  name: 'vault_write',
  summary: 'Write a note of the vault, or add to one',
  description:
    'The note appears whole or not at all; missing folders are made. What it held before stays in its history.',
  input: onNote.extend({
    content: z.string().describe('Text of the note, at most 10 MiB'),
    mode: z
      .enum(['overwrite', 'append', 'prepend'])
      .optional()
      .describe(
        'append: after the text; prepend: before it, but after its front matter. Default overwrite',
      ),
  }),
  output: z.object({
    path: z.string(),
    mode: z.enum(['overwrite', 'append', 'prepend']),
    bytes: z.int().describe('Size of the whole note now'),
    created: z.boolean(),
  }),
  risk: 'write',
  retry: 'unsafe',
  errors: writeErrors,
  cli: { command: 'vault write', positionals: ['path', 'content'] },
});

export const vaultSearch = defineOperation({
  name: 'vault_search',
  summary: 'Search the notes of the vault, line by line',
  input: z.object({
    query: z
      .string()
      .refine((query) => Buffer.byteLength(query) <= vaultLimits.queryBytes, tooLong)
      .describe('Text to find, case-sensitive'),
    regex: z
      .boolean()
      .optional()
      .describe('query is a JavaScript regular expression; (?i) in front ignores case'),
    path_prefix: vaultPath.optional().describe('Only in this folder'),
    tag: z.string().min(1).max(256).optional().describe('Only in notes with this tag'),
    max_results: z
      .int()
      .min(0)
      .optional()
      .describe(`0: all there are. Default ${String(vaultLimits.results.default)}`),
  }),
  output: z.object({
    query: z.string(),
    result_count: z.int(),
    results: z.array(
      z.object({
        path: z.string(),
        line_number: z.int(),
        line: z.string(),
        context: z.string().describe('The line with two lines on either side'),
      }),
    ),
    truncated: z.boolean().describe('There are more matches than these'),
  }),
  risk: 'read',
  retry: 'safe',
  errors: [...readErrors, 'timeout'],
  cli: { command: 'vault search', positionals: ['query'], flags: { regex: '-e, --regex' } },
});

export const vaultList = defineOperation({
  name: 'vault_list',
  summary: 'List notes and folders of the vault',
  input: z.object({
    path: vaultPath.optional().describe('Folder; default: the whole vault'),
    recursive: z.boolean().optional().describe('All notes below it, without the folders'),
  }),
  output: z.object({
    path: z.string(),
    recursive: z.boolean(),
    count: z.int(),
    entries: z.array(
      z.object({
        path: z.string(),
        is_dir: z.boolean(),
        size: z.int().nullable().describe('Bytes; null for a folder'),
      }),
    ),
    truncated: z.boolean(),
  }),
  risk: 'read',
  retry: 'safe',
  errors: readErrors,
  cli: {
    command: 'vault list',
    positionals: ['path'],
    flags: { recursive: '-r, --recursive' },
  },
});

export const vaultDelete = defineOperation({
  name: 'vault_delete',
  summary: 'Delete a note of the vault',
  description: 'Its history stays: vault_restore brings it back.',
  input: onNote,
  output: z.object({ path: z.string() }),
  risk: 'destructive',
  retry: 'unsafe',
  errors: writeErrors,
  cli: { command: 'vault delete', positionals: ['path'] },
});

export const vaultFrontmatter = defineOperation({
  name: 'vault_frontmatter',
  summary: 'Read or change the front matter of a note',
  description: 'Comments, order and spelling of all other keys stay as they are.',
  input: onNote.extend({
    frontmatter_action: z.enum(['get', 'set', 'delete']).describe('What to do'),
    key: z
      .string()
      .min(1)
      .max(256)
      .regex(/^[^\p{Cc}\u2028\u2029]+$/u, 'must be one line')
      .optional()
      .describe('For set and delete'),
    value: z
      .string()
      .optional()
      .describe('For set, as JSON or YAML: done, 3, [a, b]; quoted it is text: \'"3"\''),
  }),
  output: z.object({ path: z.string(), frontmatter: frontMatter, problem, changed }),
  risk: 'write',
  retry: 'safe',
  errors: writeErrors,
  cli: {
    command: 'vault frontmatter',
    positionals: ['path', 'frontmatter_action', 'key', 'value'],
  },
});

export const vaultTags = defineOperation({
  name: 'vault_tags',
  summary: 'List or change the tags of a note',
  description:
    'Tags are those of the front matter and #these in the text; add and remove change the front matter only.',
  input: onNote.extend({
    tags_action: z.enum(['list', 'add', 'remove']).describe('What to do'),
    tag: z
      .string()
      .max(256)
      .regex(/^#?[^\s#,]+$/u, 'must be one word')
      .optional()
      .describe('For add and remove'),
  }),
  output: z.object({ path: z.string(), tags: z.array(z.string()), changed }),
  risk: 'write',
  retry: 'safe',
  errors: writeErrors,
  cli: { command: 'vault tags', positionals: ['path', 'tags_action', 'tag'] },
});

export const vaultReplace = defineOperation({
  name: 'vault_replace',
  summary: 'Replace text in a note, everywhere it occurs',
  input: onNote.extend({
    old_string: z.string().min(1).describe('Text to find; with regex a pattern, ^ and $ per line'),
    new_string: z.string().describe('Text to put in its place; with regex $1 stands for a group'),
    regex: z.boolean().optional().describe('old_string is a JavaScript regular expression'),
  }),
  output: z.object({ path: z.string(), replacements: z.int() }),
  risk: 'write',
  retry: 'unsafe',
  errors: [...writeErrors, 'timeout'],
  cli: {
    command: 'vault replace',
    positionals: ['path', 'old_string', 'new_string'],
    flags: { regex: '-e, --regex' },
  },
});

export const vaultMove = defineOperation({
  name: 'vault_move',
  summary: 'Move or rename a note',
  description: 'Its history moves with it; links to it are not changed.',
  input: onNote.extend({
    new_path: vaultPath.describe('Where to'),
    overwrite: z.boolean().optional().describe('Replace a note that is there'),
  }),
  output: z.object({ moved: z.literal(true), from: z.string(), to: z.string() }),
  risk: 'write',
  retry: 'unsafe',
  errors: [...writeErrors, 'file_exists'],
  cli: { command: 'vault move', positionals: ['path', 'new_path'] },
});

export const vaultBatchRead = defineOperation({
  name: 'vault_batch_read',
  summary: 'Read several notes at once',
  input: z.object({
    paths: z.array(vaultPath).max(1000).describe('At most 10 notes'),
    include_content: z.boolean().optional().describe('Default true'),
    include_frontmatter: z.boolean().optional().describe('Default true'),
  }),
  output: z.object({
    notes: z.array(
      z.object({
        path: z.string(),
        content: z.string().nullable(),
        frontmatter: frontMatter,
        error: z.string().nullable().describe('Why this one could not be read'),
      }),
    ),
  }),
  risk: 'read',
  retry: 'safe',
  errors: [...readErrors, 'limit_exceeded'],
});

export const vaultStats = defineOperation({
  name: 'vault_stats',
  summary: 'Count the notes of the vault and show the newest',
  input: z.object({
    recent_count: z
      .int()
      .min(0)
      .max(vaultLimits.recent.max)
      .optional()
      .describe(`How many of the newest. Default ${String(vaultLimits.recent.default)}`),
  }),
  output: z.object({
    total_notes: z.int(),
    total_folders: z.int(),
    total_size_bytes: z.int(),
    recent_files: z.array(
      z.object({ path: z.string(), size_bytes: z.int(), modified: z.string() }),
    ),
  }),
  risk: 'read',
  retry: 'safe',
  errors: readErrors,
  cli: { command: 'vault stats', flags: { recent_count: '-n, --recent' } },
});

export const vaultLinks = defineOperation({
  name: 'vault_links',
  summary: 'Show what a note links to and what links to it',
  description:
    'Reads [[wiki links]], with headings and aliases, and [Markdown links](to/notes.md).',
  input: onNote,
  output: z.object({
    path: z.string(),
    links: z.array(
      z.object({
        target: z.string().describe('As it is written'),
        path: z.string().nullable().describe('The note it leads to; null: there is none'),
        heading: z.string().nullable(),
        alias: z.string().nullable(),
        line_number: z.int(),
      }),
    ),
    backlinks: z.array(z.object({ path: z.string(), line_number: z.int(), line: z.string() })),
  }),
  risk: 'read',
  retry: 'safe',
  errors: readErrors,
  cli: { command: 'vault links', positionals: ['path'] },
});

const version = z.int().min(1);

export const vaultHistory = defineOperation({
  name: 'vault_history',
  summary: 'List former contents of a note, or read one',
  input: onNote.extend({ version: version.optional().describe('Read this one') }),
  output: z.object({
    path: z.string(),
    versions: z
      .array(
        z.object({
          version: z.int(),
          replaced_at: z.string(),
          replaced_by: z.string().describe('What was done to the note then'),
          bytes: z.int(),
          path: z.string().describe('What the note was called then'),
        }),
      )
      .describe('Newest first; only the one that was asked for when there was one'),
    content: z.string().nullable().describe('Of the version that was asked for'),
  }),
  risk: 'read',
  retry: 'safe',
  errors: [...readErrors, 'not_found'],
  cli: { command: 'vault history', positionals: ['path', 'version'] },
});

export const vaultRestore = defineOperation({
  name: 'vault_restore',
  summary: 'Give a note a former content back',
  description: 'Also when it was deleted. What it holds now becomes a version itself.',
  input: onNote.extend({ version: version.describe('As vault_history lists them') }),
  output: z.object({ path: z.string(), version: z.int() }),
  risk: 'write',
  retry: 'safe',
  errors: [...writeErrors, 'not_found'],
  cli: { command: 'vault restore', positionals: ['path', 'version'] },
});
