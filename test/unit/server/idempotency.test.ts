import { beforeEach, describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import { keyedCalls, type KeyedCalls } from '../../../helper-daemon/server/idempotency.ts';
import { idempotencyStore } from '../../../helper-daemon/store/idempotencyStore.ts';
import { temporaryDatabase } from '../store/temporaryDatabase.ts';

const call = { caller: '1000/a', key: 'k', operation: 'exec', input: { command: 'make', n: 1 } };

const database = temporaryDatabase();
let clock: Date;
let calls: KeyedCalls;
let acted: number;

beforeEach(() => {
  clock = new Date('2026-01-01T00:00:00Z');
  calls = open();
  acted = 0;
});

function open(): KeyedCalls {
  return keyedCalls(idempotencyStore(database.db), () => clock);
}

const act = (): Promise<unknown> => {
  acted += 1;
  return Promise.resolve({ exit_code: 0, acted });
};

describe('calls with an idempotency key', () => {
  it('act once and give every retry the first result, also after a restart of the daemon', async () => {
    const first = await calls.once(call, act);
    expect(await calls.once(call, act)).toEqual(first);
    expect(await open().once({ ...call, input: { n: 1, command: 'make' } }, act)).toEqual(first);
    expect(acted).toBe(1);
  });

  it('join the call that still runs', async () => {
    const running = Promise.withResolvers<string>();
    const both = [calls.once(call, () => running.promise), calls.once(call, act)];
    running.resolve('done');
    expect(await Promise.all(both)).toEqual(['done', 'done']);
    expect(acted).toBe(0);
  });

  it('refuse a key that was used for something else', async () => {
    await calls.once(call, act);
    await expect(calls.once({ ...call, input: { command: 'ls' } }, act)).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
    await expect(calls.once({ ...call, operation: 'file_write' }, act)).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
    expect(await calls.once({ ...call, caller: '1000/b' }, act)).toMatchObject({ acted: 2 });
  });

  it('act again after a failure that changed nothing, and repeat one that may have', async () => {
    const fail = (code: 'busy' | 'timeout') => () => {
      acted += 1;
      return Promise.reject(new CoppiceError({ code, message: code }));
    };
    await expect(calls.once(call, fail('busy'))).rejects.toMatchObject({ code: 'busy' });
    await expect(calls.once(call, fail('timeout'))).rejects.toMatchObject({ code: 'timeout' });
    await expect(calls.once(call, act)).rejects.toMatchObject({ code: 'timeout' });
    expect(acted).toBe(2);
  });

  it('say that the outcome is unknown when the daemon died in the middle', async () => {
    void calls.once(call, () => new Promise(() => undefined));
    await expect(open().once(call, act)).rejects.toMatchObject({ code: 'outcome_unknown' });
    expect(acted).toBe(0);
  });

  it('are forgotten after a day', async () => {
    await calls.once(call, act);
    clock = new Date('2026-01-02T00:00:01Z');
    await open().once({ ...call, key: 'other' }, act);
    await calls.once(call, act);
    expect(acted).toBe(3);
  });

  it('are forgotten, the oldest first, where they take too much together', async () => {
    const large = 'x'.repeat(1_000_000);
    for (let number = 0; number < 200; number += 1) {
      clock = new Date(clock.getTime() + 1000);
      await calls.once({ ...call, key: String(number) }, () => Promise.resolve(large));
    }
    await calls.once({ ...call, key: '0' }, act);
    expect(acted).toBe(1);
    expect(await calls.once({ ...call, key: '199' }, act)).toBe(large);
  });

  it('do not keep replies without bound', async () => {
    await calls.once(call, () => Promise.resolve('x'.repeat(2 * 1024 * 1024)));
    await expect(calls.once(call, act)).rejects.toMatchObject({
      code: 'outcome_unknown',
      message: expect.stringContaining('succeeded') as string,
    });
  });
});
