/** Notes on the host that agents share. */
import * as z from 'zod';
import { CoppiceError } from '../errors.ts';
import * as vault from '../operations/vault.ts';
import { defineTool, ToolError, type ToolContext } from '../tool.ts';
import { contractTime } from './text.ts';

const action = z.enum([
  'read',
  'write',
  'search',
  'list',
  'delete',
  'frontmatter',
  'tags',
  'replace',
  'move',
  'batch_read',
  'stats',
  'links',
  'history',
  'restore',
]);

const { path, content, mode } = vault.vaultWrite.input.shape;
const { query, path_prefix, tag, max_results } = vault.vaultSearch.input.shape;
const { key, frontmatter_action } = vault.vaultFrontmatter.input.shape;
const { old_string, new_string } = vault.vaultReplace.input.shape;
const { new_path, overwrite } = vault.vaultMove.input.shape;

const input = z.object({
  action,
  ...z
    .object({
      path: path.describe('A note; for list a folder'),
      content,
      mode: mode.unwrap(),
      query,
      regex: z
        .boolean()
        .describe('search, replace: query or old_string is a JavaScript regular expression'),
      tag: tag.unwrap().describe('search: only notes with it; tags: the tag to add or remove'),
      max_results: max_results.unwrap(),
      path_prefix: path_prefix.unwrap(),
      recursive: vault.vaultList.input.shape.recursive.unwrap(),
      confirm: z.boolean().describe('delete: must be true'),
      key: key.unwrap(),
      value: z.unknown().describe('frontmatter set: any JSON value'),
      frontmatter_action,
      tags_action: vault.vaultTags.input.shape.tags_action,
      old_string,
      new_string,
      new_path,
      overwrite: overwrite.unwrap(),
      ...vault.vaultBatchRead.input.required().shape,
      recent_count: vault.vaultStats.input.shape.recent_count.unwrap(),
      format: z.string().describe('read: markdown (the text) or json (front matter beside it)'),
      version: vault.vaultRestore.input.shape.version,
    })
    .partial().shape,
});
type Input = z.output<typeof input>;

const output = z.object({
  action,
  ...z
    .object({
      ...vault.vaultRead.output.shape,
      ...vault.vaultWrite.output.shape,
      ...vault.vaultSearch.output.shape,
      ...vault.vaultList.output.shape,
      ...vault.vaultDelete.output.shape,
      ...vault.vaultFrontmatter.output.shape,
      ...vault.vaultTags.output.shape,
      ...vault.vaultReplace.output.shape,
      ...vault.vaultMove.output.shape,
      ...vault.vaultBatchRead.output.shape,
      ...vault.vaultStats.output.shape,
      ...vault.vaultLinks.output.shape,
      ...vault.vaultHistory.output.shape,
      ...vault.vaultRestore.output.shape,
    })
    .partial().shape,
});
type Output = z.output<typeof output>;

const needs: Readonly<Record<Input['action'], readonly (keyof Input)[]>> = {
  read: ['path'],
  write: ['path', 'content'],
  search: ['query'],
  list: [],
  delete: ['path', 'confirm'],
  frontmatter: ['path', 'frontmatter_action'],
  tags: ['path', 'tags_action'],
  replace: ['path', 'old_string', 'new_string'],
  move: ['path', 'new_path'],
  batch_read: ['paths'],
  stats: [],
  links: ['path'],
  history: ['path'],
  restore: ['path', 'version'],
};

type Required = 'path' | 'content' | 'query' | 'key' | 'tag' | 'frontmatter_action' | 'tags_action';
type Given = 'old_string' | 'new_string' | 'new_path' | 'paths' | 'version';
type Checked = Omit<Input, Required | Given> & {
  readonly [K in Required | Given]-?: NonNullable<Input[K]>;
};

/** What is required beyond the action itself. */
function neededBy(given: Input): readonly (keyof Input)[] {
  const always = needs[given.action];
  if (given.action === 'frontmatter') {
    if (given.frontmatter_action === 'set') return [...always, 'key', 'value'];
    if (given.frontmatter_action === 'delete') return [...always, 'key'];
  }
  const changesTags =
    given.action === 'tags' && ['add', 'remove'].includes(given.tags_action ?? '');
  return changesTags ? [...always, 'tag'] : always;
}

