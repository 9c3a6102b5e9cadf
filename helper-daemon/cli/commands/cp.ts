import fs from 'node:fs';
import path from 'node:path';
import type { CoppiceClient } from '../../client/client.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { CommandSpec, Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { UsageError } from '../failure.ts';
import { printable } from '../text/printable.ts';
import { count } from '../text/units.ts';
import {
  arrivalName,
  joinGuest,
  parseCopySide,
  type GuestSide,
  type HostSide,
} from '../transfer/copySpec.ts';
import { downloadFile, downloadTree } from '../transfer/download.ts';
import { hostFileError } from '../transfer/freeSpace.ts';
import { transferProgress, transferSummary } from '../transfer/progress.ts';
import { uploadFile, uploadTree } from '../transfer/upload.ts';

export const cpSpec: CommandSpec = {
  words: 'cp',
  summary: 'Copy files and directories into and out of a machine',
  positionals: [
    {
      key: 'paths',
      label: 'path',
      required: true,
      variadic: true,
      description: 'Sources, then the target; a path in a machine is <workspace>:/path',
    },
  ],
  flags: [
    {
      key: 'recursive',
      spelling: '-r, --recursive',
      kind: 'switch',
      description: 'Copy directories',
    },
    {
      key: 'unsafe_links',
      spelling: '--unsafe-links',
      kind: 'switch',
      description: 'Also make symlinks that lead out of the copied directory',
    },
  ],
  notes: `A target that is a directory takes the source under its own name; "dir/." copies what is in dir.
Permissions, symlinks and (except for single files going in) times are kept; owners are not.
From a machine, symlinks that lead out of the copied directory are left out and reported.`,
  examples: [
    ['coppice cp notes.txt demo:/workspace/', 'A file into a directory of the machine.'],
    ['coppice cp -r src demo:/workspace', 'A directory, as /workspace/src.'],
    ['coppice cp -r demo:/workspace/out/. results', 'What is in a directory of the machine.'],
  ],
  run: runCp,
};

interface Copied {
  from: string;
  to: string;
  files: number;
  directories: number;
  symlinks: number;
  bytes: number;
  skipped_links: number;
  skipped_special: number;
}

async function runCp(invocation: Invocation, context: CliContext): Promise<number> {
  const paths = (invocation.positionals['paths'] ?? []) as readonly string[];
  const texts = paths.slice(0, -1);
  const last = paths.at(-1);
  if (last === undefined || texts.length === 0) {
    throw new UsageError(
      'cp needs a source and a target.',
      'For example: coppice cp notes.txt demo:/workspace/',
    );
  }
  const target = parseCopySide(last);
  const sources = texts.map(parseCopySide);
  const job: CopyJob = {
    recursive: invocation.flags['recursive'] === true,
    unsafeLinks: invocation.flags['unsafe_links'] === true,
    several: sources.length > 1,
  };
  if (sources.some(({ side }) => side === target.side)) {
    throw new UsageError(
      target.side === 'host'
        ? 'None of these paths is in a machine.'
        : 'Both sides are in machines.',
      target.side === 'host'
        ? 'Write the machine’s side as <workspace>:/path, for example demo:/workspace/.'
        : 'Copy to this host first, or within one machine with coppice exec <workspace> -- cp …',
    );
  }
  const client = await context.connect();
  const started = performance.now();
  try {
    const copied: Copied[] = [];
    for (const source of sources) {
      if (source.side === 'host' && target.side === 'guest') {
        copied.push(await copyIn(client, source, target, job, context));
      }
      if (source.side === 'guest' && target.side === 'host') {
        copied.push(await copyOut(client, source, target, job, context));
      }
    }
    const elapsed = performance.now() - started;
    if (context.json) context.printJson({ copied, duration_ms: Math.round(elapsed) });
    else context.note(summaryOf(copied, elapsed));
    return 0;
  } finally {
    client.close();
  }
}

interface CopyJob {
  readonly recursive: boolean;
  readonly unsafeLinks: boolean;
  readonly several: boolean;
}

async function copyIn(
  client: CoppiceClient,
  source: HostSide,
  target: GuestSide,
  job: CopyJob,
  context: CliContext,
): Promise<Copied> {
  const stats = statHost(source.path);
  if (stats.isDirectory() && !job.recursive) throw needsRecursive(source.path);
  const name = arrivalName(source.path);
  const there = await statGuest(client, target);
  if (there === 'file' && (stats.isDirectory() || job.several)) {
    throw notADirectory(`${target.workspace}:${target.path}`);
  }
  if (there === undefined && (job.several || (target.path.endsWith('/') && !stats.isDirectory()))) {
    throw missingDirectory(`${target.workspace}:${target.path}`);
  }
  const to = there === 'dir' ? joinGuest(target.path, name) : target.path;
  const progress = transferProgress(
    context,
    `${source.path} → ${target.workspace}:${to}`,
    stats.isDirectory() ? undefined : stats.size,
  );
  const options = { signal: context.signal, onBytes: progress.bytes };
  try {
    const send = stats.isDirectory() ? uploadTree : uploadFile;
    const counts = await send(client, target.workspace, source.path, to, options);
    const { special, ...rest } = counts;
    return {
      from: source.path,
      to: `${target.workspace}:${to}`,
      ...rest,
      skipped_links: 0,
      skipped_special: special,
    };
  } finally {
    progress.stop();
  }
}

