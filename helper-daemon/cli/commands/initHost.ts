/** `coppice init`: everything a first machine needs, step by step; what is there already stays as it is. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { asCoppiceError, CoppiceError } from '../../../protocol/errors.ts';
import type { OutputOf } from '../../../protocol/operations.ts';
import { storageInit } from '../../../protocol/operations/storage.ts';
import type { CoppiceClient } from '../../client/client.ts';
import { configPath } from '../../system/configFile.ts';
import type { DaemonMode } from '../../system/paths.ts';
import { run } from '../../system/run.ts';
import { given, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { projectOperation } from '../projection/projectOperation.ts';
import { printable, printableLines } from '../text/printable.ts';
import { checkConfig, renderCheck } from './check.ts';

const image = 'debian-dev';
const storageFields = ['backend', 'pool', 'device', 'size_gb', 'prefix'] as const;

const summary = 'Set up this host: configuration, storage, kernel, image; then check everything';

/** As far as lists of commands need it. */
export const initOutline: CommandSpec = {
  words: 'init',
  summary,
  positionals: [],
  flags: [],
  run: () => Promise.resolve(exitCodes.ok),
};

export function initSpec(): CommandSpec {
  const storage = projectOperation(storageInit, { command: 'init', positionals: ['backend'] });
  return {
    ...storage,
    words: 'init',
    summary,
    description:
      'What is there already stays as it is. A backend and its flags choose where new disks live, as coppice storage init does.',
    flags: [
      ...storage.flags.filter(({ key }) => (storageFields as readonly string[]).includes(key)),
      { key: 'yes', spelling: '-y, --yes', kind: 'switch', description: 'Ask nothing' },
    ],
    notes: 'Exit code: 0 when machines work afterwards, else 1.',
    run: initHost,
  };
}

/** One step: what it is called, and what it did; it throws when it could not. */
interface Step {
  readonly title: string;
  work(update: (message: string, fraction?: number) => void): Promise<string>;
}

interface StepResult {
  readonly title: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly fix: string | null;
}

async function initHost(invocation: Invocation, context: CliContext): Promise<number> {
  const results: StepResult[] = [];
  const record = (result: StepResult): boolean => {
    results.push(result);
    if (!context.json) context.print(renderStep(result, context));
    return result.ok;
  };
  const client = await connected(context, record);
  let ok = client !== undefined;
  if (client !== undefined) {
    try {
      const mode = client.server.mode;
      const { checks } = await client.call('daemon_doctor', {}, { signal: context.signal });
      await agreeToBuild(checks, invocation, context);
      for (const step of stepsFor(client, mode, checks, invocation, context)) {
        ok = record(await perform(step, context)) && ok;
      }
      ok = (await verify(client, mode, context, record)) && ok;
    } finally {
      client.close();
    }
  }
  if (context.json) context.printJson({ ok, steps: results });
  else if (ok) context.print(hints(context));
  return ok ? exitCodes.ok : exitCodes.negative;
}

async function connected(
  context: CliContext,
  record: (result: StepResult) => boolean,
): Promise<CoppiceClient | undefined> {
  const title = 'Daemon';
  try {
    const client = await context.connect();
    const { server, mode } = client.server;
    record({ title, ok: true, detail: `version ${server.version}, ${mode} mode`, fix: null });
    return client;
  } catch (error) {
    const { message, next } = asCoppiceError(error);
    record({ title, ok: false, detail: message, fix: next ?? null });
    return undefined;
  }
}

type Checks = OutputOf<'daemon_doctor'>['checks'];

function isMissing(checks: Checks, id: string): boolean {
  return checks.some((check) => check.id === id && check.status === 'failed');
}

function stepsFor(
  client: CoppiceClient,
  mode: DaemonMode,
  checks: Checks,
  { flags, positionals, rest }: Invocation,
  context: CliContext,
): readonly Step[] {
  const { signal } = context;
  const wanted = given({ positionals, flags: { ...flags, ...positionals }, rest }, storageFields);
  return [
    {
      title: 'Configuration',
      work: () => writeFirstConfig(configPath(mode).file),
    },
    {
      title: 'Storage',
      async work(update) {
        if (Object.keys(wanted).length > 0) {
          const options = { signal, onProgress: (p: { message: string }) => update(p.message) };
          const { backend, location } = await client.call('storage_init', wanted, options);
          return `new disks live in ${backend} at ${location}`;
        }
        const { backend, location } = await client.call('storage_status', {});
        return `${backend} at ${location}`;
      },
    },
    {
      title: 'Guest kernel and agent',
      work: async (update) =>
        isMissing(checks, 'boot-assets') ? await buildBootAssets(update, signal) : 'there already',
    },
    {
      title: 'Default image',
      async work(update) {
        if (!isMissing(checks, 'image')) return 'there already';
        const { name } = await client.call(
          'image_build',
          { name: image },
          { signal, onProgress: ({ message, fraction }) => update(message, fraction) },
        );
        return `${name} was built`;
      },
    },
  ];
}

