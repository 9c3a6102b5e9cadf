import { describe, expect, test } from 'vitest';
import { eventFeed } from '../../../extension/helper/eventFeed.ts';
import { workspaceModel, type ModelChange } from '../../../extension/helper/workspaceModel.ts';
import { changed, fakeClient, removed, summary } from './fakeClient.ts';

function names(model: { list(): readonly { readonly name: string }[] }): readonly string[] {
  return model.list().map(({ name }) => name);
}

describe('the event feed', () => {
  test('lists once and then follows events', async () => {
    const model = workspaceModel(() => undefined);
    const client = fakeClient({ list: async () => [summary('a')] });
    await eventFeed(model).attach(client);
    client.emit(changed('a:1', summary('b')));
    client.emit(removed('a:2', 'a'));
    expect(names(model)).toEqual(['b']);
    expect(client.calls).toEqual(['workspace_list']);
  });

  test('events that overtake the list are not lost', async () => {
    const model = workspaceModel(() => undefined);
    const client = fakeClient({
      list: async () => {
        client.emit(changed('a:1', summary('a', { state: 'stopped' })));
        return [summary('a', { state: 'running' })];
      },
    });
    await eventFeed(model).attach(client);
    expect(model.get('id-of-a')?.state).toBe('stopped');
  });

  test('a second connection goes on from the last event without listing', async () => {
    const model = workspaceModel(() => undefined);
    const feed = eventFeed(model);
    const first = fakeClient({ list: async () => [summary('a')] });
    await feed.attach(first);
    first.emit(changed('a:7', summary('b')));
    const second = fakeClient();
    await feed.attach(second);
    expect(second.subscribedFrom).toBe('a:7');
    expect(second.calls).toEqual([]);
    expect(names(model)).toEqual(['a', 'b']);
  });

  test('a daemon that no longer has the missed events is asked for everything', async () => {
    const model = workspaceModel(() => undefined);
    const feed = eventFeed(model);
    await feed.attach(fakeClient({ list: async () => [summary('old')] }));
    const subscription = { cursor: 'b:3', reset: true };
    await feed.attach(fakeClient({ subscription, list: async () => [summary('new')] }));
    expect(names(model)).toEqual(['new']);
  });
});

describe('the workspace model', () => {
  test('sorts names as people read them', () => {
    const model = workspaceModel(() => undefined);
    model.replaceAll([summary('ws-10'), summary('ws-2'), summary('Alpha')]);
    expect(names(model)).toEqual(['Alpha', 'ws-2', 'ws-10']);
  });

  test('tells a changed workspace from a changed list', () => {
    const changes: ModelChange[] = [];
    const model = workspaceModel((change) => changes.push(change));
    model.apply(changed('a:1', summary('a')).event);
    model.apply(changed('a:2', summary('a', { state: 'stopped' })).event);
    model.apply(removed('a:3', 'a').event);
    model.apply(removed('a:4', 'a').event);
    expect(changes).toEqual(['list', { id: 'id-of-a' }, 'list']);
  });
});
