import { describe, expect, it } from 'vitest';
import { createAdmissions } from '../../../../helper-daemon/network/bridge/admissions.ts';
import type { Card } from '../../../../helper-daemon/network/network.ts';
import { closedPolicy } from '../../../../helper-daemon/network/policy.ts';

const asker: Card = {
  workspaceId: 'w',
  name: 'demo',
  address: '10.42.0.5',
  mac: '02:c0:0a:2a:00:05',
  policy: {
    ...closedPolicy,
    internet: 'list',
    allow: ['a.example:443', 'b.example:400-500', 'c.example'],
  },
  revision: 1,
  forwards: [],
};

function bed(): {
  readonly clock: { now: number };
  readonly admissions: ReturnType<typeof createAdmissions>;
} {
  const clock = { now: 0 };
  return { clock, admissions: createAdmissions(() => clock.now) };
}

describe('what names lead to', () => {
  it('is open at all ports, or at pieces that never overlap', () => {
    const { admissions } = bed();
    expect(admissions.admit(asker, ['203.0.113.1'], [undefined], 90)).toEqual([
      { set: 'names', key: ['10.42.0.5', '203.0.113.1'], timeout: 90 },
    ]);
    const one = admissions.admit(asker, ['203.0.113.2'], [[443, 443]], 90);
    expect(one.map(({ key }) => key[2])).toEqual(['443']);
    const more = admissions.admit(asker, ['203.0.113.2'], [[400, 500]], 90);
    expect(more.map(({ key }) => key[2])).toEqual(['400-442', '444-500']);
  });

  it('is never a private address', () => {
    expect(bed().admissions.admit(asker, ['10.0.0.1', '127.0.0.1'], [undefined], 90)).toEqual([]);
  });

  it('is said to the kernel again only when its time is running out', () => {
    const { clock, admissions } = bed();
    const admit = (): number => admissions.admit(asker, ['203.0.113.1'], [undefined], 90).length;
    expect(admit()).toBe(1);
    clock.now = 20_000;
    expect(admit()).toBe(0);
    clock.now = 40_000;
    expect(admit()).toBe(1);
    clock.now = 40_000 + 91_000;
    expect(admissions.live()).toEqual([]);
  });

  it('ends when the policy does, and is known after a restart', () => {
    const { clock, admissions } = bed();
    admissions.admit(asker, ['203.0.113.1'], [undefined], 90);
    clock.now = 30_000;
    const left = admissions.live();
    expect(left).toEqual([{ set: 'names', key: ['10.42.0.5', '203.0.113.1'], timeout: 60 }]);
    const next = bed().admissions;
    next.restore(left);
    expect(next.forget('10.42.0.5')).toEqual(left);
    expect(next.machines()).toEqual([]);
  });

  it('is asked for again when the kernel did not take it', () => {
    const { admissions } = bed();
    const needed = admissions.admit(asker, ['203.0.113.1'], [undefined], 90);
    admissions.withdraw(needed);
    expect(admissions.admit(asker, ['203.0.113.1'], [undefined], 90)).toEqual(needed);
  });

  it('is bounded for each machine', () => {
    const { admissions } = bed();
    for (let index = 0; index < 5000; index += 1) {
      const address = `203.0.${String(index >> 8)}.${String(index & 255)}`;
      admissions.admit(asker, [address], [undefined], 90);
    }
    expect(admissions.live()).toHaveLength(4096);
  });
});
