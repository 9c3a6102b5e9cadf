import { describe, expect, it } from 'vitest';
import { describeEnd } from '../../../helper-daemon/engine/qemu/machineEnd.ts';

const panic =
  '[    0.3] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n[    0.4] CPU: 0\r\n';

describe('describeEnd', () => {
  it('tells a panic by the console of a guest that left by itself', () => {
    const end = describeEnd({ guestLeft: 'guest-reset' }, panic);
    expect(end.reason).toBe('panic');
    expect(end.detail).toContain('Unable to mount root fs');
    expect(end.detail).not.toContain('\r');
  });

  it('tells an orderly end', () => {
    expect(describeEnd({ guestLeft: 'guest-reset' }, 'bye\r\n').reason).toBe('shutdown');
  });

  it('believes the daemon, not the console, about a machine it ended', () => {
    expect(describeEnd({ killed: 'It was powered off' }, panic).reason).toBe('killed');
  });

  it('names the signal that ended the monitor', () => {
    const end = describeEnd({ exit: { code: null, signal: 'SIGSEGV' } }, '');
    expect(end).toEqual({
      reason: 'crashed',
      detail: 'The monitor of the machine was ended by SIGSEGV',
    });
  });

  it('admits that it does not know', () => {
    expect(describeEnd({}, '').detail).toContain('exit status is unknown');
  });
});
