import { describe, expect, it } from 'vitest';
import { bindingMismatch } from '../../../../helper-daemon/engine/memory/binding.ts';

const binding = { QEMU: '7.2.22 abc', vcpus: '1', 'clock frequency': '2596122' };

describe('bindingMismatch', () => {
  it('finds nothing where everything is the same', () => {
    expect(bindingMismatch(binding, { ...binding })).toBeUndefined();
  });

  it('names what differs, and both values', () => {
    expect(bindingMismatch(binding, { ...binding, vcpus: '2' })).toEqual({
      what: 'vcpus',
      was: '1',
      is: '2',
    });
  });

  it('finds what only one side knows', () => {
    expect(bindingMismatch(binding, { ...binding, more: 'x' })).toMatchObject({
      what: 'more',
      was: 'unknown',
    });
    expect(bindingMismatch({ ...binding, more: 'x' }, binding)).toMatchObject({ is: 'unknown' });
  });

  it('allows a clock that was measured a little differently, and no other', () => {
    const clock = (value: string): object => ({ ...binding, 'clock frequency': value });
    expect(bindingMismatch(binding, clock('2596098') as never)).toBeUndefined();
    expect(bindingMismatch(binding, clock('3000000') as never)).toMatchObject({
      what: 'clock frequency',
    });
    expect(bindingMismatch(binding, clock('unknown') as never)).toBeDefined();
  });
});
