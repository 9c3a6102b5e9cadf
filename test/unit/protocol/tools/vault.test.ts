import { describe, expect, it } from 'vitest';
import { operations } from '../../../../protocol/operations.ts';
import {
  runTool,
  toolInput,
  type CallOperation,
  type ToolReply,
} from '../../../../protocol/tool.ts';
import { tools } from '../../../../protocol/tools.ts';
import { vaultTool } from '../../../../protocol/tools/vault.ts';
import type { CallContext, Handler } from '../../../../helper-daemon/server/handlerTypes.ts';
import { vaultHandlers } from '../../../../helper-daemon/server/handlers/vaultHandlers.ts';
import { vaultDoors } from '../../../../helper-daemon/vault/onDemand.ts';
import type { Vault } from '../../../../helper-daemon/vault/vault.ts';
import { temporaryVault } from '../../vault/temporaryVault.ts';

const bed = temporaryVault();

/** As the server does: the operation's schema, then its handler. */
function calling(vault: () => Promise<Vault>): CallOperation {
  const handlers = vaultHandlers(vault) as unknown as Record<string, Handler<'vault_stats'>>;
  return (async (name: string, input: object) => {
    const operation = operations[name as 'vault_stats'];
    const output = await handlers[name]?.(operation.input.parse(input), {
      caller: { uid: 0, agent: null },
    } as CallContext);
    return operation.output.parse(output);
  }) as unknown as CallOperation;
}

function run(input: Record<string, unknown>): Promise<ToolReply> {
  return runTool(
    vaultTool,
    input,
    calling(() => Promise.resolve(bed.vault)),
  );
}

async function text(input: Record<string, unknown>): Promise<string> {
  return (await run(input)).text;
}

async function json(input: Record<string, unknown>): Promise<unknown> {
  return JSON.parse(await text(input)) as unknown;
}

it('is in the catalogue, with a schema that MCP can show', () => {
  expect(tools).toContain(vaultTool);
  expect(Object.keys(toolInput(vaultTool).shape)).toEqual(
    expect.arrayContaining(
      'action path content mode query regex tag max_results path_prefix recursive confirm key value frontmatter_action tags_action old_string new_string new_path overwrite paths include_content include_frontmatter recent_count format'.split(
        ' ',
      ),
    ),
  );
});

