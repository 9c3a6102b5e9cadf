import { describe, expect, it } from 'vitest';
import { teamLimits } from '../../../protocol/operations/team.ts';
import { temporaryDatabase } from '../store/temporaryDatabase.ts';
import { claude, emptyWorld, teamScene } from './teamScene.ts';

const database = temporaryDatabase();

const contents = ({ messages }: { messages: readonly { content: string }[] }): string[] =>
  messages.map(({ content }) => content);

describe('mailboxes', () => {
  it('give messages in the order they were sent, once, a few at a time', async () => {
    const { create, send, receive } = teamScene(database.db);
    await create('squad');
    const sent = Array.from({ length: 25 }, (_, index) => String(index));
    for (const text of sent) send('b', text);
    const first = receive('b');
    expect(first).toMatchObject({ agent: 'b', count: 10, remaining: 15 });
    expect([...contents(first), ...contents(receive('b', { limit: 100 }))]).toEqual(sent);
    expect(receive('b')).toEqual({
      agent: 'b',
      messages: [],
      count: 0,
      remaining: 0,
      daemon_results: [],
      daemon_pending_tasks: 0,
    });
  });

  it('say who wrote what to whom, of which type, and when', async () => {
    const { create, send, receive } = teamScene(database.db);
    await create('squad');
    const id = send('b', 'look at src/', 'request');
    expect(receive('b').messages).toEqual([
      {
        message_id: id,
        from: 'a',
        to: 'b',
        content: 'look at src/',
        message_type: 'request',
        timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
      },
    ]);
  });

  it('take a broadcast to everybody but its sender, under one id', async () => {
    const { create, teams, receive } = teamScene(database.db);
    await create('squad', { members: ['a', 'b', 'c'] });
    const sent = teams.message({ name: 'squad', agent: 'b', to: '*', content: 'all' }, claude);
    expect(sent).toMatchObject({ status: 'delivered', from: 'b', to: '*', recipients: ['a', 'c'] });
    expect(receive('b').count).toBe(0);
    for (const name of ['a', 'c']) {
      expect(receive(name).messages).toMatchObject([{ message_id: sent.message_id, to: name }]);
    }
  });

  it('keep what is only peeked at until it is acknowledged', async () => {
    const { create, send, receive } = teamScene(database.db);
    await create('squad');
    const ids = ['one', 'two', 'three'].map((text) => send('b', text));
    expect(contents(receive('b', { peek: true, limit: 2 }))).toEqual(['one', 'two']);
    expect(contents(receive('b', { peek: true, ack: [ids[0] ?? ''] }))).toEqual(['two', 'three']);
    expect(receive('a', { ack: ids, peek: true }).count).toBe(0);
    expect(contents(receive('b'))).toEqual(['two', 'three']);
  });

  it('outlive the daemon', async () => {
    const world = emptyWorld();
    const before = teamScene(database.db, world);
    await before.create('squad');
    before.send('b', 'still there');
    database.reopen();
    const after = teamScene(database.db, world);
    await after.teams.recover();
    expect(contents(after.receive('b'))).toEqual(['still there']);
  });

  it('refuse what is too large by its bytes, not its characters', async () => {
    const { create, send, receive } = teamScene(database.db);
    await create('squad');
    expect(() => send('b', 'ä'.repeat(teamLimits.messageBytes / 2 + 1))).toThrow(/256 KiB/);
    send('b', 'ä'.repeat(teamLimits.messageBytes / 2));
    expect(receive('b').count).toBe(1);
  });

  it('tell the sender when they are full, and then deliver to nobody', async () => {
    const { create, teams, send, receive } = teamScene(database.db);
    await create('squad', { members: ['a', 'b', 'c'] });
    for (let index = 0; index < teamLimits.unread; index += 1) send('b', String(index));
    expect(() => send('b', 'one more')).toThrow(/mailbox of b in team squad is full/);
    const all = { name: 'squad', agent: 'a', to: '*', content: 'all' };
    expect(() => teams.message(all, claude)).toThrow(/Nothing was delivered/);
    expect(receive('c').count).toBe(0);
    expect(contents(receive('b', { limit: 1 }))).toEqual(['0']);
    send('b', 'one more');
    const rest = receive('b', { limit: teamLimits.unread });
    expect(rest.count).toBe(teamLimits.unread);
    expect(contents(rest).at(-1)).toBe('one more');
  });

  it('give no more at once than fits into a reply, and the rest later', async () => {
    const { create, send, receive } = teamScene(database.db);
    await create('squad');
    for (let index = 0; index < 12; index += 1) {
      send('b', String(index) + '\0'.repeat(teamLimits.messageBytes - 2));
    }
    const seen: string[] = [];
    let calls = 0;
    for (let left = 1; left > 0; calls += 1) {
      const reply = receive('b', { limit: 100 });
      expect(reply.count).toBeGreaterThan(0);
      expect(JSON.stringify(reply).length).toBeLessThan(4 * 1024 * 1024);
      seen.push(...contents(reply).map((text) => text.replaceAll('\0', '')));
      left = reply.remaining;
    }
    expect(seen).toEqual(Array.from({ length: 12 }, (_, index) => String(index)));
    expect(calls).toBeGreaterThan(1);
  });

  it.each([
    ['a sender', { agent: 'x', to: 'b' }],
    ['a recipient', { agent: 'a', to: 'x' }],
  ])('name the members when %s is none', async (_, who) => {
    const { create, teams } = teamScene(database.db);
    await create('squad');
    expect(() => teams.message({ name: 'squad', content: '', ...who }, claude)).toThrow(
      expect.objectContaining({ code: 'not_found', next: 'Its members are a, b.' }),
    );
  });
});
