/**
 * Writes what is generated from other sources: the guest protocol in TypeScript and in Rust, the extension's
 * contributions in package.json, and the reference pages in docs/.
 *
 *   node scripts/generate.ts            write
 *   node scripts/generate.ts --check    only compare, fail on a difference
 */
import { mkdtemp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { generatedManifest } from '../extension/manifest/contributes.ts';
import { generatedDocs } from './docs.ts';
import { cargo } from './tools/cargo.ts';
import { projectRoot, runNodeTool } from './tools/step.ts';

export const generators = ['protocol', 'agent', 'manifest', 'docs'] as const;
export type Generator = (typeof generators)[number];

/** File contents by path in the project. */
type Generated = ReadonlyMap<string, string>;

const bufScript = 'node_modules/@bufbuild/buf/bin/buf';

async function withTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'coppice-generate-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function readTree(folder: string, place: string): Promise<Generated> {
  const files = new Map<string, string>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    files.set(path.join(place, path.relative(folder, file)), await readFile(file, 'utf8'));
  }
  return files;
}

async function protocolCode(say: (line: string) => void): Promise<Generated> {
  return await withTemporaryFolder(async (folder) => {
    await runNodeTool(bufScript, ['generate', '-o', folder], say);
    return await readTree(folder, '');
  });
}

async function agentCode(say: (line: string) => void): Promise<Generated> {
  return await withTemporaryFolder(async (folder) => {
    const descriptors = path.join(folder, 'descriptors.binpb');
    const out = path.join(folder, 'gen');
    await mkdir(out);
    await runNodeTool(bufScript, ['build', '-o', descriptors], say);
    await cargo('guest-agent/codegen', ['run', '--quiet', '--locked', '--', descriptors, out], say);
    return await readTree(out, 'guest-agent/src/gen');
  });
}

async function manifest(): Promise<Generated> {
  const file = path.join(projectRoot, 'package.json');
  const current = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  const text = JSON.stringify({ ...current, ...generatedManifest() }, null, 2);
  return new Map([['package.json', `${text}\n`]]);
}

async function generate(which: Generator, say: (line: string) => void): Promise<Generated> {
  if (which === 'protocol') return await protocolCode(say);
  if (which === 'agent') return await agentCode(say);
  if (which === 'docs') return generatedDocs();
  return await manifest();
}

/** Names of the files that differ from what would be generated. */
export async function findDrift(
  which: Generator,
  say: (line: string) => void,
): Promise<readonly string[]> {
  const stale: string[] = [];
  for (const [file, text] of await generate(which, say)) {
    const current = await readFile(path.join(projectRoot, file), 'utf8').catch(() => undefined);
    if (current !== text) stale.push(file);
  }
  return stale;
}

async function write(which: Generator): Promise<void> {
  for (const [file, text] of await generate(which, console.log)) {
    const target = path.join(projectRoot, file);
    if ((await readFile(target, 'utf8').catch(() => undefined)) === text) continue;
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, text);
    console.log(`wrote ${file}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const words = process.argv.slice(2);
  const chosen = generators.filter((name) => words.includes(name));
  for (const which of chosen.length === 0 ? generators : chosen) {
    if (words.includes('--check')) {
      const stale = await findDrift(which, console.log);
      for (const file of stale) console.log(`${file} is out of date: run npm run generate`);
      if (stale.length > 0) process.exitCode = 1;
    } else {
      await write(which);
    }
  }
}
