import { describe, expect, it } from 'vitest';
import { rateLimits } from '../../../helper-daemon/server/rateLimits.ts';
import { defaultConfig } from '../../../helper-daemon/system/config.ts';

const agent = { uid: 1000, agent: 'a' };
const person = { uid: 1000, agent: null };

function at(settings = defaultConfig.rateLimit): {
  readonly rates: ReturnType<typeof rateLimits>;
  pass(ms: number): void;
} {
  let now = 0;
  return {
    rates: rateLimits(settings, () => now),
    pass: (ms) => {
      now += ms;
    },
  };
}

describe('rate limits', () => {
  it('let a burst through and then say when to come again', () => {
    const { rates, pass } = at();
    for (let i = 0; i < 3; i += 1) rates.charge(agent, 'create');
    expect(() => rates.charge(agent, 'create')).toThrow(
      'Rate limit exceeded for create operations. Maximum 5 calls per minute. Please wait and retry.',
    );
    pass(12_000);
    expect(() => rates.charge(agent, 'create')).not.toThrow();
    expect(() => rates.charge(agent, 'create')).toThrow(
      expect.objectContaining({ details: expect.objectContaining({ retry_after_ms: 12_000 }) }),
    );
  });

  it('are separate for each caller and category', () => {
    const { rates } = at();
    for (let i = 0; i < 3; i += 1) rates.charge(agent, 'create');
    expect(() => rates.charge({ ...agent, agent: 'b' }, 'create')).not.toThrow();
    expect(() => rates.charge(agent, 'exec')).not.toThrow();
  });

  it('let a call that costs more than a full bucket through once, and charge all of it', () => {
    const { rates, pass } = at();
    rates.charge(agent, 'exec', 20);
    pass(10_000);
    expect(() => rates.charge(agent, 'exec')).toThrow('Maximum 60 calls');
    pass(1_000);
    expect(() => rates.charge(agent, 'exec')).not.toThrow();
  });

  it('do not apply to people unless asked to, nor to anybody when off', () => {
    const { rates } = at();
    for (let i = 0; i < 100; i += 1) rates.charge(person, 'create');
    const strict = at({ ...defaultConfig.rateLimit, people: true }).rates;
    for (let i = 0; i < 3; i += 1) strict.charge(person, 'create');
    expect(() => strict.charge(person, 'create')).toThrow('Rate limit');
    const off = at({ ...defaultConfig.rateLimit, enabled: false }).rates;
    for (let i = 0; i < 100; i += 1) off.charge(agent, 'create');
  });
});
