import { describe, expect, it } from 'vitest';
import { createDenialLog } from '../../../../helper-daemon/network/dns/denialLog.ts';

describe('the log of refused names', () => {
  it('keeps 1,000 of each machine, and forgets what was refused longest ago', () => {
    const log = createDenialLog(() => 7);
    log.note('other', 'kept.test', 'why');
    for (let index = 0; index < 1000; index += 1) log.note('one', `n${index}.test`, 'why');
    log.note('one', 'n0.test', 'why');
    log.note('one', 'new.test', 'why');
    const names = log.of('one').map(({ destination }) => destination);
    expect(names).toHaveLength(1000);
    expect(names.slice(0, 3)).toEqual(['new.test', 'n0.test', 'n999.test']);
    expect(names).not.toContain('n1.test');
    expect(names).toContain('n2.test');
    expect(log.of('one')[1]).toMatchObject({ count: 2, lastAt: 7 });
    expect(log.of('other')).toHaveLength(1);
  });

  it('keeps them for an hour', () => {
    let now = 0;
    const log = createDenialLog(() => now);
    log.note('one', 'old.test', 'why');
    now = 1_800_000;
    log.note('one', 'new.test', 'why');
    now = 3_600_001;
    expect(log.of('one').map(({ destination }) => destination)).toEqual(['new.test']);
  });

  it('tells apart why a name was refused', () => {
    const log = createDenialLog(() => 0);
    log.note('one', 'a.test', 'internet is off');
    log.note('one', 'a.test', 'not in the allow-list');
    expect(log.of('one').map(({ reason, count }) => [reason, count])).toEqual([
      ['not in the allow-list', 1],
      ['internet is off', 1],
    ]);
  });
});
