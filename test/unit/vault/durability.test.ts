import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { pathLocks } from '../../../helper-daemon/vault/pathLocks.ts';
import { isLeftover, takeTemporaryName } from '../../../helper-daemon/vault/temporary.ts';
import { failure, temporaryVault } from './temporaryVault.ts';

const bed = temporaryVault();

const others = (folder = ''): string[] =>
  readdirSync(path.join(bed.root, folder)).filter((name) => name.startsWith('.coppice-'));

describe('many writers', () => {
  it('lose nothing that they append', async () => {
    const lines = Array.from({ length: 60 }, (_, index) => `line ${String(index)}`);
    await Promise.all(lines.map((line) => bed.vault.write('log.md', `${line}\n`, 'append')));
    expect(bed.get('log.md').trim().split('\n').sort()).toEqual([...lines].sort());
    expect(others()).toEqual([]);
  });

  it('are never seen half way by a reader', async () => {
    const texts = ['a', 'b', 'c'].map((letter) => letter.repeat(200_000));
    await bed.vault.write('n.md', texts[0] ?? '');
    let writing = true;
    const reading = (async () => {
      let reads = 0;
      while (writing) {
        const text = bed.get('n.md');
        expect(texts.includes(text)).toBe(true);
        reads += 1;
        await delay(0);
      }
      return reads;
    })();
    for (let round = 0; round < 10; round += 1) {
      await Promise.all(texts.map((text) => bed.vault.write('n.md', text)));
    }
    writing = false;
    expect(await reading).toBeGreaterThan(5);
  });

  it('take turns where they read before they write', async () => {
    await bed.vault.write('count.md', '0');
    await Promise.all(
      Array.from({ length: 30 }, () =>
        bed.vault.edit('count.md', async (text) => {
          await delay(1);
          return String(Number(text) + 1);
        }),
      ),
    );
    expect(bed.get('count.md')).toBe('30');
  });

  it('move notes past each other without waiting for each other for ever', async () => {
    await bed.vault.write('a.md', 'A');
    await bed.vault.write('b.md', 'B');
    const rounds = Array.from({ length: 20 }, () => [
      bed.vault.move('a.md', 'b.md', true).catch(() => undefined),
      bed.vault.move('b.md', 'a.md', true).catch(() => undefined),
    ]);
    await Promise.all(rounds.flat());
    expect((await bed.vault.list({})).count).toBe(1);
  });
});

describe('another program', () => {
  it('that writes while a change is made is not overwritten unseen', async () => {
    await bed.vault.write('n.md', 'one');
    let asked = 0;
    await bed.vault.edit('n.md', (text) => {
      asked += 1;
      if (asked === 1) bed.put('n.md', 'from an editor');
      return `${text ?? ''} and ours`;
    });
    expect(asked).toBe(2);
    expect(bed.get('n.md')).toBe('from an editor and ours');
  });

  it('that does not stop writing wins, and the caller is told', async () => {
    let round = 0;
    await bed.vault.write('n.md', 'x');
    await expect(
      bed.vault.edit('n.md', () => {
        round += 1;
        bed.put('n.md', `editor ${String(round)}`);
        return 'ours';
      }),
    ).rejects.toMatchObject(failure('busy'));
    expect(bed.get('n.md')).toBe('editor 3');
    expect(others()).toEqual([]);
  });
});

describe('a crash', () => {
  it('leaves the old note or the new one, and its leftovers are taken away', async () => {
    bed.put('n.md', 'old '.repeat(100_000));
    const writer = fork(new URL('crashingWriter.ts', import.meta.url), [bed.root], {
      stdio: 'ignore',
    });
    const ended = once(writer, 'exit');
    // In the middle of one of its many writes.
    while (others().length === 0 && writer.exitCode === null) await delay(0);
    writer.kill('SIGKILL');
    await ended;
    const text = bed.get('n.md');
    expect(['old ', 'new ', 'NEW ']).toContain(text.slice(0, 4));
    expect(text).toBe(text.slice(0, 4).repeat(100_000));
    await bed.reopen();
    await bed.vault.list({});
    expect(others()).toEqual([]);
    expect(bed.get('n.md')).toBe(text);
  });

  it('leaves nothing in folders that no list looks into, either', async () => {
    const name = `.coppice-${String(process.pid)}-0123456789abcdef.tmp`;
    mkdirSync(path.join(bed.root, '.obsidian/deep'), { recursive: true });
    writeFileSync(path.join(bed.root, '.obsidian/deep', name), 'half');
    await bed.reopen();
    await bed.vault.close();
    expect(others('.obsidian/deep')).toEqual([]);
  });

  it('does not mean those that are still being written, here or by another daemon', () => {
    const mine = takeTemporaryName();
    expect(isLeftover(mine.name, 1e9)).toBe(false);
    mine.release();
    expect(isLeftover(mine.name, 0)).toBe(true);
    const elsewhere = `.coppice-${String(process.ppid)}-0123456789abcdef.tmp`;
    expect(isLeftover(elsewhere, 0)).toBe(false);
    expect(isLeftover(elsewhere, 60 * 60_000)).toBe(true);
    expect(isLeftover('.coppice-notes.tmp', 1e9)).toBe(false);
  });

  it('never takes files with other names', async () => {
    for (const name of ['.coppice-1-0123456789ABCDEF.tmp', '.coppice-x.tmp', 'a.tmp']) {
      bed.put(name, 'mine');
      utimesSync(path.join(bed.root, name), 1, 1);
    }
    await bed.vault.stats();
    expect(existsSync(path.join(bed.root, '.coppice-x.tmp'))).toBe(true);
    expect(readFileSync(path.join(bed.root, 'a.tmp'), 'utf8')).toBe('mine');
    expect(readdirSync(bed.root)).toHaveLength(3);
  });
});

describe('locks', () => {
  it('are let go when the work fails, and keep order', async () => {
    const locks = pathLocks();
    const order: string[] = [];
    const works = [
      locks.run(['b', 'a', 'a'], async () => {
        await delay(5);
        order.push('first');
        throw new Error('no');
      }),
      locks.run(['a'], async () => order.push('second')),
      locks.run(['c'], async () => order.push('elsewhere')),
      locks.run(['a', 'b'], async () => order.push('third')),
    ];
    await Promise.allSettled(works);
    expect(order).toEqual(['elsewhere', 'first', 'second', 'third']);
    await locks.settled();
  });
});
