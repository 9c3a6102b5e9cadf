import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { Guest } from '../../../helper-daemon/orchestration/guest.ts';
import {
  artifactBytes,
  fetchArtifacts,
} from '../../../helper-daemon/orchestration/swarm/artifacts.ts';
import {
  openOutput,
  outputBytes,
  readCapped,
  type TaskOutput,
} from '../../../helper-daemon/orchestration/swarm/output.ts';

let directory: string;
let files: { stdout: string; stderr: string };
const skews = { stdout: 0, stderr: 0 };

beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'cop-output-'));
  files = { stdout: path.join(directory, 'out'), stderr: path.join(directory, 'err') };
  Object.assign(skews, { stdout: 0, stderr: 0 });
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function open(): Promise<TaskOutput> {
  return await openOutput(files, { ...skews }, (stream, skew) => {
    skews[stream] = skew;
  });
}

const text = (value: string): Buffer => Buffer.from(value);

describe('the output of a task', () => {
  it('is gone on with where it was, by another daemon too', async () => {
    const first = await open();
    await first.write('stdout', 0, text('one '));
    await first.write('stderr', 0, text('oh'));
    await first.close();
    const second = await open();
    expect([second.next('stdout'), second.next('stderr')]).toEqual([4, 2]);
    await second.write('stdout', 4, text('two'));
    await second.close();
    expect(readFileSync(files.stdout, 'utf8')).toBe('one two');
    expect(readFileSync(files.stderr, 'utf8')).toBe('oh');
  });

  it('says where bytes are missing, and goes on behind them', async () => {
    const first = await open();
    await first.write('stdout', 0, text('begin'));
    await first.write('stdout', 1000, text('later'));
    expect(first.next('stdout')).toBe(1005);
    await first.close();
    const second = await open();
    expect(second.next('stdout')).toBe(1005);
    await second.write('stdout', 1005, text(' on'));
    await second.close();
    expect(readFileSync(files.stdout, 'utf8')).toBe(
      'begin\n[LOST: 995 bytes that came faster than they were read]\nlater on',
    );
  });

  it('keeps the beginning and the end of what is too much', async () => {
    const output = await open();
    const piece = Buffer.alloc(1024 * 1024, 'x');
    const total = outputBytes + 3 * piece.length;
    for (let offset = 0; offset < total; offset += piece.length) {
      await output.write('stdout', offset, piece);
    }
    expect(output.next('stdout')).toBe(Number.MAX_SAFE_INTEGER);
    await output.finish('stdout', total, text('the very end'));
    await output.close();
    const kept = readFileSync(files.stdout, 'utf8');
    expect(kept.slice(0, outputBytes)).toBe('x'.repeat(outputBytes));
    expect(kept.slice(outputBytes)).toBe(
      `\n[TRUNCATED: ${String(total)} bytes total, showing first ${String(outputBytes)} bytes and last 12 bytes]\nthe very end`,
    );
  });

  it('has nothing added when all of it is there', async () => {
    const output = await open();
    await output.write('stdout', 0, text('all'));
    await output.finish('stdout', 3, text('all'));
    await output.close();
    expect(readFileSync(files.stdout, 'utf8')).toBe('all');
  });

  it('is cut between characters for a reply', async () => {
    writeFileSync(files.stdout, 'ä'.repeat(1000));
    const cut = await readCapped(files.stdout, 101);
    expect(cut).not.toContain('\ufffd');
    expect(cut).toBe(
      `${'ä'.repeat(25)}\n[TRUNCATED: 2000 bytes total, showing first 50 bytes and last 50 bytes]\n${'ä'.repeat(25)}`,
    );
    const odd = await readCapped(files.stdout, 102);
    expect(odd).not.toContain('\ufffd');
    expect(await readCapped(files.stdout, 2000)).toBe('ä'.repeat(1000));
    expect(await readCapped(path.join(directory, 'none'), 10)).toBe('');
  });
});

describe('artifacts', () => {
  /** A machine with these files; `endless` never ends. */
  function machine(stopped: { endless: boolean }): Pick<Guest, 'download'> {
    return {
      download: async (_id, source, signal) => {
        await Promise.resolve();
        async function* chunks(): AsyncGenerator<Uint8Array> {
          if (source === '/endless') {
            signal.addEventListener('abort', () => (stopped.endless = true));
            for (;;) yield Buffer.alloc(1024 * 1024);
          }
          yield text(`of ${source}`);
        }
        if (source === '/none') {
          throw new CoppiceError({ code: 'file_not_found', message: 'no such file' });
        }
        return { directory: source.endsWith('/'), chunks: chunks() };
      },
    };
  }

  it('are fetched as far as they can be, never under a name the machine chose, never without end', async () => {
    const stopped = { endless: false };
    const wanted = ['/a/report.txt', '/b/../..', '/out/', '/none', '/endless', '/c/report.txt'];
    const fetched = await fetchArtifacts(
      machine(stopped),
      'worker',
      wanted,
      directory,
      new AbortController().signal,
    );
    expect(fetched.map(({ path: source }) => source)).toEqual(wanted);
    expect(fetched.map(({ file }) => (file === null ? null : path.basename(file)))).toEqual([
      '1-report.txt',
      '2-task',
      '3-out.tar',
      null,
      null,
      '6-report.txt',
    ]);
    expect(fetched[3]?.error).toBe('no such file');
    expect(fetched[4]?.error).toContain(`larger than ${String(artifactBytes / 1024 ** 2)} MiB`);
    expect(stopped.endless).toBe(true);
    const place = path.join(directory, 'artifacts');
    expect(readdirSync(place)).toHaveLength(4);
    expect(readFileSync(path.join(place, '6-report.txt'), 'utf8')).toBe('of /c/report.txt');
  });

  it('stop being fetched when nobody wants them any more', async () => {
    const gone = new AbortController();
    gone.abort(new Error('cancelled'));
    await expect(
      fetchArtifacts(machine({ endless: false }), 'worker', ['/a'], directory, gone.signal),
    ).rejects.toThrow('cancelled');
    expect(existsSync(path.join(directory, 'artifacts', '1-a'))).toBe(false);
  });
});
