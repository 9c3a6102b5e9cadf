/** Finds the kernel source that the distribution's linux-source package installed. */
import { readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../helper-daemon/system/run.ts';
import { digestFile } from '../../helper-daemon/images/fileDigest.ts';
import { prerequisiteMissing } from '../../helper-daemon/images/imageErrors.ts';

export interface KernelSource {
  readonly tarball: string;
  /** For example `6.1`. */
  readonly series: string;
  /** The package's version, or the tarball's digest where dpkg does not know it. */
  readonly identity: string;
}

export async function findKernelSource(directory = '/usr/src'): Promise<KernelSource> {
  const names = await readdir(directory).catch(() => []);
  const series = newestSeries(names);
  if (series === undefined) {
    throw prerequisiteMissing(
      `There is no kernel source (linux-source-*.tar.*) in ${directory}.`,
      'Install the package linux-source; npm run quickstart does it.',
    );
  }
  const tarball = await realpath(join(directory, series.file));
  return { tarball, series: series.series, identity: await packageVersion(series.series, tarball) };
}

export function newestSeries(
  names: readonly string[],
): { readonly file: string; readonly series: string } | undefined {
  const found = names.flatMap((file) => {
    const series = /^linux-source-(\d+(?:\.\d+)+)\.tar\.(?:xz|bz2|gz|zst)$/.exec(file)?.[1];
    return series === undefined ? [] : [{ file, series }];
  });
  return found.sort((a, b) => b.series.localeCompare(a.series, 'en', { numeric: true }))[0];
}

async function packageVersion(series: string, tarball: string): Promise<string> {
  try {
    const { stdout } = await run('dpkg-query', [
      '-W',
      '-f',
      '${Version}',
      `linux-source-${series}`,
    ]);
    if (stdout.trim() !== '') return stdout.trim();
  } catch {
    // Not a Debian package: the bytes identify it.
  }
  return (await digestFile(tarball)).sha256;
}
