import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withWorkDirectory } from '../../../helper-daemon/images/workDirectory.ts';
import { tempDirectory } from './fixtures.ts';

describe('the work directory', () => {
  let dir: Awaited<ReturnType<typeof tempDirectory>>;
  beforeEach(async () => {
    dir = await tempDirectory();
  });
  afterEach(() => dir.remove());

  it('is gone when the work is done', async () => {
    const seen = await withWorkDirectory(dir.path, 'test', 0, (path) => readdir(path));
    expect([seen, await readdir(join(dir.path, 'work'))]).toEqual([[], []]);
  });

  it('clears what a killed process left, and nothing of a living one', async () => {
    const living = `test-${String(process.pid)}-abc`;
    await mkdir(join(dir.path, 'work', 'test-4194305-abc'), { recursive: true });
    await mkdir(join(dir.path, 'work', living));
    await withWorkDirectory(dir.path, 'test', 0, () => Promise.resolve());
    expect(await readdir(join(dir.path, 'work'))).toEqual([living]);
  });

  it('refuses to begin when there is too little space', async () => {
    const work = withWorkDirectory(dir.path, 'test', 2 ** 60, () => Promise.resolve());
    await expect(work).rejects.toMatchObject({ code: 'no_space' });
  });
});
