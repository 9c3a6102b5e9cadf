import { describe, expect, it } from 'vitest';
import {
  executableOf,
  findProcesses,
  isAlive,
  parseProcessStat,
  readProcessStat,
  signalProcess,
  waitUntilGone,
} from '../../../helper-daemon/engine/processIdentity.ts';
import { spawnDetached } from '../../../helper-daemon/system/run.ts';

function startSleep(seconds: string): { pid: number; startTime: string; executable: string } {
  const { pid } = spawnDetached('sleep', [seconds]);
  return {
    pid,
    startTime: readProcessStat(pid)?.startTime ?? '',
    executable: executableOf(pid) ?? '',
  };
}

describe('process identity', () => {
  it('reads the fields behind a command name with blanks and parentheses', () => {
    const fields = Array.from({ length: 50 }, (_, index) => String(index + 3));
    fields[0] = 'S';
    expect(parseProcessStat(`12 (a) b (c)) ${fields.join(' ')}`)).toMatchObject({
      state: 'S',
      startTime: '22',
      cpuTicks: 14 + 15,
      rssPages: 24,
    });
  });

  it('signals exactly the recorded process', async () => {
    const sleeper = startSleep('61.5');
    expect(isAlive(sleeper)).toBe(true);
    expect(signalProcess(sleeper, 'SIGKILL')).toBe(true);
    expect(await waitUntilGone(sleeper, 5_000)).toBe(true);
    expect(signalProcess(sleeper, 'SIGKILL')).toBe(false);
  });

  it('does not signal another process that has the pid now', async () => {
    const sleeper = startSleep('62.5');
    expect(signalProcess({ ...sleeper, startTime: '1' }, 'SIGKILL')).toBe(false);
    expect(signalProcess({ ...sleeper, executable: '/usr/bin/other' }, 'SIGKILL')).toBe(false);
    expect(isAlive(sleeper)).toBe(true);
    signalProcess(sleeper, 'SIGKILL');
    await waitUntilGone(sleeper, 5_000);
  });

  it('finds a process by words of its command line', async () => {
    const sleeper = startSleep('63.25');
    expect(await findProcesses(['sleep', '63.25'])).toEqual([sleeper.pid]);
    signalProcess(sleeper, 'SIGKILL');
    await waitUntilGone(sleeper, 5_000);
  });
});
