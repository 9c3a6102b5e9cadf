import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  envVars,
  fileMode,
  guestPath,
  hostnameFor,
  imageName,
  parseFileMode,
  workspaceName,
} from '../../../protocol/names.ts';

const id = '0a1b2c3d-89ab-4def-8123-456789abcdef';
const allowed = fc.string({
  unit: fc.constantFrom(...Array.from('abcXYZ019._-')),
  minLength: 1,
  maxLength: 128,
});

describe('a workspace name', () => {
  it.each([['a'], ['A.b_c-1'], ['...'], ['-'], ['n'.repeat(128)]])('may be %s', (name) => {
    expect(workspaceName.safeParse(name).success).toBe(true);
  });

  it.each([[''], ['n'.repeat(129)], ['a b'], ['a/b'], ['ä'], ['a\0'], ['a\n'], [id]])(
    'may not be %j',
    (name) => {
      expect(workspaceName.safeParse(name).success).toBe(false);
    },
  );
});

describe('the host name of a workspace', () => {
  it('is a valid label for every name that is allowed', () => {
    fc.assert(
      fc.property(allowed, (name) => {
        expect(hostnameFor(name, id)).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
      }),
    );
  });

  it('is the name itself where that is one', () => {
    expect(hostnameFor('build-7', id)).toBe('build-7');
    expect(hostnameFor('Build-7', id)).toBe('build-7');
  });

  it('tells names apart that had to be changed', () => {
    const other = 'ffffffff-89ab-4def-8123-456789abcdef';
    expect(hostnameFor('a_b', id)).toBe('a-b-0a1b2c3d');
    expect(hostnameFor('a.b', other)).toBe('a-b-ffffffff');
    expect(hostnameFor('___', id)).toBe('ws-0a1b2c3d');
  });
});

describe('paths in a machine', () => {
  it.each([['/'], ['/a b'], ['/a/../b'], ['/ü'], [`/${'x'.repeat(4095)}`]])('may be %s', (path) => {
    expect(guestPath.safeParse(path).success).toBe(true);
  });
  it.each([
    [''],
    ['a'],
    ['~/a'],
    ['./a'],
    ['/a\0b'],
    [`/${'x'.repeat(4096)}`],
    [`/${'ü'.repeat(2048)}`],
  ])('may not be %j', (path) => {
    expect(guestPath.safeParse(path).success).toBe(false);
  });
});

describe('other names', () => {
  it('an image name has no ".."', () => {
    expect(imageName.safeParse('debian-12.5_x').success).toBe(true);
    expect(imageName.safeParse('a..b').success).toBe(false);
    expect(imageName.safeParse('../a').success).toBe(false);
  });

  it('permission bits are octal', () => {
    expect(
      ['644', '0644', '0o644', '1777'].map((text) => fileMode.safeParse(text).success),
    ).toEqual([true, true, true, true]);
    expect(
      ['0888', '64', 'rw-', '0x1ff', ''].map((text) => fileMode.safeParse(text).success),
    ).toEqual([false, false, false, false, false]);
    expect(['644', '0644', '0o644'].map(parseFileMode)).toEqual([0o644, 0o644, 0o644]);
  });

  it('a variable has a plain name and no NUL in its value', () => {
    expect(envVars.safeParse({ LANG: 'C', _x1: '' }).success).toBe(true);
    expect(envVars.safeParse({ PATH: '/bin' }).success).toBe(false);
    expect(envVars.safeParse({ '1x': 'a' }).success).toBe(false);
    expect(envVars.safeParse({ 'a-b': 'a' }).success).toBe(false);
    expect(envVars.safeParse({ a: 'x\0' }).success).toBe(false);
  });
});
