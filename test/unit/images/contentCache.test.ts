import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cached, cacheKey, type CacheRequest } from '../../../helper-daemon/images/contentCache.ts';
import { verifyFile } from '../../../helper-daemon/images/fileDigest.ts';
import { sha256, tempDirectory } from './fixtures.ts';

describe('the content cache', () => {
  let dir: Awaited<ReturnType<typeof tempDirectory>>;
  let builds: number;
  beforeEach(async () => {
    dir = await tempDirectory();
    builds = 0;
  });
  afterEach(() => dir.remove());

  const request = (extra: Partial<CacheRequest> = {}): CacheRequest => ({
    kind: 'agent',
    root: dir.path,
    inputs: { version: 1 },
    build: async (target) => {
      builds += 1;
      await writeFile(join(target, 'thing'), 'content');
      return { number: builds };
    },
    ...extra,
  });

  it('builds once and remembers', async () => {
    expect((await cached(request())).built).toBe(true);
    const again = await cached(request());
    expect([again.built, again.manifest.facts['number'], builds]).toEqual([false, 1, 1]);
  });

  it('builds again when an input changes', async () => {
    await cached(request());
    await cached(request({ inputs: { version: 2 } }));
    expect(builds).toBe(2);
  });

  it('replaces an entry whose file was damaged', async () => {
    const entry = await cached(request());
    await cached(request());
    await writeFile(join(entry.dir, 'thing'), 'CONTENT');
    expect((await cached(request())).built).toBe(true);
    await expect(
      verifyFile(join(entry.dir, 'thing'), { sha256: sha256('content'), size: 7 }),
    ).resolves.toBeUndefined();
  });

  it('replaces an entry whose manifest is cut short', async () => {
    const entry = await cached(request());
    await writeFile(join(entry.dir, 'manifest.json'), '{"version":1,');
    expect((await cached(request())).built).toBe(true);
  });

  it('leaves nothing behind when a build fails', async () => {
    const build = async (target: string): Promise<never> => {
      await writeFile(join(target, 'half'), 'x');
      throw new Error('no luck');
    };
    await expect(cached(request({ build }))).rejects.toThrow('no luck');
    expect(await readdir(join(dir.path, 'agent'))).toEqual([]);
  });

  it('clears what a crashed builder left and takes over its lock', async () => {
    const key = cacheKey({ version: 1 });
    await mkdir(join(dir.path, 'agent', `.building-${key}-dead`), { recursive: true });
    const owner = { pid: 2 ** 22 + 1, started: '1', boot: 'another' };
    await writeFile(join(dir.path, 'agent', `.lock-${key}`), JSON.stringify(owner));
    await cached(request());
    expect(await readdir(join(dir.path, 'agent'))).toEqual([key]);
  });

  it('lets one of several builders build while the others wait', async () => {
    const slow = request({
      build: async (target) => {
        builds += 1;
        await new Promise((resolve) => setTimeout(resolve, 50));
        await writeFile(join(target, 'thing'), 'content');
        return {};
      },
    });
    const entries = await Promise.all([cached(slow), cached(slow), cached(slow)]);
    expect([builds, entries.filter((entry) => entry.built).length]).toEqual([1, 1]);
  });

  it('stops waiting when it is cancelled', async () => {
    const stop = new AbortController();
    let release = (): void => undefined;
    const first = cached(
      request({
        build: async () => {
          await new Promise<void>((resolve) => (release = resolve));
          return {};
        },
      }),
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    const second = cached(request({ signal: stop.signal, onWait: () => stop.abort() }));
    await expect(second).rejects.toMatchObject({ code: 'cancelled' });
    release();
    await first;
  });

  it('gives equal keys to equal inputs in any order', () => {
    expect(cacheKey({ a: 1, b: [2, { c: 3, d: 4 }] })).toBe(
      cacheKey({ b: [2, { d: 4, c: 3 }], a: 1 }),
    );
  });
});

describe('verifying a file', () => {
  let dir: Awaited<ReturnType<typeof tempDirectory>>;
  beforeEach(async () => {
    dir = await tempDirectory();
  });
  afterEach(() => dir.remove());

  it('reads it once and then only looks at its identity', async () => {
    const path = join(dir.path, 'image');
    await writeFile(path, 'content');
    const known = new Map<string, string>();
    await verifyFile(path, { sha256: sha256('content'), size: 7 }, { memo: known });
    expect(known.size).toBe(1);
    // A wrong remembered verdict proves that the second check did not read the file.
    for (const identity of known.keys()) known.set(identity, sha256('other'));
    await expect(
      verifyFile(path, { sha256: sha256('content'), size: 7 }, { memo: known }),
    ).rejects.toMatchObject({ code: 'image_corrupt' });
  });

  it('notices a change that keeps size and name', async () => {
    const path = join(dir.path, 'image');
    await writeFile(path, 'content');
    const expected = { sha256: sha256('content'), size: 7 };
    await verifyFile(path, expected);
    await writeFile(path, 'CONTENT');
    await expect(verifyFile(path, expected)).rejects.toMatchObject({ code: 'image_corrupt' });
  });

  it('reports a file that is gone as damage, not as a crash', async () => {
    await expect(verifyFile(join(dir.path, 'no'), { sha256: '', size: 0 })).rejects.toMatchObject({
      code: 'image_corrupt',
    });
  });
});
