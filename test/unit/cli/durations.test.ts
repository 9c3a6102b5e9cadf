import { describe, expect, it } from 'vitest';
import { buildProgram } from '../../../helper-daemon/cli/program.ts';
import { projectOperation } from '../../../helper-daemon/cli/projection/projectOperation.ts';
import { parseSeconds } from '../../../helper-daemon/cli/text/durations.ts';
import { operations } from '../../../protocol/operations.ts';

describe('a time on the command line', () => {
  it.each([
    ['90', 90],
    ['0', 0],
    ['0.5', 0.5],
    ['90s', 90],
    ['10m', 600],
    ['10min', 600],
    ['2h', 7200],
    ['1d', 86_400],
    ['1w', 604_800],
    ['1h30m', 5400],
    ['1 h 30 min', 5400],
    ['1.5h', 5400],
    ['1.1h', 3960],
    ['500ms', 0.5],
    [' 2H ', 7200],
  ])('%j is %d seconds', (text, seconds) => {
    expect(parseSeconds(text)).toBe(seconds);
  });

  it.each(['', ' ', 'soon', '-5', '5x', 'h', '1h30', '30m foo', '1e3', 'Infinity', '0x10', '1,5h'])(
    '%j is none',
    (text) => {
      expect(parseSeconds(text)).toBeUndefined();
    },
  );

  const spec = projectOperation(operations.workspace_configure, {
    command: 'set',
    positionals: ['workspace_id'],
    flags: { ttl_secs: '--ttl', idle_suspend_secs: '--idle-suspend' },
  });
  const parse = (
    ...argv: readonly string[]
  ): ReturnType<ReturnType<typeof buildProgram>['parse']> =>
    buildProgram([spec]).parse(['set', 'demo', ...argv]);

  it('is taken by every field that ends in _secs', async () => {
    const match = await parse('--ttl', '2h', '--idle-suspend=600');
    expect(match?.invocation.flags).toEqual({ ttl_secs: 7200, idle_suspend_secs: 600 });
  });

  it('is explained when it is none', async () => {
    await expect(parse('--ttl', 'soon')).rejects.toMatchObject({
      message: '--ttl must be a time such as 90s, 10m, 2h or 1d (got "soon").',
      next: 'A number without a unit means seconds.',
    });
  });
});
