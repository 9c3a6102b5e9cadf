import { describe, expect, it } from 'vitest';
import { keyedLock } from '../../../helper-daemon/workspaces/keyedLock.ts';

describe('keyedLock', () => {
  it('runs work on one key in order and does not make other keys wait', async () => {
    const lock = keyedLock();
    const seen: string[] = [];
    let release = (): void => undefined;
    const first = lock.run('a', async () => {
      await new Promise<void>((resolve) => (release = resolve));
      seen.push('a1');
    });
    const second = lock.run('a', async () => {
      seen.push('a2');
    });
    await lock.run('b', async () => {
      seen.push('b');
    });
    release();
    await Promise.all([first, second]);
    expect(seen).toEqual(['b', 'a1', 'a2']);
  });

  it('goes on after work that failed', async () => {
    const lock = keyedLock();
    await expect(lock.run('a', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await lock.run('a', () => Promise.resolve(1))).toBe(1);
  });
});