describe('each action answers as the contract says', () => {
  it('write, read and delete', async () => {
    const note = { path: 'a/n.md', content: '---\nk: 1\n---\nbody' };
    expect(await text({ action: 'write', ...note })).toBe("Note 'a/n.md' written (overwrite).");
    expect(await text({ action: 'read', path: 'a/n.md' })).toBe(note.content);
    expect(await text({ action: 'read', path: 'a/n.md', format: 'html' })).toBe(note.content);
    expect(await json({ action: 'read', path: 'a/n.md', format: 'json' })).toMatchObject({
      ...note,
      frontmatter: { k: 1 },
    });
    expect(await text({ action: 'write', path: 'a/n.md', content: 'x', mode: 'append' })).toBe(
      "Note 'a/n.md' written (append).",
    );
    expect(await text({ action: 'delete', path: 'a/n.md', confirm: true })).toBe(
      "Note 'a/n.md' deleted.",
    );
  });

  it('search and list', async () => {
    bed.put('a/n.md', 'needle');
    expect(await json({ action: 'search', query: 'needle', path_prefix: 'a' })).toMatchObject({
      query: 'needle',
      result_count: 1,
      results: [{ path: 'a/n.md', line_number: 1, line: 'needle', context: 'needle' }],
    });
    const a = { path: 'a', recursive: false, count: 1 };
    expect(await json({ action: 'list', path: 'a' })).toMatchObject(a);
    expect(await json({ action: 'list', path_prefix: 'a' })).toMatchObject(a);
    expect(await json({ action: 'list' })).toMatchObject({
      path: '/',
      entries: [{ path: 'a', is_dir: true, size: null }],
    });
  });

  it('frontmatter', async () => {
    bed.put('n.md', 'body');
    const on = { action: 'frontmatter', path: 'n.md' };
    const set = { ...on, frontmatter_action: 'set', key: 'k' };
    expect(await json({ ...on, frontmatter_action: 'get' })).toMatchObject({ frontmatter: null });
    for (const value of [
      'completed',
      '3',
      3,
      true,
      ['a', 1],
      { a: { b: [] } },
      '',
      'a: b',
      false,
    ]) {
      expect(await text({ ...set, value })).toBe("Frontmatter key 'k' set on 'n.md'.");
      expect(await json({ ...on, frontmatter_action: 'get' })).toMatchObject({
        path: 'n.md',
        frontmatter: { k: value },
      });
    }
    expect(await text({ ...on, frontmatter_action: 'delete', key: 'k' })).toBe(
      "Frontmatter key 'k' deleted from 'n.md'.",
    );
    expect(bed.get('n.md')).toBe('body');
  });

  it('tags', async () => {
    bed.put('n.md', '#b');
    const on = { action: 'tags', path: 'n.md' };
    expect(await text({ ...on, tags_action: 'add', tag: 'a' })).toBe("Tag 'a' added to 'n.md'.");
    expect(await json({ ...on, tags_action: 'list' })).toMatchObject({
      path: 'n.md',
      tags: ['a', 'b'],
    });
    expect(await text({ ...on, tags_action: 'remove', tag: 'a' })).toBe(
      "Tag 'a' removed from 'n.md'.",
    );
  });

  it('replace, move, stats', async () => {
    bed.put('n.md', 'x-y x-y');
    expect(
      await json({
        action: 'replace',
        path: 'n.md',
        old_string: '(x)-(y)',
        new_string: '$2$1',
        regex: true,
      }),
    ).toMatchObject({ path: 'n.md', replacements: 2 });
    expect(await json({ action: 'move', path: 'n.md', new_path: 'm.md' })).toMatchObject({
      moved: true,
      from: 'n.md',
      to: 'm.md',
    });
    expect(await json({ action: 'stats' })).toMatchObject({
      total_notes: 1,
      total_folders: 0,
      total_size_bytes: 5,
      recent_files: [{ path: 'm.md', size_bytes: 5 }],
    });
  });

  it('batch_read, as a list', async () => {
    bed.put('n.md', 'x');
    const reply = await run({ action: 'batch_read', paths: ['n.md', 'none.md'] });
    expect(JSON.parse(reply.text)).toMatchObject([
      { path: 'n.md', content: 'x', frontmatter: null, error: null },
      { path: 'none.md', content: null, frontmatter: null },
    ]);
    expect(reply.structured).toMatchObject({ action: 'batch_read', notes: [{}, {}] });
  });

  it('links, history and restore', async () => {
    await bed.vault.write('n.md', 'one [[m]]');
    await bed.vault.write('n.md', 'two [[m]]');
    expect(await json({ action: 'links', path: 'n.md' })).toMatchObject({
      links: [{ target: 'm', path: null }],
      backlinks: [],
    });
    const { versions } = (await json({ action: 'history', path: 'n.md' })) as {
      versions: { version: number }[];
    };
    const version = versions[0]?.version;
    expect(await json({ action: 'history', path: 'n.md', version })).toMatchObject({
      content: 'one [[m]]',
    });
    expect(await text({ action: 'restore', path: 'n.md', version })).toBe(
      `Note 'n.md' restored to version ${String(version)}.`,
    );
    expect(bed.get('n.md')).toBe('one [[m]]');
  });

  it('the task board of a team, as agents write it', async () => {
    const path = 'teams/review-team/tasks/task-001.md';
    const content =
      '---\nstatus: pending\npriority: high\nassigned_to: coder\ndepends_on: []\n---\n# Implement feature X\n\nWrite the implementation for feature X.';
    await run({ action: 'write', path, content });
    const search = {
      action: 'search',
      query: 'status: pending',
      path_prefix: 'teams/review-team/tasks',
    };
    expect(await json(search)).toMatchObject({ results: [{ path, line_number: 2 }] });
    await run({
      action: 'frontmatter',
      path,
      frontmatter_action: 'set',
      key: 'status',
      value: 'completed',
    });
    expect(bed.get(path)).toBe(content.replace('pending', 'completed'));
    expect(await json(search)).toMatchObject({ result_count: 0 });
  });
});

