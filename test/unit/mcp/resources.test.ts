import { describe, expect, it, vi } from 'vitest';
import { listResources } from '../../../helper-daemon/mcp/resources/list.ts';
import { changesOf, tellChanges } from '../../../helper-daemon/mcp/resources/changes.ts';
import { parseUri, workspaceUri } from '../../../helper-daemon/mcp/resources/uris.ts';
import type { CoppiceEvent } from '../../../protocol/events.ts';
import type { OutputOf } from '../../../protocol/operations.ts';

const id = '11111111-1111-4111-8111-111111111111';

function workspace(name: string): OutputOf<'workspace_list'>[number] {
  return {
    workspace_id: id,
    name,
    state: 'running',
    base_image: 'debian-dev',
  } as OutputOf<'workspace_list'>[number];
}

describe('addresses of resources', () => {
  it('are read as they are written', () => {
    expect(parseUri('coppice://workspaces')).toEqual({ kind: 'workspaces' });
    expect(parseUri('coppice://audit')).toEqual({ kind: 'audit' });
    expect(parseUri(workspaceUri('a.b-c_d'))).toEqual({ kind: 'workspace', workspace: 'a.b-c_d' });
    expect(parseUri(workspaceUri('a', 'logs'))).toEqual({ kind: 'logs', workspace: 'a' });
    for (const path of ['etc/hosts', '/etc/hosts', '%2Fetc/hosts', '//etc/hosts']) {
      expect(parseUri(`coppice://workspaces/a/files/${path}`)).toEqual({
        kind: 'file',
        workspace: 'a',
        path: '/etc/hosts',
      });
    }
    expect(parseUri('coppice://workspaces/a/files/')).toMatchObject({ path: '/' });
  });

  it('are nothing when they are anything else', () => {
    for (const uri of [
      '',
      'coppice://',
      'coppice://workspaces/',
      'coppice://workspaces/a/',
      'coppice://workspaces/a/log',
      'coppice://workspaces/a b',
      'coppice://workspaces/a/files',
      'coppice://workspaces/a/files/%',
      'http://workspaces',
    ]) {
      expect(parseUri(uri), uri).toBeUndefined();
    }
  });
});

describe('the list', () => {
  it('comes in pages that miss nothing and repeat nothing', () => {
    const names = Array.from({ length: 450 }, (_, n) => `w${String(n).padStart(4, '0')}`);
    const all = names.map(workspace).reverse();
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = listResources(all, true, cursor);
      seen.push(...page.resources.map(({ name }) => name));
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    expect(seen).toEqual(['workspaces', 'audit', ...names]);
  });

  it('has the audit only where the daemon has', () => {
    expect(listResources([], false).resources.map(({ name }) => name)).toEqual(['workspaces']);
  });
});

describe('an event', () => {
  const removed: CoppiceEvent = {
    type: 'snapshot_removed',
    workspace_id: id,
    snapshot_id: id,
    name: 's',
  };

  it('is about a workspace under its id and under its name', () => {
    const known = new Map([[id, 'box']]);
    expect(changesOf(removed, known)).toEqual({
      updated: [workspaceUri(id, 'snapshots'), workspaceUri('box', 'snapshots')],
      list: false,
    });
    expect(changesOf(removed, new Map()).updated).toEqual([workspaceUri(id, 'snapshots')]);
  });

  it('changes the list when a workspace comes, goes or gets another name, and only then', () => {
    const known = new Map<string, string>();
    const change = (name: string): CoppiceEvent => ({
      type: 'workspace_changed',
      workspace: workspace(name),
    });
    expect(changesOf(change('a'), known).list).toBe(true);
    expect(changesOf(change('a'), known).list).toBe(false);
    expect(changesOf(change('b'), known).list).toBe(true);
    expect(changesOf({ type: 'workspace_removed', workspace_id: id, name: 'b' }, known).list).toBe(
      true,
    );
    expect(known.size).toBe(0);
  });

  it('is told once for a burst, to who wants it; a gap counts as a change of everything', () => {
    vi.useFakeTimers();
    const told: string[] = [];
    const take = tellChanges({
      known: new Map([[id, 'box']]),
      wants: (uri) => uri.endsWith('box/snapshots'),
      updated: (uri) => told.push(uri),
      listChanged: () => told.push('list'),
    });
    for (let turn = 0; turn < 5; turn += 1) take(removed);
    vi.runAllTimers();
    expect(told).toEqual([workspaceUri('box', 'snapshots')]);
    told.length = 0;
    take(undefined);
    vi.runAllTimers();
    expect(told).toEqual(['list', workspaceUri('box', 'snapshots')]);
    vi.useRealTimers();
  });
});
