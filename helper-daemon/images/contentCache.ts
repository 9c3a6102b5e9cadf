/**
 * A content-addressed cache of built things.
 *
 * Invariants: an entry's directory appears by one rename, complete and synced, so a crash leaves either the
 * whole entry or a temp directory that the next builder removes; an entry is never changed after that; what
 * does not match its manifest is thrown away and built again.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDir, type CacheKind } from './cacheDir.ts';
import { withBuildLock } from './buildLock.ts';
import {
  digestFile,
  digestText,
  verifyFile,
  type FileFacts,
  type VerdictMemo,
} from './fileDigest.ts';
import { throwIfAborted, withSpaceError } from './imageErrors.ts';

export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export interface CacheManifest {
  readonly version: 1;
  readonly kind: CacheKind;
  readonly key: string;
  readonly inputs: Json;
  readonly files: Readonly<Record<string, FileFacts>>;
  /** What the build found out: versions, sizes, provenance. */
  readonly facts: Readonly<Record<string, Json>>;
  readonly builtAt: string;
  readonly seconds: number;
}

export interface CacheEntry {
  readonly dir: string;
  /** Path of the entry relative to the cache directory. */
  readonly relativeDir: string;
  readonly manifest: CacheManifest;
  /** True when this call built it. */
  readonly built: boolean;
}

export interface CacheRequest {
  readonly kind: CacheKind;
  readonly inputs: Json;
  /** Writes files into `dir` (flat, no subdirectories) and returns facts for the manifest. */
  readonly build: (dir: string) => Promise<Readonly<Record<string, Json>>>;
  readonly root?: string;
  readonly signal?: AbortSignal;
  readonly onWait?: () => void;
  /** Build again even when a good entry exists. */
  readonly refresh?: boolean;
}

export async function cached(request: CacheRequest): Promise<CacheEntry> {
  const { kind, signal } = request;
  const root = request.root ?? cacheDir();
  const key = cacheKey(request.inputs);
  const relativeDir = join(kind, key);
  const dir = join(root, relativeDir);
  const reuse = async (): Promise<CacheEntry | undefined> => {
    const manifest = await intactManifest(dir, key, signal);
    return manifest === undefined ? undefined : { dir, relativeDir, manifest, built: false };
  };

  const found = request.refresh === true ? undefined : await reuse();
  if (found !== undefined) return found;
  await mkdir(join(root, kind), { recursive: true });
  return withBuildLock(join(root, kind, `.lock-${key}`), request, async () => {
    // Another process may have built it while this one waited.
    const since = request.refresh === true ? undefined : await reuse();
    if (since !== undefined) return since;
    await removeAbandoned(join(root, kind), key);
    const temp = join(root, kind, `.building-${key}-${randomBytes(4).toString('hex')}`);
    try {
      const manifest = await buildInto(temp, key, request);
      await rm(dir, { recursive: true, force: true });
      await rename(temp, dir);
      await syncDirectory(join(root, kind));
      return { dir, relativeDir, manifest, built: true };
    } catch (error) {
      throw withSpaceError(error, root);
    } finally {
      await rm(temp, { recursive: true, force: true });
    }
  });
}

/** Equal inputs give an equal key whatever the order of their fields. */
export function cacheKey(inputs: Json): string {
  return digestText(canonical(inputs)).slice(0, 24);
}

function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map((item: Json) => canonical(item)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value as Readonly<Record<string, Json>>).sort(([a], [b]) =>
      a < b ? -1 : 1,
    );
    return `{${fields.map(([name, item]) => `${JSON.stringify(name)}:${canonical(item)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

async function buildInto(dir: string, key: string, request: CacheRequest): Promise<CacheManifest> {
  throwIfAborted(request.signal, 'The build');
  await mkdir(dir, { recursive: true });
  const started = Date.now();
  const facts = await request.build(dir);
  const files: Record<string, FileFacts> = {};
  for (const name of (await readdir(dir)).sort()) {
    await syncFile(join(dir, name));
    files[name] = await digestFile(join(dir, name), request.signal);
  }
  const manifest: CacheManifest = {
    version: 1,
    kind: request.kind,
    key,
    inputs: request.inputs,
    files,
    facts,
    builtAt: new Date().toISOString(),
    seconds: Math.round((Date.now() - started) / 100) / 10,
  };
  const path = join(dir, manifestName);
  await writeFile(path, `${JSON.stringify(manifest, null, 2)}\n`);
  await syncFile(path);
  return manifest;
}

const manifestName = 'manifest.json';
const verdictName = '.verified.json';

async function intactManifest(
  dir: string,
  key: string,
  signal: AbortSignal | undefined,
): Promise<CacheManifest | undefined> {
  try {
    const manifest = JSON.parse(await readFile(join(dir, manifestName), 'utf8')) as CacheManifest;
    if ((manifest.version as number) !== 1 || manifest.key !== key) return undefined;
    const memo = await fileMemo(join(dir, verdictName));
    for (const [name, expected] of Object.entries(manifest.files)) {
      await verifyFile(join(dir, name), expected, {
        memo,
        ...(signal === undefined ? {} : { signal }),
      });
    }
    await memo.save();
    return manifest;
  } catch (error) {
    if (signal?.aborted === true) throw error;
    return undefined;
  }
}

/** Verdicts kept beside the entry, so that the next process need not hash hundreds of megabytes again. */
async function fileMemo(path: string): Promise<VerdictMemo & { save(): Promise<void> }> {
  let known: Record<string, string> = {};
  try {
    known = JSON.parse(await readFile(path, 'utf8')) as Record<string, string>;
  } catch {
    // Absent or broken: everything is checked again.
  }
  let changed = false;
  return {
    get: (identity) => known[identity],
    set: (identity, sha256) => {
      known[identity] = sha256;
      changed = true;
    },
    save: async () => {
      if (!changed) return;
      await writeFile(path, JSON.stringify(known)).catch(() => {
        // A read-only cache still works, only slower.
      });
    },
  };
}

/** Only the lock's owner calls this, so nothing with this key can be in use. */
async function removeAbandoned(kindDir: string, key: string): Promise<void> {
  for (const name of await readdir(kindDir)) {
    if (name.startsWith(`.building-${key}-`)) {
      await rm(join(kindDir, name), { recursive: true, force: true });
    }
  }
}

async function syncFile(path: string): Promise<void> {
  if (!(await stat(path)).isFile()) throw new Error(`${path} is not a plain file`);
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const dir = await open(path, 'r');
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
}