/** Never written over. */
async function writeFirstConfig(file: string): Promise<string> {
  const { defaultConfigText } = await import('../../system/configReference.ts');
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o755 });
    await writeFile(file, defaultConfigText(), { flag: 'wx', mode: 0o644 });
    return `${file} was written, with every default in it`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return `${file} stays as it is`;
    throw new CoppiceError(
      {
        code: 'permission_denied',
        message: `${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
        next: 'Coppice works without it; name another place in COPPICE_CONFIG.',
      },
      { cause: error },
    );
  }
}

/** In a checkout the kernel and the agent are built; what was installed brings them. */
async function buildBootAssets(
  update: (message: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const script = buildScript();
  if (script === undefined) {
    throw new CoppiceError({
      code: 'boot_assets_missing',
      message: 'They are not beside the program, and here is nothing to build them from.',
      next: 'Install Coppice again, or run coppice init from a checkout.',
    });
  }
  update('building, which takes some minutes the first time');
  const words = ['--no-warnings', script, '--no-images'];
  await run(process.execPath, words, { group: true, signal, onLine: update });
  return 'built';
}

function buildScript(): string | undefined {
  const here = path.dirname(fileURLToPath(import.meta.url));
  // From the bundle in dist, and from the sources.
  return [path.join(here, '..'), path.join(here, '..', '..', '..')]
    .map((root) => path.join(root, 'scripts', 'buildAssets.ts'))
    .find((file) => existsSync(file));
}

/** Building takes minutes and downloads packages: a person is asked first. */
async function agreeToBuild(
  checks: Checks,
  { flags }: Invocation,
  context: CliContext,
): Promise<void> {
  const missing = [
    ...(isMissing(checks, 'boot-assets') ? ['the guest kernel and agent'] : []),
    ...(isMissing(checks, 'image') ? [`the image ${image}`] : []),
  ];
  const person = process.stdin.isTTY && process.stdout.isTTY && !context.json;
  if (missing.length === 0 || flags['yes'] === true || !person) return;
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const question = `Build ${missing.join(' and ')}? This downloads packages and takes some minutes. [Y/n] `;
    const answer = await asking.question(question, { signal: context.signal });
    if (/^(y|yes|)$/i.test(answer.trim())) return;
  } finally {
    asking.close();
  }
  throw new CoppiceError({
    code: 'cancelled',
    message: 'Nothing was changed.',
    next: 'coppice init -y asks nothing.',
  });
}

async function perform({ title, work }: Step, context: CliContext): Promise<StepResult> {
  const progress = context.progress(title);
  try {
    const detail = await work((message, fraction) =>
      progress.update(`${title}: ${message}`, fraction),
    );
    progress.stop();
    return { title, ok: true, detail, fix: null };
  } catch (error) {
    if (context.signal.aborted) throw error;
    const { message, next } = asCoppiceError(error);
    return { title, ok: false, detail: message, fix: next ?? null };
  } finally {
    progress.stop();
  }
}

async function verify(
  client: CoppiceClient,
  mode: DaemonMode,
  context: CliContext,
  record: (result: StepResult) => boolean,
): Promise<boolean> {
  const { checks } = await client.call('daemon_doctor', {}, { signal: context.signal });
  const all = [...(await checkConfig(mode, process.env)), ...checks];
  const wrong = all.filter(({ status }) => status !== 'ok');
  const failed = wrong.filter(({ status }) => status === 'failed').length;
  const detail =
    failed === 0 ? `${String(all.length)} checks` : `${String(failed)} check(s) failed`;
  const ok = record({ title: 'Verification', ok: failed === 0, detail, fix: null });
  if (!context.json) {
    const { style } = context.rendering();
    for (const one of wrong) context.print(renderCheck(one, style).replace(/^/gm, '  '));
  }
  return ok;
}

function renderStep({ title, ok, detail, fix }: StepResult, context: CliContext): string {
  const { style } = context.rendering();
  const line = `${ok ? style.good('✓') : style.bad('✗')} ${title} (${printableLines(detail)})`;
  return fix === null ? line : `${line}\n  Fix: ${printable(fix)}`;
}

function hints(context: CliContext): string {
  const { style } = context.rendering();
  const next = [
    ['coppice create demo', 'a machine'],
    ['coppice shell demo', 'a terminal in it'],
    ['coppice mcp', 'its tools for a coding agent'],
  ] as const;
  return [
    '',
    'Try next:',
    ...next.map(([command, effect]) => `  ${style.accent(command.padEnd(22))} ${effect}`),
  ].join('\n');
}
