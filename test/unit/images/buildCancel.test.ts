import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../../../helper-daemon/system/run.ts';
import { tempDirectory } from './fixtures.ts';

describe('cancelling a build', () => {
  let dir: Awaited<ReturnType<typeof tempDirectory>>;
  beforeEach(async () => {
    dir = await tempDirectory();
  });
  afterEach(() => dir.remove());

  it('reaches what the command started, and gives it time to clean up', async () => {
    const cleaned = join(dir.path, 'cleaned');
    // The grandchild would be left behind if only the command itself were signalled.
    const inner = `trap 'sleep 0.1; echo yes > "$0"; exit 0' TERM; echo ready; while :; do sleep 0.05; done`;
    const stop = new AbortController();
    const work = run('sh', ['-c', 'trap : TERM; sh -c "$0" "$1"; wait', inner, cleaned], {
      group: true,
      signal: stop.signal,
      onLine: (line) => {
        if (line === 'ready') stop.abort();
      },
    });
    await expect(work).rejects.toMatchObject({ code: 'cancelled' });
    await sleep(50);
    expect(await readFile(cleaned, 'utf8')).toBe('yes\n');
  });

  it('reports a command that failed by itself as failed', async () => {
    const work = run('sh', ['-c', 'exit 3'], { group: true, signal: new AbortController().signal });
    await expect(work).rejects.toMatchObject({ code: 'command_failed' });
  });
});
