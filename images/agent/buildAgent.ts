/** Builds the static guest agent with cargo; the same binary is /init of the initramfs. */
import { copyFile, mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../helper-daemon/system/run.ts';
import { cacheDir } from '../../helper-daemon/images/cacheDir.ts';
import { cached, type CacheEntry } from '../../helper-daemon/images/contentCache.ts';
import { digestText } from '../../helper-daemon/images/fileDigest.ts';
import { invalidInput } from '../../helper-daemon/images/imageErrors.ts';
import { signalOf, type WorkOptions } from '../../helper-daemon/images/progress.ts';
import { findCargo, type Cargo } from './findCargo.ts';

/** Raise it when the steps below change what comes out. */
const builderVersion = 1;
const target = 'x86_64-unknown-linux-gnu';
const binary = 'coppice-guest-agent';
const defaultSource = join(import.meta.dirname, '../../guest-agent');

export async function buildAgent(
  options: WorkOptions & { readonly root?: string; readonly source?: string } = {},
): Promise<CacheEntry> {
  const source = options.source ?? defaultSource;
  const root = options.root ?? cacheDir();
  const cargo = await findCargo();
  const { digest, version } = await agentSources(source);
  return cached({
    kind: 'agent',
    root,
    inputs: { builderVersion, sources: digest, rustc: cargo.rustcVersion },
    build: async (dir) => {
      const targetDir = join(root, 'work', 'agent-target');
      await mkdir(targetDir, { recursive: true });
      await compile(cargo, source, targetDir, options);
      // Keyed by what was read before: an edit in between would be remembered under the wrong key.
      if ((await agentSources(source)).digest !== digest) {
        throw invalidInput('The guest agent was edited while it was being built.', 'Build again.');
      }
      await copyFile(join(targetDir, target, 'release', binary), join(dir, binary));
      return { agentVersion: version, rustc: cargo.rustcVersion };
    },
    ...signalOf(options),
    onWait: () => options.onProgress?.({ step: 'agent', detail: 'another process is building it' }),
  });
}

export function agentBinary(entry: CacheEntry): string {
  return join(entry.dir, binary);
}

/** Everything cargo reads to make the binary, by content; tests and fuzzers do not count. */
async function agentSources(
  source: string,
): Promise<{ readonly digest: string; readonly version: string }> {
  const names = [
    'Cargo.toml',
    'Cargo.lock',
    '.cargo/config.toml',
    ...(await filesBelow(source, 'src')),
  ];
  const lines: string[] = [];
  for (const name of names.sort()) {
    const bytes = await readFile(join(source, name)).catch(() => {
      throw invalidInput(`The guest agent's source ${join(source, name)} is missing.`);
    });
    lines.push(`${digestText(bytes)} ${name}`);
  }
  const manifest = await readFile(join(source, 'Cargo.toml'), 'utf8');
  const version = /^version = "([^"]+)"/m.exec(manifest)?.[1] ?? '0';
  return { digest: digestText(lines.join('\n')), version };
}

async function filesBelow(source: string, directory: string): Promise<string[]> {
  const entries = await readdir(join(source, directory), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(source.length + 1));
}

async function compile(
  cargo: Cargo,
  source: string,
  targetDir: string,
  options: WorkOptions,
): Promise<void> {
  let crates = 0;
  // Panic messages hold source paths; without these the binary would differ from machine to machine.
  const remap = [
    `--remap-path-prefix=${source}=/agent`,
    `--remap-path-prefix=${process.env['CARGO_HOME'] ?? join(process.env['HOME'] ?? '/root', '.cargo')}=/cargo`,
  ];
  options.onProgress?.({ step: 'agent', detail: 'starting cargo', fraction: 0 });
  await run(
    cargo.cargo,
    [
      'build',
      '--release',
      '--locked',
      '--color=never',
      `--target=${target}`,
      `--target-dir=${targetDir}`,
      `--bin=${binary}`,
      '--config',
      `target.${target}.rustflags=${JSON.stringify(remap)}`,
    ],
    {
      cwd: source,
      group: true,
      env: {
        ...(cargo.rustc === undefined ? {} : { RUSTC: cargo.rustc }),
        // Set, these would replace the flags that make the binary static.
        ...unset('RUSTFLAGS', 'CARGO_ENCODED_RUSTFLAGS', 'CARGO_BUILD_RUSTFLAGS'),
      },
      onLine: (line) => {
        if (!/^\s*(Compiling|Downloaded|Downloading)\s/.test(line)) return;
        crates += line.includes('Compiling') ? 1 : 0;
        options.onProgress?.({
          step: 'agent',
          detail: line.trim().replace(/ \(.*\)$/, ''),
          fraction: Math.min(0.6, crates / 100),
        });
      },
      ...signalOf(options),
    },
  );
}

/** Only names that are set: cargo takes an empty RUSTFLAGS as "no flags at all", not as absent. */
function unset(...names: readonly string[]): Record<string, undefined> {
  return Object.fromEntries(
    names.filter((name) => name in process.env).map((name) => [name, undefined]),
  );
}
