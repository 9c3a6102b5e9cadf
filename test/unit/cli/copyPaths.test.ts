import os from 'node:os';
import { describe, expect, it } from 'vitest';
import { addedText } from '../../../helper-daemon/cli/commands/logs.ts';
import { parseIn, parseOut } from '../../../helper-daemon/cli/commands/runPlan.ts';
import {
  arrivalName,
  joinGuest,
  parseCopySide,
} from '../../../helper-daemon/cli/transfer/copySpec.ts';

describe('a side of cp', () => {
  it.each([
    ['demo:/tmp/x', { side: 'guest', workspace: 'demo', path: '/tmp/x' }],
    ['a.b_c-1:/', { side: 'guest', workspace: 'a.b_c-1', path: '/' }],
    ['demo:/with:colon', { side: 'guest', workspace: 'demo', path: '/with:colon' }],
    ['file.txt', { side: 'host', path: 'file.txt' }],
    ['./demo:x', { side: 'host', path: './demo:x' }],
    ['/abs/demo:/x', { side: 'host', path: '/abs/demo:/x' }],
    ['~/x', { side: 'host', path: `${os.homedir()}/x` }],
    ['~x', { side: 'host', path: '~x' }],
  ])('%s', (text, side) => {
    expect(parseCopySide(text)).toEqual(side);
  });

  it.each([
    ['demo:tmp', 'paths in a machine start with "/"'],
    ['demo:~/x', '"~" is not expanded'],
    ['demo:', 'paths in a machine start with "/"'],
    ['', 'must not be empty'],
    ['a\0b', 'NUL'],
  ])('%j is refused', (text, why) => {
    expect(() => parseCopySide(text)).toThrow(why);
  });
});

describe('the name a source arrives under', () => {
  it.each([
    ['/a/b', 'b'],
    ['/a/b/', 'b'],
    ['a', 'a'],
    ['.', ''],
    ['a/.', ''],
    ['..', ''],
    ['/', ''],
  ])('%s → %j', (path, name) => {
    expect(arrivalName(path)).toBe(name);
  });
  it('goes below the target directory', () => {
    expect(joinGuest('/a/', 'b')).toBe('/a/b');
    expect(joinGuest('/', 'b')).toBe('/b');
    expect(joinGuest('/a', '')).toBe('/a');
  });
});

describe('what run copies', () => {
  it('goes to /workspace and comes from /workspace/out unless said otherwise', () => {
    expect(parseIn('/src')).toEqual({ host: '/src', guest: '/workspace' });
    expect(parseIn('/src:/opt/x')).toEqual({ host: '/src', guest: '/opt/x' });
    expect(parseOut('/res')).toEqual({ host: '/res', guest: '/workspace/out' });
    expect(parseOut('/var/log:/res')).toEqual({ host: '/res', guest: '/var/log' });
  });
  it('needs a directory', () => {
    expect(() => parseIn('')).toThrow('--in');
    expect(() => parseOut('/a:')).toThrow('--out');
  });
});

describe('what a log has gained', () => {
  it.each([
    ['', 'abc', 'abc'],
    ['abc', 'abcdef', 'def'],
    ['abc', 'abc', ''],
    ['xxabc', 'abcdef', 'abcdef'],
    [`${'x'.repeat(3000)}end\n`, `${'x'.repeat(2500)}end\nnew\n`, 'new\n'],
  ])('%#', (before, now, added) => {
    expect(addedText(before, now)).toBe(added);
  });
});