describe('what is wrong with the parameters is invalid_params', () => {
  it.each([
    [{}, 'action'],
    [{ action: 'nothing' }, 'action'],
    [{ action: 'read' }, 'action read needs path'],
    [{ action: 'write', path: 'n.md' }, 'action write needs content'],
    [{ action: 'write', path: 'n.md', content: 'x', mode: 'insert' }, 'mode'],
    [{ action: 'search' }, 'action search needs query'],
    [{ action: 'search', query: 'x'.repeat(1025) }, '1024 bytes'],
    [{ action: 'search', query: '(', regex: true }, 'query'],
    [{ action: 'search', query: 'x', max_results: -1 }, 'max_results'],
    [{ action: 'delete', path: 'n.md' }, 'needs confirm'],
    [{ action: 'delete', path: 'n.md', confirm: false }, 'confirm to be true'],
    [{ action: 'frontmatter', path: 'n.md' }, 'needs frontmatter_action'],
    [{ action: 'frontmatter', path: 'n.md', frontmatter_action: 'set', key: 'k' }, 'needs value'],
    [{ action: 'frontmatter', path: 'n.md', frontmatter_action: 'delete' }, 'needs key'],
    [{ action: 'frontmatter', path: 'n.md', frontmatter_action: 'put' }, 'frontmatter_action'],
    [{ action: 'tags', path: 'n.md', tags_action: 'add' }, 'needs tag'],
    [{ action: 'tags', path: 'n.md' }, 'needs tags_action'],
    [{ action: 'replace', path: 'n.md', old_string: 'x' }, 'needs new_string'],
    [
      { action: 'replace', path: 'n.md', old_string: '(', new_string: '', regex: true },
      'old_string',
    ],
    [{ action: 'move', path: 'n.md' }, 'needs new_path'],
    [{ action: 'batch_read' }, 'needs paths'],
    [{ action: 'restore', path: 'n.md' }, 'needs version'],
    [{ action: 'read', path: 'a\0b' }, 'NUL'],
  ])('%j', async (input, message) => {
    bed.put('n.md', 'body');
    await expect(run(input)).rejects.toMatchObject({
      kind: 'invalid_params',
      code: 'invalid_input',
      message: expect.stringContaining(message) as string,
    });
    expect(bed.get('n.md')).toBe('body');
  });
});

describe('what the work itself fails with is internal_error', () => {
  it.each([
    [{ action: 'read', path: 'none.md' }, 'file_not_found'],
    [{ action: 'read', path: '../n.md' }, 'vault_error'],
    [{ action: 'batch_read', paths: Array<string>(11).fill('n.md') }, 'limit_exceeded'],
    [{ action: 'move', path: 'n.md', new_path: 'n.md' }, 'file_exists'],
    [{ action: 'tags', path: 'n.md', tags_action: 'add', tag: 'x' }, 'vault_error'],
    [{ action: 'restore', path: 'n.md', version: 7 }, 'not_found'],
  ])('%j', async (input, code) => {
    bed.put('n.md', '---\ntags: none\n---\n');
    await expect(run(input)).rejects.toMatchObject({ kind: 'internal_error', code });
  });
});

it('is refused as invalid_request where the daemon has no vault', async () => {
  const closed = vaultDoors(() => undefined).of(0);
  await expect(runTool(vaultTool, { action: 'stats' }, calling(closed.open))).rejects.toMatchObject(
    { kind: 'invalid_request', code: 'wrong_state' },
  );
  await closed.close();
});
