/** Every key of the configuration file with what it may be and its default: for the first file and for the docs. */
import * as z from 'zod';
import { defaultConfig, type QuotaLimits } from './config.ts';
import { configSchema, type ConfigFile } from './configSchema.ts';

export interface ConfigKey {
  readonly name: string;
  readonly description: string;
  /** `whole number, 1 to 65535` */
  readonly kind: string;
  /** As TOML; null: absent. */
  readonly byDefault: string | null;
  /** As TOML; what stands for it where there is no default. */
  readonly example: string | null;
}

export interface ConfigSection {
  /** `quota.agent` */
  readonly name: string;
  readonly description: string;
  readonly keys: readonly ConfigKey[];
}

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly examples?: readonly unknown[];
}

export function configSections(): readonly ConfigSection[] {
  const schema = z.toJSONSchema(configSchema, { io: 'input' }) as Schema;
  return sectionsOf(schema, [], defaultsAsFile());
}

/** A file in which every key stands with its default, as a comment. */
export function defaultConfigText(): string {
  const head = [
    '# Configuration of Coppice. Every key is optional. What stands here are the defaults, or an example where',
    '# there is none.',
    '# After a change restart the daemon: coppice daemon stop. Machines keep running.',
  ];
  const sections = configSections().map(({ name, description, keys }) => [
    '',
    ...(description === '' ? [] : [`# ${withoutLinks(description)}`]),
    `[${name}]`,
    ...keys.flatMap((key) => [
      `# ${withoutLinks(key.description)} (${key.kind}${key.byDefault === null ? '; not set' : ''})`,
      `# ${key.name} = ${key.byDefault ?? key.example ?? '""'}`,
    ]),
  ]);
  return `${[...head, ...sections.flat()].join('\n')}\n`;
}

function sectionsOf(
  schema: Schema,
  path: readonly string[],
  defaults: unknown,
): readonly ConfigSection[] {
  const entries = Object.entries(schema.properties ?? {});
  const keys = entries.filter(([, { properties }]) => properties === undefined);
  const below = entries.flatMap(([name, inner]) =>
    inner.properties === undefined
      ? []
      : sectionsOf(inner, [...path, name], valueAt(defaults, name)),
  );
  if (keys.length === 0) return below;
  const own: ConfigSection = {
    name: path.join('.'),
    description: schema.description ?? '',
    keys: keys.map(([name, inner]) => ({
      name,
      description: inner.description ?? '',
      kind: kindOf(inner),
      byDefault: asToml(valueAt(defaults, name)),
      example: asToml(inner.examples?.[0]),
    })),
  };
  return [own, ...below];
}

function valueAt(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

function kindOf(schema: Schema): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(kindOf).join(', or ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((one) => JSON.stringify(one)).join(' or ');
  const { minimum, maximum } = schema;
  const top = maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? '' : String(maximum);
  const range =
    minimum === undefined
      ? ''
      : top === ''
        ? `, from ${String(minimum)}`
        : `, ${String(minimum)} to ${top}`;
  switch (schema.type) {
    case 'boolean':
      return 'true or false';
    case 'integer':
      return `whole number${range}`;
    case 'number':
      return `number${range}`;
    case 'array':
      return `list of ${schema.items?.type === 'string' ? 'texts' : 'values'}`;
    default:
      return 'text';
  }
}

/** JSON of texts, numbers and lists is TOML, too. */
function asToml(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  return JSON.stringify(value).replaceAll('","', '", "');
}

function withoutLinks(text: string): string {
  return text.replace(/\[([^\]]+)\]\([^)]+\)/g, '$1').replaceAll('`', '');
}

function defaultsAsFile(): ConfigFile {
  const { quota, resources, rateLimit, vault } = defaultConfig;
  return {
    resources: {
      max_workspaces: resources.maxWorkspaces,
      memory_overcommit: resources.memoryOvercommit,
    },
    quota: { agent: quotaAsFile(quota.agent), person: quotaAsFile(quota.person) },
    rate_limit: {
      enabled: rateLimit.enabled,
      create_per_minute: rateLimit.createPerMinute,
      exec_per_minute: rateLimit.execPerMinute,
      team_message_per_minute: rateLimit.teamMessagePerMinute,
      default_per_minute: rateLimit.defaultPerMinute,
      people: rateLimit.people,
    },
    vault: {
      enabled: vault.enabled,
      extensions: [...vault.extensions],
      exclude_dirs: [...vault.excludeDirs],
    },
  };
}

function quotaAsFile(limits: QuotaLimits): NonNullable<ConfigFile['quota']>['agent'] {
  return {
    workspaces: limits.workspaces ?? 'unlimited',
    vcpus: limits.vcpus ?? 'unlimited',
    memory_mb: limits.memoryMb ?? 'unlimited',
    disk_gb: limits.diskGb ?? 'unlimited',
  };
}
