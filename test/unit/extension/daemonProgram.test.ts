import { expect, test } from 'vitest';
import { daemonProgram } from '../../../extension/helper/daemonProgram.ts';

test('the extension host runs the daemon when its Node is new enough', () => {
  const host = { execPath: '/opt/code/code', version: '22.15.1' };
  expect(daemonProgram('/ext', host)).toEqual({
    daemonBundle: '/ext/dist/coppiced.mjs',
    node: '/opt/code/code',
  });
});

test('an older Node is refused with what to do', () => {
  const host = { execPath: '/opt/code/code', version: '22.12.0' };
  expect(() => daemonProgram('/ext', host)).toThrow(/needs Node 22\.13 or newer/);
});
