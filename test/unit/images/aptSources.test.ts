import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  distributionSources,
  hostAptSources,
  parseDeb822,
  parseListFile,
  parseOsRelease,
  sourceLine,
} from '../../../helper-daemon/images/aptSources.ts';
import { tempDirectory } from './fixtures.ts';

const debian = { id: 'debian', codename: 'bookworm' } as const;
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

describe('apt sources', () => {
  it('reads one-line entries with and without options', () => {
    const text = `# comment\ndeb http://m.test/debian bookworm main contrib # rest\ndeb [arch=amd64 signed-by=${keyring}] http://m.test/debian-security bookworm-security main\ndeb-src http://m.test/debian bookworm main\n`;
    expect(parseListFile(text)).toEqual([
      { uri: 'http://m.test/debian', suite: 'bookworm', components: ['main', 'contrib'] },
      {
        uri: 'http://m.test/debian-security',
        suite: 'bookworm-security',
        components: ['main'],
        signedBy: keyring,
      },
    ]);
  });

  it('reads every combination of a deb822 stanza', () => {
    const text = `Types: deb deb-src\n# comment\nURIs: http://m.test/debian\nSuites: bookworm\n bookworm-updates\nComponents: main\nSigned-By: ${keyring}\n`;
    expect(parseDeb822(text).map(({ suite }) => suite)).toEqual(['bookworm', 'bookworm-updates']);
  });

  it('skips stanzas that are switched off', () => {
    expect(
      parseDeb822('Enabled: no\nTypes: deb\nURIs: http://m.test/debian\nSuites: bookworm\n'),
    ).toEqual([]);
  });

  it('leaves out third parties, also those that imitate the suite', () => {
    const own = { uri: 'http://m.test/debian', suite: 'bookworm', components: ['main'] };
    const found = distributionSources(
      [
        own,
        { ...own, uri: 'http://m.test/debian', suite: 'bookworm', components: ['stable'] },
        { ...own, uri: 'http://vendor.test/debian', signedBy: '/etc/apt/keyrings/vendor.gpg' },
        { ...own, uri: 'http://vendor.test/packages' },
        { ...own, suite: 'trixie' },
        { ...own, uri: 'cdrom:[debian]' },
      ],
      debian,
    );
    expect(found).toEqual([own]);
  });

  it('keeps the updates and security suites', () => {
    const suites = ['bookworm', 'bookworm-updates', 'bookworm-security'];
    const sources = suites.map((suite) => ({
      uri: 'http://m.test/debian',
      suite,
      components: ['main'],
    }));
    expect(distributionSources(sources, debian)).toHaveLength(3);
  });

  it('names an entry that both forms have once', () => {
    const own = { uri: 'http://m.test/debian', suite: 'bookworm', components: ['main'] };
    expect(
      distributionSources([own, { ...own, uri: 'http://m.test/debian/' }], debian),
    ).toHaveLength(1);
  });

  it('writes an entry as mmdebstrap takes it', () => {
    const source = {
      uri: 'http://m.test/debian',
      suite: 'bookworm',
      components: ['main'],
      signedBy: keyring,
    };
    expect(sourceLine(source)).toBe(
      `deb [signed-by=${keyring}] http://m.test/debian bookworm main`,
    );
  });

  it('knows Debian and Ubuntu and nothing else', () => {
    expect(parseOsRelease('ID=debian\nVERSION_CODENAME=bookworm\n')).toEqual(debian);
    expect(parseOsRelease('ID=ubuntu\nVERSION_CODENAME="noble"\n')?.codename).toBe('noble');
    expect(parseOsRelease('ID=fedora\nVERSION_CODENAME=""\n')).toBeUndefined();
  });

  describe('of a host', () => {
    let dir: Awaited<ReturnType<typeof tempDirectory>>;
    beforeEach(async () => {
      dir = await tempDirectory();
    });
    afterEach(() => dir.remove());

    it('puts the first mirror of a mirror list in its place', async () => {
      await writeFile(
        join(dir.path, 'mirrors'),
        'http://first.test/debian\thint\nhttp://second.test/debian\n',
      );
      await mkdir(join(dir.path, 'sources.list.d'));
      await writeFile(
        join(dir.path, 'sources.list.d/debian.sources'),
        `Types: deb\nURIs: mirror+file://${dir.path}/mirrors\nSuites: bookworm\nComponents: main\nSigned-By: ${keyring}\n`,
      );
      const [source] = await hostAptSources(debian, dir.path);
      expect(source?.uri).toBe('http://first.test/debian');
    });
  });
});
