import { describe, expect, it } from 'vitest';
import { denialLog } from '../../../helper-daemon/network/denialLog.ts';

const name = (destination: string, reason = 'why') =>
  ({ kind: 'name', destination, port: undefined, protocol: 'dns', reason }) as const;

describe('the log of what a machine was denied', () => {
  it('keeps 1,000 things, and forgets what was denied longest ago', () => {
    const log = denialLog(() => 7);
    for (let index = 0; index < 1000; index += 1) log.note(name(`n${String(index)}.test`));
    log.note(name('n0.test'));
    log.note(name('new.test'));
    const names = log.list().map(({ destination }) => destination);
    expect(names).toHaveLength(1000);
    expect(names.slice(0, 3)).toEqual(['new.test', 'n0.test', 'n999.test']);
    expect(names).not.toContain('n1.test');
    expect(names).toContain('n2.test');
    expect(log.list()[1]).toMatchObject({ count: 2, lastAt: 7 });
  });

  it('keeps them for an hour', () => {
    let now = 0;
    const log = denialLog(() => now);
    log.note(name('old.test'));
    now = 1_800_000;
    log.note(name('new.test'));
    now = 3_600_001;
    expect(log.list().map(({ destination }) => destination)).toEqual(['new.test']);
  });

  it('tells apart what, where, how and why', () => {
    const log = denialLog(() => 0);
    log.note(name('a.test', 'internet is off'));
    log.note(name('a.test', 'not in the allow-list'));
    const packet = { kind: 'connection', destination: '192.0.2.1', reason: 'why' } as const;
    log.note({ ...packet, port: 80, protocol: 'tcp' });
    log.note({ ...packet, port: 80, protocol: 'udp' });
    log.note({ ...packet, port: 81, protocol: 'tcp' });
    log.note({ ...packet, port: 81, protocol: 'tcp' });
    expect(log.list().map(({ count }) => count)).toEqual([2, 1, 1, 1, 1]);
  });
});
