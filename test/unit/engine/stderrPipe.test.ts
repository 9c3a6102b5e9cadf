import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  executableOf,
  isAlive,
  readProcessStat,
  signalProcess,
  waitUntilGone,
  type ProcessIdentity,
} from '../../../helper-daemon/engine/processIdentity.ts';
import { createStderrPipe, openStderrPipe } from '../../../helper-daemon/engine/qemu/stderrPipe.ts';
import { spawnDetached } from '../../../helper-daemon/system/run.ts';

describe('the stderr of a monitor', () => {
  let directory: string;
  let file: string;
  let writer: ProcessIdentity | undefined;
  beforeEach(() => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'coppice-stderr-'));
    file = path.join(directory, 'stderr.fifo');
  });
  afterEach(async () => {
    if (writer !== undefined) await end(writer);
    rmSync(directory, { recursive: true, force: true });
  });

  function start(program: string, args: readonly string[], output: number): ProcessIdentity {
    const { pid } = spawnDetached(program, args, { output });
    closeSync(output);
    writer = {
      pid,
      startTime: readProcessStat(pid)?.startTime ?? '',
      executable: executableOf(pid) ?? '',
    };
    return writer;
  }

  async function end(identity: ProcessIdentity): Promise<void> {
    signalProcess(identity, 'SIGKILL');
    await waitUntilGone(identity, 5_000);
  }

  it('can be read after the process has gone', async () => {
    const { writer: output, pipe } = await createStderrPipe(file);
    const child = start('echo', ['no such disk'], output);
    await waitUntilGone(child, 5_000);
    expect(await pipe.drain(1_000)).toBe('no such disk\n');
  });

  it('keeps the first and the last words of a flood, and stops who floods', async () => {
    const { writer: output, pipe } = await createStderrPipe(file);
    const child = start('seq', ['100000000'], output);
    await expect.poll(() => pipe.text().length).toBeGreaterThan(16_000);
    const before = readProcessStat(child.pid)?.cpuTicks ?? 0;
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect((readProcessStat(child.pid)?.cpuTicks ?? 0) - before).toBeLessThan(10);
    await end(child);
    const text = await pipe.drain(1_000);
    expect(text).toMatch(/^1\n2\n3\n/);
    expect(text).toMatch(/bytes left out/);
    expect(text.length).toBeLessThan(17_000);
  });

  it('survives a daemon that goes away, and is there for the next', async () => {
    const { writer: output, pipe } = await createStderrPipe(file);
    const child = start('seq', ['100000000'], output);
    pipe.close();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(isAlive(child)).toBe(true);
    const next = openStderrPipe(file);
    await expect.poll(() => next?.text()).toMatch(/\d+\n\d+\n/);
    next?.close();
  });

  it('is nothing where there is no FIFO', () => {
    expect(openStderrPipe(file)).toBeUndefined();
    expect(openStderrPipe(import.meta.filename)).toBeUndefined();
  });
});
