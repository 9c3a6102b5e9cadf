import { rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeEmptyOverlay } from '../../../helper-daemon/storage/qcow2/emptyOverlay.ts';
import { readHeader, setBacking } from '../../../helper-daemon/storage/qcow2/header.ts';
import { run } from '../../../helper-daemon/system/run.ts';
import { mib, temporaryState, type TemporaryState } from './temporaryState.ts';

describe('an empty overlay written without QEMU', () => {
  let home: TemporaryState;
  beforeEach(async () => {
    home = await temporaryState();
  });
  afterEach(async () => {
    await home.remove();
  });

  async function info(file: string): Promise<Record<string, unknown>> {
    const { stdout } = await run('qemu-img', ['info', '--output=json', file]);
    const facts = JSON.parse(stdout) as Record<string, unknown>;
    return { ...facts, filename: undefined, 'actual-size': undefined, children: undefined };
  }

  const gib = 1024 * mib;
  for (const bytes of [512, 32 * mib, gib, gib + 512, 20 * gib, 7 * 1024 * gib, 40 * 1024 * gib]) {
    it(`is what qemu-img makes, for ${String(bytes)} bytes`, async () => {
      const image = await home.image();
      const ours = path.join(home.state, 'ours.qcow2');
      const theirs = path.join(home.state, 'theirs.qcow2');
      await writeEmptyOverlay(ours, bytes, { path: image.path, format: 'qcow2' });
      await run('qemu-img', [
        ...['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', image.path],
        ...['-o', 'extended_l2=on,cluster_size=128k,lazy_refcounts=off', theirs, String(bytes)],
      ]);
      expect(await info(ours)).toEqual(await info(theirs));
      const mine = await readHeader(ours);
      expect(mine).toEqual({ ...Object(await readHeader(theirs)) });
      await run('qemu-img', ['check', '-q', '-f', 'qcow2', ours]);
      // Used from end to end, its tables still hold together.
      const last = String(Math.floor(bytes / 512) * 512 - 512);
      const commands = ['-c', 'write -P 1 0 512', '-c', `write -P 2 ${last} 512`];
      await run('qemu-io', ['-f', 'qcow2', ...commands, ours]);
      await run('qemu-img', ['check', '-q', '-f', 'qcow2', ours]);
    });
  }

  it('can be put on another file, or on none, and no old name stays in it', async () => {
    const [first, second] = [await home.image(), path.join(home.state, 'other.raw')];
    const file = path.join(home.state, 'disk.qcow2');
    await run('truncate', ['-s', '32M', second]);
    await writeEmptyOverlay(file, 32 * mib, { path: first.path, format: 'qcow2' });
    await setBacking(file, { path: second, format: 'raw' });
    expect(await info(file)).toMatchObject({
      'backing-filename': second,
      'backing-filename-format': 'raw',
    });
    await setBacking(file, undefined);
    expect(await readHeader(file)).toMatchObject({
      backingPath: undefined,
      backingFormat: undefined,
    });
    const { stdout } = await run('head', ['-c', '131072', file]);
    expect(stdout).not.toContain(home.state);
    await run('qemu-img', ['check', '-q', '-f', 'qcow2', file]);
  });

  it('does not overwrite a file', async () => {
    const file = path.join(home.state, 'disk.qcow2');
    await writeEmptyOverlay(file, mib, undefined);
    await expect(writeEmptyOverlay(file, mib, undefined)).rejects.toThrow(/EEXIST/);
    await rm(file);
  });
});
