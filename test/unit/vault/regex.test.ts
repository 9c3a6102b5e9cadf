import { describe, expect, it } from 'vitest';
import { withPattern } from '../../../helper-daemon/vault/regex.ts';
import { failure } from './temporaryVault.ts';

const endless = '^(a+)+$';
const trap = `${'a'.repeat(60)}!`;

function matching(pattern: string, ...texts: string[]): Promise<unknown> {
  return withPattern(pattern, (open) => open.matchingLines(texts), 'query');
}

describe('a pattern', () => {
  it('is matched line by line in each text', async () => {
    expect(await matching('^b.$', 'b1\nab2\r\nb3\r\n', 'x', '')).toEqual([[0, 2], [], []]);
  });

  it('may be written as other languages do', async () => {
    expect(await matching('(?i)ÄB\\-(?P<n>\\d)', 'äb-7')).toEqual([[0]]);
    expect(await matching('\\p{Lu}', 'a\nÉ')).toEqual([[1]]);
  });

  it('is refused when it is none', async () => {
    const used = async (): Promise<unknown> => matching('(?<a');
    await expect(used()).rejects.toMatchObject(failure('invalid_input', 'query'));
  });

  it('is given up when it takes too long, in a search and in a replacement', async () => {
    const search = withPattern(endless, (open) => open.matchingLines([trap]), 'query', 300);
    await expect(search).rejects.toMatchObject(failure('timeout', 'too long'));
    const replace = withPattern(endless, (open) => open.replace(trap, 'x'), 'old_string', 300);
    await expect(replace).rejects.toMatchObject(failure('timeout', 'too long'));
  });

  it('shares one time among all that a call asks', async () => {
    const work = withPattern(
      endless,
      async (open) => {
        for (;;) await open.matchingLines([`${'a'.repeat(18)}!`]);
      },
      'query',
      300,
    );
    await expect(work).rejects.toMatchObject(failure('timeout'));
  });

  it('does not keep the daemon from other work', async () => {
    let ticks = 0;
    const clock = setInterval(() => (ticks += 1), 5);
    await expect(
      withPattern(endless, (open) => open.matchingLines([trap]), 'query', 400),
    ).rejects.toMatchObject(failure('timeout'));
    clearInterval(clock);
    expect(ticks).toBeGreaterThan(3);
  });
});