async function copyOut(
  client: CoppiceClient,
  source: GuestSide,
  target: HostSide,
  job: CopyJob,
  context: CliContext,
): Promise<Copied> {
  const entry = await client.call('file_stat', {
    workspace_id: source.workspace,
    path: source.path,
    follow: true,
  });
  const from = `${source.workspace}:${source.path}`;
  if (entry.kind === 'dir' && !job.recursive) throw needsRecursive(from);
  const there = fs.statSync(target.path, { throwIfNoEntry: false });
  if (there !== undefined && !there.isDirectory() && (entry.kind === 'dir' || job.several)) {
    throw notADirectory(target.path);
  }
  if (there === undefined && (job.several || (target.path.endsWith('/') && entry.kind !== 'dir'))) {
    throw missingDirectory(target.path);
  }
  const to =
    there?.isDirectory() === true
      ? path.join(target.path, arrivalName(source.path))
      : target.path.replace(/(.)\/+$/, '$1');
  const progress = transferProgress(
    context,
    `${from} → ${to}`,
    entry.kind === 'dir' ? undefined : entry.size,
  );
  const options = { signal: context.signal, onBytes: progress.bytes };
  const none = { files: 0, directories: 0, symlinks: 0, skipped_links: 0, skipped_special: 0 };
  try {
    if (entry.kind !== 'dir') {
      const bytes = await downloadFile(client, source.workspace, source.path, to, options);
      return { from, to, ...none, files: 1, bytes };
    }
    const counts = await downloadTree(client, source.workspace, source.path, to, {
      ...options,
      unsafeLinks: job.unsafeLinks,
    });
    progress.stop();
    reportLeftOut(
      counts.outsideLinks,
      counts.outsideExamples,
      context,
      '; --unsafe-links copies them',
    );
    const { files, directories, symlinks, bytes } = counts;
    return {
      from,
      to,
      files,
      directories,
      symlinks,
      bytes,
      skipped_links: counts.outsideLinks,
      skipped_special: counts.special,
    };
  } finally {
    progress.stop();
  }
}

export function reportLeftOut(
  links: number,
  examples: readonly string[],
  context: CliContext,
  hint = '',
): void {
  if (links === 0) return;
  const shown = examples
    .map((example) => printable(Buffer.from(example, 'latin1').toString()))
    .join(', ');
  context.note(
    `${count(links, 'symlink')} out of the copied directory left out (${shown}${links > examples.length ? ', …' : ''})${hint}.`,
  );
}

function statHost(hostPath: string): fs.Stats {
  try {
    return fs.statSync(hostPath);
  } catch (error) {
    throw hostFileError(error, hostPath);
  }
}

async function statGuest(
  client: CoppiceClient,
  { workspace, path: guestPath }: GuestSide,
): Promise<'dir' | 'file' | undefined> {
  try {
    const { kind } = await client.call('file_stat', {
      workspace_id: workspace,
      path: guestPath,
      follow: true,
    });
    return kind === 'dir' ? 'dir' : 'file';
  } catch (error) {
    if (error instanceof CoppiceError && error.code === 'file_not_found') return undefined;
    throw error;
  }
}

function summaryOf(copied: readonly Copied[], elapsedMs: number): string {
  const sum = (pick: (one: Copied) => number): number =>
    copied.reduce((total, one) => total + pick(one), 0);
  const files = sum(({ files }) => files);
  const special = sum(({ skipped_special }) => skipped_special);
  const aside = special === 0 ? '' : `; ${count(special, 'special file')} left out`;
  return `${count(files, 'file')}, ${transferSummary(
    sum(({ bytes }) => bytes),
    elapsedMs,
  )}${aside}`;
}

function needsRecursive(what: string): UsageError {
  return new UsageError(`${what} is a directory.`, 'Copy it with -r.');
}

function notADirectory(what: string): UsageError {
  return new UsageError(
    `${what} is not a directory.`,
    'Choose a directory as the target, or another name.',
  );
}

function missingDirectory(what: string): UsageError {
  return new UsageError(
    `The directory ${what} does not exist.`,
    'Make it first, or leave the slash at its end away.',
  );
}
