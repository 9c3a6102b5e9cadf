/** A cargo that is new enough, wherever the distribution or rustup has put it. */
import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../helper-daemon/system/run.ts';
import { prerequisiteMissing } from '../../helper-daemon/images/imageErrors.ts';

export interface Cargo {
  readonly cargo: string;
  /** Set when cargo must be told which compiler is its own (Ubuntu's versioned packages). */
  readonly rustc?: string;
  readonly rustcVersion: string;
}

const neededMinor = 85;

export async function findCargo(): Promise<Cargo> {
  for (const candidate of await candidates()) {
    const minor = await minorVersion(candidate.cargo);
    if (minor === undefined || minor < neededMinor) continue;
    const rustc = candidate.rustc ?? candidate.cargo.replace(/cargo$/, 'rustc');
    try {
      const { stdout } = await run(rustc, ['--version']);
      return { ...candidate, rustcVersion: stdout.trim() };
    } catch {
      // A cargo without its compiler is of no use.
    }
  }
  throw prerequisiteMissing(
    `The guest agent needs cargo and rustc 1.${String(neededMinor)} or newer.`,
    'Install them: Debian 12 has rustc-web and cargo-web, Debian 13 rustc and cargo, Ubuntu rustc-1.85 and cargo-1.85; npm run quickstart does it.',
  );
}

async function candidates(): Promise<
  readonly { readonly cargo: string; readonly rustc?: string }[]
> {
  const versioned = (await readdir('/usr/bin').catch(() => []))
    .flatMap((name) => /^cargo-(1\.\d+)$/.exec(name)?.[1] ?? [])
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((version) => ({ cargo: `/usr/bin/cargo-${version}`, rustc: `/usr/bin/rustc-${version}` }));
  return [
    { cargo: 'cargo' },
    { cargo: join(homedir(), '.cargo/bin/cargo') },
    { cargo: '/usr/bin/cargo' },
    ...versioned,
  ];
}

async function minorVersion(cargo: string): Promise<number | undefined> {
  try {
    const { stdout } = await run(cargo, ['--version']);
    const minor = /^cargo 1\.(\d+)\./.exec(stdout)?.[1];
    return minor === undefined ? undefined : Number(minor);
  } catch {
    return undefined;
  }
}
