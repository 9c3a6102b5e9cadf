/** What a configuration file says, and what is wrong with it on which line. */
import os from 'node:os';
import path from 'node:path';
import { parse, TomlError } from 'smol-toml';
import * as z from 'zod';
import { CoppiceError } from '../../protocol/errors.ts';
import { defaultConfig, type DaemonConfig, type QuotaLimits } from './config.ts';
import type { LoadedConfig } from './configFile.ts';
import { configSections } from './configReference.ts';
import { configSchema, environmentOf, type ConfigFile } from './configSchema.ts';

/** @throws CoppiceError `invalid_input` */
export function parseConfig(text: string, file: string): Omit<LoadedConfig, 'file'> {
  const raw = parseToml(text, file);
  const checked = configSchema.safeParse(raw);
  if (!checked.success) {
    throw invalid(
      checked.error.issues.map(({ path: keys, message }) =>
        place(text, file, keys, ruleOf(keys, message)),
      ),
    );
  }
  const warnings = unknownKeys(configSchema, raw, []).map(({ keys, allowed }) =>
    place(text, file, keys, `is not a key of Coppice; here there are ${allowed.join(', ')}`),
  );
  return {
    config: toDaemonConfig(checked.data),
    environment: environmentOf(checked.data),
    warnings,
  };
}

function parseToml(text: string, file: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [what = ''] = error.message.split('\n');
    throw invalid([
      `${file}:${String(error.line)}: ${what.replace(/^Invalid TOML document: /, 'not TOML: ')}`,
    ]);
  }
}

function toDaemonConfig(given: ConfigFile): DaemonConfig {
  const { resources, quota, rate_limit: rate, vault, server, metrics } = given;
  const defaults = defaultConfig;
  return {
    quota: {
      agent: quotaOf(quota?.agent, defaults.quota.agent),
      person: quotaOf(quota?.person, defaults.quota.person),
    },
    resources: {
      maxWorkspaces: resources?.max_workspaces ?? defaults.resources.maxWorkspaces,
      memoryOvercommit: resources?.memory_overcommit ?? defaults.resources.memoryOvercommit,
    },
    rateLimit: {
      enabled: rate?.enabled ?? defaults.rateLimit.enabled,
      createPerMinute: rate?.create_per_minute ?? defaults.rateLimit.createPerMinute,
      execPerMinute: rate?.exec_per_minute ?? defaults.rateLimit.execPerMinute,
      teamMessagePerMinute:
        rate?.team_message_per_minute ?? defaults.rateLimit.teamMessagePerMinute,
      defaultPerMinute: rate?.default_per_minute ?? defaults.rateLimit.defaultPerMinute,
      people: rate?.people ?? defaults.rateLimit.people,
    },
    vault: {
      enabled: vault?.enabled ?? defaults.vault.enabled,
      path: vault?.path === undefined ? defaults.vault.path : atHome(vault.path),
      extensions: vault?.extensions ?? defaults.vault.extensions,
      excludeDirs: vault?.exclude_dirs ?? defaults.vault.excludeDirs,
    },
    transferDir:
      server?.transfer_dir === undefined ? defaults.transferDir : atHome(server.transfer_dir),
    metricsPort: metrics?.port ?? defaults.metricsPort,
  };
}

function quotaOf(
  given: NonNullable<ConfigFile['quota']>['agent'],
  otherwise: QuotaLimits,
): QuotaLimits {
  const one = (value: number | 'unlimited' | undefined, or: number | null): number | null =>
    value === undefined ? or : value === 'unlimited' ? null : value;
  return {
    workspaces: one(given?.workspaces, otherwise.workspaces),
    vcpus: one(given?.vcpus, otherwise.vcpus),
    memoryMb: one(given?.memory_mb, otherwise.memoryMb),
    diskGb: one(given?.disk_gb, otherwise.diskGb),
  };
}

function atHome(directory: string): string {
  return directory.startsWith('~/') ? path.join(os.homedir(), directory.slice(2)) : directory;
}

interface Unknown {
  readonly keys: readonly string[];
  readonly allowed: readonly string[];
}

function unknownKeys(
  schema: z.ZodType,
  value: unknown,
  above: readonly string[],
): readonly Unknown[] {
  const inner = schema instanceof z.ZodOptional ? (schema.unwrap() as z.ZodType) : schema;
  if (!(inner instanceof z.ZodObject) || typeof value !== 'object' || value === null) return [];
  const shape = inner.shape as Readonly<Record<string, z.ZodType>>;
  return Object.entries(value).flatMap(([key, below]) => {
    const keys = [...above, key];
    const known = Object.hasOwn(shape, key) ? shape[key] : undefined;
    return known === undefined
      ? [{ keys, allowed: Object.keys(shape) }]
      : unknownKeys(known, below, keys);
  });
}

/** What is allowed, in the words of the reference; messages of the schema itself are that already. */
function ruleOf(keys: readonly PropertyKey[], message: string): string {
  if (message.startsWith('must')) return message;
  const name = keys.map(String).join('.');
  const key = configSections()
    .flatMap((section) =>
      section.keys.map((one) => ({ ...one, name: `${section.name}.${one.name}` })),
    )
    .find((one) => one.name === name);
  if (key === undefined) return `${message.charAt(0).toLowerCase()}${message.slice(1)}`;
  return `must be ${/^["t]/.test(key.kind) ? '' : 'a '}${key.kind}`;
}

function place(text: string, file: string, keys: readonly PropertyKey[], what: string): string {
  const line = lineOf(text, keys.map(String));
  return `${file}${line === undefined ? '' : `:${String(line)}`}: ${keys.map(String).join('.')}: ${what}`;
}

/** Where a key stands, or else the nearest thing above it; tables written in one line count as their line. */
function lineOf(text: string, keys: readonly string[]): number | undefined {
  for (let length = keys.length; length > 0; length -= 1) {
    const wanted = keys.slice(0, length).join('.');
    let table: readonly string[] = [];
    for (const [index, line] of text.split('\n').entries()) {
      const header = /^\s*\[+([^\]]+)\]+/.exec(line)?.[1];
      if (header !== undefined) table = parts(header);
      const key = header === undefined ? /^\s*([\w."'-]+)\s*=/.exec(line)?.[1] : '';
      if (key === undefined) continue;
      if ([...table, ...parts(key)].join('.') === wanted) return index + 1;
    }
  }
  return undefined;
}

function parts(dotted: string): readonly string[] {
  return dotted
    .split('.')
    .map((part) => part.trim().replace(/^["']|["']$/g, ''))
    .filter((part) => part !== '');
}

function invalid(problems: readonly string[]): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message: `The configuration is not valid:\n${problems.slice(0, 10).join('\n')}`,
    next: 'Correct it and start again; docs/configuration.md lists every key.',
  });
}