/** @throws CoppiceError `invalid_input` that names what is missing */
function checked(given: Input): Checked {
  const needed = neededBy(given);
  const missing = needed.filter((field) => given[field] === undefined);
  if (missing.length > 0) {
    throw invalid(`action ${given.action} needs ${missing.join(', ')}`, needed);
  }
  if (given.action === 'delete' && given.confirm !== true) {
    throw invalid('action delete needs confirm to be true', needed);
  }
  return given as Checked;
}

function invalid(problem: string, needed: readonly string[]): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: `vault: ${problem}.`,
    next: `Call it again with ${needed.join(', ')}.`,
  });
}

export const vaultTool = defineTool({
  name: 'vault',
  title: 'Shared notes',
  description: `Read, write and search notes (Markdown with YAML front matter) that all agents of an account, and its owner, share. Paths are relative to the vault; it needs no workspace.
read (path; format json: front matter beside the text), batch_read (paths, at most 10; include_content, include_frontmatter), list (path, recursive), stats (recent_count).
search (query; regex, path_prefix, tag, max_results, default 20): line by line, case-sensitive.
write (path, content; mode overwrite, append or prepend): makes folders; a note appears whole or not at all.
replace (path, old_string, new_string; regex with $1): every occurrence. move (path, new_path; overwrite). delete (path, confirm true).
frontmatter (path, frontmatter_action get, set with key and value, or delete with key): other keys and comments stay. tags (path, tags_action list, add or remove with tag).
links (path): notes it links to, and those that link to it. history (path; version): former contents, or one of them; restore (path, version) brings it back, also after delete.`,
  input,
  output,
  toolset: 'full',
  risk: 'destructive',
  retry: 'unsafe',
  failure: 'internal_error',
  text,
  async run(raw, { call }) {
    const given = checked(raw);
    try {
      return { action: given.action, ...(await perform(given, call)) };
    } catch (error) {
      const off = error instanceof CoppiceError && error.code === 'wrong_state';
      throw off ? new ToolError('invalid_request', error.toBody()) : error;
    }
  },
});

async function perform(
  given: Checked,
  call: ToolContext['call'],
): Promise<Omit<z.input<typeof output>, 'action'>> {
  switch (given.action) {
    case 'read':
      return await call('vault_read', given);
    case 'write':
      return await call('vault_write', given);
    case 'search':
      return await call('vault_search', given);
    case 'list':
      return await call('vault_list', { ...given, path: given.path ?? given.path_prefix });
    case 'delete':
      return await call('vault_delete', given);
    case 'frontmatter':
      return await call('vault_frontmatter', { ...given, value: JSON.stringify(given.value) });
    case 'tags':
      return await call('vault_tags', given);
    case 'replace':
      return await call('vault_replace', given);
    case 'move':
      return await call('vault_move', given);
    case 'batch_read':
      return await call('vault_batch_read', given);
    case 'stats': {
      const { recent_files, ...rest } = await call('vault_stats', given);
      const recent = recent_files.map((file) => ({
        ...file,
        modified: contractTime(file.modified),
      }));
      return { ...rest, recent_files: recent };
    }
    case 'links':
      return await call('vault_links', given);
    case 'history':
      return await call('vault_history', given);
    case 'restore':
      return await call('vault_restore', given);
  }
}

function text(given: Output, asked: Input): string {
  const { action: done, ...result } = given;
  const note = `'${given.path ?? ''}'`;
  switch (done) {
    case 'read':
      return asked.format === 'json' ? JSON.stringify(result) : (given.content ?? '');
    case 'write':
      return `Note ${note} written (${given.mode ?? 'overwrite'}).`;
    case 'delete':
      return `Note ${note} deleted.`;
    case 'restore':
      return `Note ${note} restored to version ${String(given.version)}.`;
    case 'frontmatter':
      if (asked.frontmatter_action === 'set') {
        return `Frontmatter key '${asked.key ?? ''}' set on ${note}.`;
      }
      if (asked.frontmatter_action === 'delete') {
        return `Frontmatter key '${asked.key ?? ''}' deleted from ${note}.`;
      }
      return JSON.stringify(result);
    case 'tags':
      if (asked.tags_action === 'add') return `Tag '${asked.tag ?? ''}' added to ${note}.`;
      if (asked.tags_action === 'remove') return `Tag '${asked.tag ?? ''}' removed from ${note}.`;
      return JSON.stringify(result);
    case 'batch_read':
      return JSON.stringify(given.notes);
    default:
      return JSON.stringify(result);
  }
}
