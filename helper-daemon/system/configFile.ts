/** The configuration file: where it is, and whether it may be believed. What it says is read in configText.ts. */
import { readFile, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { CoppiceError } from '../../protocol/errors.ts';
import { defaultConfig, type DaemonConfig } from './config.ts';
import type { DaemonMode } from './paths.ts';

export interface LoadedConfig {
  readonly config: DaemonConfig;
  /** Variables of the environment to set where they are not. */
  readonly environment: Readonly<Record<string, string>>;
  /** Where it was read from; null: there is none. */
  readonly file: string | null;
  /** Keys that mean nothing, with file and line. */
  readonly warnings: readonly string[];
}

const largestFile = 1024 * 1024;

/** Where the file is looked for, and whether somebody named it. */
export function configPath(
  mode: DaemonMode,
  env: NodeJS.ProcessEnv = process.env,
): { readonly file: string; readonly named: boolean } {
  const named = env['COPPICE_CONFIG'] ?? '';
  if (named !== '') return { file: path.resolve(named), named: true };
  const home = env['COPPICE_HOME'] ?? '';
  if (home !== '') return { file: path.join(path.resolve(home), 'config.toml'), named: false };
  if (mode === 'system') return { file: '/etc/coppice/config.toml', named: false };
  const base = env['XDG_CONFIG_HOME'] || path.join(os.homedir(), '.config');
  return { file: path.join(base, 'coppice', 'config.toml'), named: false };
}

/**
 * The file's settings, and over them those of the environment.
 * @throws CoppiceError `invalid_input` naming file, line and key; `file_not_found` when a named file is not there;
 * `permission_denied`
 */
export async function loadConfig(
  mode: DaemonMode,
  env: NodeJS.ProcessEnv = process.env,
): Promise<LoadedConfig> {
  const loaded = await readConfig(mode, env);
  const port = env['COPPICE_METRICS_PORT'] ?? '';
  if (port === '') return loaded;
  return { ...loaded, config: { ...loaded.config, metricsPort: portNumber(port) } };
}

async function readConfig(mode: DaemonMode, env: NodeJS.ProcessEnv): Promise<LoadedConfig> {
  const { file, named } = configPath(mode, env);
  let text: string;
  try {
    if (mode === 'system') await requireTrusted(file);
    text = await readBounded(file);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (missing && !named) {
      return { config: defaultConfig, environment: {}, file: null, warnings: [] };
    }
    throw error instanceof CoppiceError ? error : unreadable(file, missing, error);
  }
  // Most hosts have none, and then neither the schema nor the parser takes memory.
  const { parseConfig } = await import('./configText.ts');
  return { ...parseConfig(text, file), file };
}

async function readBounded(file: string): Promise<string> {
  const { size } = await stat(file);
  if (size <= largestFile) return await readFile(file, 'utf8');
  throw new CoppiceError({
    code: 'invalid_input',
    message: `${file} is larger than 1 MiB, and no configuration.`,
    next: 'Name another file in COPPICE_CONFIG.',
  });
}

function portNumber(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port > 0 && port < 65_536) return port;
  throw new CoppiceError({
    code: 'invalid_input',
    message: `COPPICE_METRICS_PORT must be a port from 1 to 65535 (got ${JSON.stringify(text.slice(0, 64))}).`,
    next: 'For example 9464; without it and without metrics.port no port is opened.',
  });
}

/** Root's daemon reads no file that somebody else could have written: it names directories to write into. */
async function requireTrusted(file: string): Promise<void> {
  const { uid, mode } = await stat(file);
  if ((uid === 0 || uid === process.getuid?.()) && (mode & 0o022) === 0) return;
  throw new CoppiceError({
    code: 'permission_denied',
    message: `${file} can be changed by others than root, and is not used.`,
    next: `chown root ${file} && chmod 644 ${file}`,
  });
}

function unreadable(file: string, missing: boolean, cause: unknown): CoppiceError {
  return new CoppiceError(
    {
      code: missing ? 'file_not_found' : 'permission_denied',
      message: missing
        ? `The configuration file ${file} does not exist.`
        : `The configuration file ${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      next: 'Correct COPPICE_CONFIG, or take it away to use the defaults.',
    },
    { cause },
  );
}
