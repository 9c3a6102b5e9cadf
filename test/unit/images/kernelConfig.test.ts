import { describe, expect, it } from 'vitest';
import { unmetLines } from '../../../images/kernel/checkConfig.ts';
import { newestSeries } from '../../../images/kernel/kernelSource.ts';

describe('the kernel configuration check', () => {
  it('accepts a configuration that has every line', () => {
    expect(
      unmetLines('CONFIG_A=y\nCONFIG_B=n\n', 'CONFIG_A=y\n# CONFIG_B is not set\n', {}),
    ).toEqual([]);
  });

  it('names a line that Kconfig dropped', () => {
    expect(unmetLines('CONFIG_A=y\nCONFIG_C=17\n', 'CONFIG_A=y\n', {})).toEqual([
      'CONFIG_C should be 17 but is unknown here',
    ]);
  });

  it('names an option that something else switched on', () => {
    expect(unmetLines('CONFIG_A=n\n', 'CONFIG_A=y\n', {})).toEqual([
      'CONFIG_A should be n but is y',
    ]);
  });

  it('takes an absent option for off', () => {
    expect(unmetLines('CONFIG_A=n\n', '', {})).toEqual([]);
  });

  it('leaves out the options that only some versions know', () => {
    expect(unmetLines('CONFIG_A=y\n', '', { CONFIG_A: 'since 9.9' })).toEqual([]);
  });
});

describe('the kernel source', () => {
  it('is the newest by number, not by spelling', () => {
    const names = [
      'linux-source-6.9.tar.xz',
      'linux-source-6.12.tar.xz',
      'linux-config-6.12',
      'notes',
    ];
    expect(newestSeries(names)).toEqual({ file: 'linux-source-6.12.tar.xz', series: '6.12' });
  });

  it('is missing when no tarball is there', () => {
    expect(newestSeries(['linux-headers'])).toBeUndefined();
  });
});
